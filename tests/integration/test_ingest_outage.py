"""Kafka goes away while requests are under way, and comes back: Apache Kafka, which keeps its records."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests import wire
from tests.brokers import ApacheKafka, Embedded, free_port
from tests.conftest import unique_settings
from tests.ingests import RunningIngest, process, sample
from tests.processes import stopped, wait_until
from tests.prometheus import Exporter, Prometheus, missing_prometheus
from tests.pushes import push, request, written

pytestmark = pytest.mark.integration

TIMEOUT_S = 2.0
BACK_S = 60.0


@pytest.fixture
def settings(apache: ApacheKafka) -> Iterator[KafkaSettings]:
    made = unique_settings(apache.bootstrap).model_copy(update={"delivery_timeout_s": 5.0})
    create_topics(made)
    yield made
    if not apache.alive():
        apache.start()


def test_a_write_during_an_outage_is_refused_in_time_and_a_later_one_taken(
    apache: ApacheKafka, settings: KafkaSettings
) -> None:
    with process(settings, TOCSIN_INGEST_REQUEST_TIMEOUT_S=str(TIMEOUT_S)) as (ingest, _):
        assert ingest.write(sample("before")).status == 204
        apache.kill()
        started_s = time.monotonic()
        answer = ingest.write(sample("during"))
        assert time.monotonic() - started_s < TIMEOUT_S + 3.0
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "TOCSIN_KAFKA" in answer.error["error"]
        wait_until(lambda: ingest.metric("tocsin_ingest_in_flight_bytes") == 0, 20.0, "Kafka's time-out")
        assert ingest.get("/health")["components"]["kafka"]["status"] == "down"
        apache.start()
        wait_until(lambda: ingest.write(sample("after")).status == 204, BACK_S, "Kafka to be found again")
        wait_until(ingest.ready, 10.0, "ingest to say so")
        names = set(ingest.names())
        assert {"before", "after"} <= names <= {"before", "during", "after"}


def test_a_push_during_an_outage_is_refused_in_time_and_a_later_one_taken(
    apache: ApacheKafka, settings: KafkaSettings
) -> None:
    with process(settings, TOCSIN_INGEST_REQUEST_TIMEOUT_S=str(TIMEOUT_S)) as (ingest, _):

        def status(line: str) -> int:
            return push(ingest, request(('{app="shop"}', [line]))).status

        assert status("before") == 204
        apache.kill()
        answer = push(ingest, request(('{app="shop"}', ["during"])))
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "TOCSIN_KAFKA" in answer.error["error"]
        wait_until(lambda: ingest.metric("tocsin_ingest_in_flight_bytes") == 0, 20.0, "Kafka's time-out")
        apache.start()
        wait_until(lambda: status("after") == 204, BACK_S, "Kafka to be found again")
        lines = {line for _, line, _ in written(ingest, "anonymous")['{app="shop"}']}
        assert {b"before", b"after"} <= lines <= {b"before", b"during", b"after"}


def test_prometheus_delivers_later_what_it_could_not_deliver(
    apache: ApacheKafka, settings: KafkaSettings, tmp_path: Path
) -> None:
    reason = missing_prometheus()
    if reason is not None:
        pytest.skip(reason)
    scrapes = 0

    def page() -> str:
        nonlocal scrapes
        scrapes += 1
        return f"# TYPE scrapes gauge\nscrapes {scrapes}\n# EOF\n"

    with (
        process(settings, TOCSIN_INGEST_REQUEST_TIMEOUT_S=str(TIMEOUT_S)) as (ingest, _),
        Exporter(page) as exporter,
    ):
        url = f"http://127.0.0.1:{ingest.port}/api/v1/write"
        with Prometheus(tmp_path, exporter.port, url):
            wait_until(lambda: len(values(ingest)) >= 4, 20.0, "samples in Kafka")
            apache.kill()
            at_outage = scrapes
            wait_until(lambda: scrapes >= at_outage + 12, 20.0, "scrapes during the outage")
            wait_until(lambda: ingest.metric('tocsin_ingest_requests_total{code="503"}') >= 1, 20.0, "an answer 503")
            apache.start()
            wanted = set(range(at_outage + 1, at_outage + 13))
            wait_until(lambda: wanted <= values(ingest), BACK_S, "what was scraped during the outage")


def values(ingest: RunningIngest) -> set[int]:
    """Values of ``scrapes`` that stand in Kafka."""
    return {
        int(wire.number(value))
        for _, _, series in ingest.written()
        if (b"__name__", b"scrapes") in series.labels
        for _, value, _ in series.samples
        if value != wire.STALE_BITS
    }


def test_a_broker_that_forgot_everything_is_written_to_again(tmp_path: Path) -> None:
    """The embedded broker forgets its producers too, which kafka-python takes for fatal: the producer is replaced."""
    port = free_port()
    first, second = Embedded(port, tmp_path / "first"), Embedded(port, tmp_path / "second")
    first.start()
    settings = KafkaSettings(kafka=first.bootstrap, partitions=4, delivery_timeout_s=5.0)
    create_topics(settings)
    with process(settings, TOCSIN_INGEST_REQUEST_TIMEOUT_S=str(TIMEOUT_S)) as (ingest, pid):
        assert ingest.write(sample("before")).status == 204
        try:
            with stopped(pid):  # else its metadata requests would create topics before we do
                first.stop()
                second.start()
                create_topics(settings)
            wait_until(lambda: ingest.write(sample("after")).status == 204, BACK_S, "a new producer")
            assert set(ingest.names()) == {"after"}
        finally:
            second.stop()
