"""Settings to producers and consumers, and the one way to know that a send arrived.

kafka-python is pinned to >= 3.0.11 with ``crc32c`` and ``lz4`` installed: without the former it computes checksums in
Python at a tenth of the speed. A consumer belongs to one thread. ``KafkaProducer.flush`` hides failed sends, so
nobody here calls it: each future is asked (``confirm``).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from kafka.net import KafkaNetClient

from connectors.errors import KafkaUnavailable, TocsinError, TooLarge
from connectors.kafka_repairs import TerseSelector, copy_records_once, keep_first_registered
from connectors.messages import OutRecord
from connectors.settings import KafkaSettings

keep_first_registered()
copy_records_once()

LINGER_MS = 2
"""Latency is promised, so a batch waits only as long as a burst takes to arrive."""
BATCH_BYTES = 256 * 1024
"""Small records (events, control records) share a batch up to this; larger records travel alone."""
MAX_REQUEST_BYTES = 1_000_000
"""Below ``message.max.bytes`` of a Kafka with default settings (1,048,588), checked before compression."""
FETCH_BYTES = 4 * 1024 * 1024
"""Records asked for in one fetch; with lz4 about eight times that in memory once decompressed."""
PARTITION_FETCH_BYTES = 1024 * 1024
"""Records asked for per partition: the larger, the fewer round trips while catching up."""
FETCH_WAIT_MS = 1_000
"""How long the broker holds a fetch that has nothing to give, when idle: one request a second and consumer."""
RECONNECT_MAX_MS = 1_000
"""A broker that restarts is found again within about this time."""
LIST_TIMEOUT_MS = 10_000
"""How long to wait for the answer to "which offsets do you hold"."""
CONNECT_PAUSE_S = 0.1
FORCED_S = 5.0
"""How long a producer's thread may take to end once it is told to deliver nothing more."""
_LEAN = {
    "metrics_enabled": False,  # our own counters are what /metrics serves; kafka-python's cost CPU per record
}


def make_producer(settings: KafkaSettings, client_id: str, **overrides: Any) -> KafkaProducer:
    """Producer with lz4, all acknowledgements and idempotence: retries neither double nor reorder.

    Thread-safe; the caller closes it. ``overrides`` are kafka-python settings. Raises ``Unavailable`` when no broker
    answers within the delivery time-out.
    """
    delivery_ms = int(settings.delivery_timeout_s * 1000)
    config: dict[str, Any] = {
        **_shared(settings, client_id),
        **_LEAN,
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": "lz4",
        "linger_ms": LINGER_MS,
        "batch_size": BATCH_BYTES,
        "max_request_size": MAX_REQUEST_BYTES,
        "max_block_ms": delivery_ms,
        "delivery_timeout_ms": delivery_ms,
        "request_timeout_ms": max(100, min(10_000, delivery_ms - LINGER_MS - 1)),
        "retry_backoff_ms": 50,
    }
    await_listener(settings)
    with unavailable(settings):
        return KafkaProducer(**{**config, **overrides})


def make_consumer(settings: KafkaSettings, client_id: str, **overrides: Any) -> KafkaConsumer:
    """Consumer without group and commits: the caller assigns partitions, seeks, and owns the offsets.

    An offset that the broker does not hold raises ``kafka.errors.OffsetOutOfRangeError`` where the broker says so.
    ``overrides`` are kafka-python settings. Raises ``Unavailable`` when no broker answers within the delivery time-out.
    """
    config: dict[str, Any] = {
        **_shared(settings, client_id),
        **_LEAN,
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "check_crcs": True,
        "fetch_max_wait_ms": FETCH_WAIT_MS,
        "fetch_max_bytes": FETCH_BYTES,
        "max_partition_fetch_bytes": PARTITION_FETCH_BYTES,
        "request_timeout_ms": 10_000,
        "max_poll_records": 2_000,
    }
    await_listener(settings)
    with unavailable(settings):
        return KafkaConsumer(**{**config, **overrides})


def make_admin(settings: KafkaSettings, client_id: str) -> KafkaAdminClient:
    """Admin client; the caller closes it. Raises ``Unavailable`` when no broker answers in time."""
    await_listener(settings)
    with unavailable(settings):
        return KafkaAdminClient(**_shared(settings, client_id), request_timeout_ms=10_000)


