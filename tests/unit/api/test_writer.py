"""Writers towards addresses where no Kafka is: each is refused at its own deadline, and the end is not held up."""

from __future__ import annotations

import asyncio
import time

import pytest

from api.writer import Writer
from connectors.errors import Unavailable
from connectors.messages import OutRecord
from connectors.settings import KafkaSettings
from tests.brokers import free_port

RECORD = OutRecord("tocsin.detectors", b"k", b"v", [])
BUSY_S = 2.0
"""What a busy machine may add."""


def nowhere(timeout_s: float) -> KafkaSettings:
    return KafkaSettings(kafka=f"127.0.0.1:{free_port()}", delivery_timeout_s=timeout_s)


async def refused(writer: Writer) -> str:
    with pytest.raises(Unavailable) as caught:
        await writer.write(RECORD)
    return str(caught.value)


def test_all_who_waited_for_a_connection_are_refused_with_it() -> None:
    writer = Writer(nowhere(1.0), "tests")

    async def main() -> None:
        began_s = time.monotonic()
        reasons = await asyncio.gather(*(refused(writer) for _ in range(8)))
        assert time.monotonic() - began_s < 1.0 + BUSY_S
        assert len(set(reasons)) == 1
        assert "TOCSIN_KAFKA" in reasons[0]

    asyncio.run(main())
    writer.stop()


def test_a_refused_connection_is_remembered_for_a_moment() -> None:
    writer = Writer(nowhere(1.0), "tests")
    writer._silence, writer._silent_until_s = Unavailable("gone"), time.monotonic() + 60
    assert asyncio.run(refused(writer)) == "gone"
    writer._silent_until_s = time.monotonic()
    assert "does not answer" in asyncio.run(refused(writer))
    writer.stop()


def test_an_unforeseen_error_is_told_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(nowhere(1.0), "tests")
    monkeypatch.setattr(writer, "_connected", lambda: None)
    for _ in range(2):
        with pytest.raises(AttributeError):
            asyncio.run(writer.write(RECORD))
    writer.stop()
    assert not writer._thread.is_alive()


def test_the_end_does_not_wait_for_a_kafka_that_is_still_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.writer.STOP_TIMEOUT_S", 0.1)
    writer = Writer(nowhere(2 * BUSY_S), "tests")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.write(RECORD), 0.1)

    asyncio.run(main())
    began_s = time.monotonic()
    writer.stop()
    assert time.monotonic() - began_s < BUSY_S
    writer._thread.join(30)
    assert not writer._thread.is_alive()