def await_listener(settings: KafkaSettings) -> None:
    """Wait until one bootstrap server accepts a connection.

    A kafka-python client that cannot connect leaves its thread and sockets behind, so none is built before this.
    Raises ``Unavailable`` past the delivery time-out.
    """
    deadline_s = time.monotonic() + settings.delivery_timeout_s
    while True:
        try:
            return _connect_any(settings)
        except OSError as error:
            if time.monotonic() > deadline_s:
                message = f"Kafka at {settings.kafka} (TOCSIN_KAFKA) does not answer: {error}"
                raise KafkaUnavailable(message) from error
            time.sleep(CONNECT_PAUSE_S)


def _connect_any(settings: KafkaSettings) -> None:
    refused = OSError("no bootstrap server is named")
    for server in settings.bootstrap:
        host, _, port = server.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), settings.delivery_timeout_s).close()
        except OSError as error:
            refused = error
        else:
            return
    raise refused


def send(producer: KafkaProducer, record: OutRecord) -> Any:
    """Hand a record to the producer; returns the future that ``confirm`` takes.

    Raises ``Unavailable`` when the producer's buffer stays full or the topic unknown, ``TooLarge`` above
    ``MAX_REQUEST_BYTES``.
    """
    with refused():
        return producer.send(
            record.topic, value=record.value, key=record.key, headers=record.headers, partition=record.partition
        )


def confirm(futures: Iterable[Any], timeout_s: float) -> None:
    """Wait until every send is acknowledged.

    Raises ``Unavailable`` for the first that failed or is not confirmed within ``timeout_s`` in all, ``TooLarge`` for a
    record that the broker will never take.
    """
    deadline_s = time.monotonic() + timeout_s
    for future in futures:
        with refused():
            future.get(timeout=max(0.0, deadline_s - time.monotonic()))


def close_producer(producer: KafkaProducer, timeout_s: float) -> None:
    """Close a producer; whatever it has not delivered within the time-out fails. Raises nothing of Kafka's.

    ``close`` without a time-out waits for ever on a broker that hangs; with one it gives up before it would end the
    producer's thread.
    """
    try:
        producer.close(timeout=timeout_s)
    except KafkaError:
        producer._sender.force_close()  # noqa: SLF001 - there is no public way to fail what is under way
        producer._sender.join(FORCED_S)  # noqa: SLF001 - as above


@contextmanager
def refused() -> Iterator[None]:
    """Turn Kafka's errors about a record into ours."""
    try:
        yield
    except KafkaError as error:
        raise error_of(error) from error


def error_of(error: BaseException) -> TocsinError:
    """What Kafka's error about a record is to us: too large for good, anything else worth another try."""
    if isinstance(error, (MessageSizeTooLargeError, RecordListTooLargeError)):
        message = f"record: too large for Kafka (its message.max.bytes, or the topic's max.message.bytes): {error!r}"
        return TooLarge(reason="record_too_large", message=message)
    return KafkaUnavailable(f"Kafka did not confirm a record: {error!r}")


@contextmanager
def unavailable(settings: KafkaSettings) -> Iterator[None]:
    """Turn any Kafka error inside into ``Unavailable`` that names the address and the variable that sets it."""
    try:
        yield
    except KafkaError as error:
        message = f"Kafka at {settings.kafka} (TOCSIN_KAFKA) does not answer: {error!r}"
        raise KafkaUnavailable(message) from error


def _asking_only(**config: Any) -> KafkaNetClient:
    """A client whose questions for a topic do not make the topic.

    kafka-python 3.0 takes ``allow_auto_create_topics`` and leaves it unused: it asks as if it were true.
    """
    client = KafkaNetClient(**config)
    client.cluster.config["allow_auto_create_topics"] = False
    return client


def _shared(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    return {
        "kafka_client": _asking_only,
        "selector": TerseSelector,
        "bootstrap_servers": settings.bootstrap,
        "client_id": client_id,
        "bootstrap_timeout_ms": int(settings.delivery_timeout_s * 1000),
        "reconnect_backoff_ms": 50,
        "reconnect_backoff_max_ms": RECONNECT_MAX_MS,
    }
