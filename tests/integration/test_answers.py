"""A broker that hangs or is gone is noticed by who only reads, and so is its return; an idle one is no silent one."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.answers import SILENT_S
from connectors.bytewax_io import KafkaSource
from connectors.follower import Follower
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.brokers import ApacheKafka, Embedded, free_port, frozen
from tests.conftest import unique_settings
from tests.integration.test_broker import until

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _collect_refused_sockets() -> Iterator[None]:
    """kafka-python's unclosed sockets (tests/conftest.py) go while their warning is still filtered.

    Pytest keeps a test's log records, and through them its sockets, until the next one: so the test that leaves some
    is the first here.
    """
    yield
    gc.collect()


@pytest.fixture
def freezable(tmp_path: Path) -> Iterator[Embedded]:
    """An embedded broker that the test may stop with SIGSTOP."""
    broker = Embedded(free_port(), tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()


def test_a_dead_broker_is_silent_until_it_is_back(apache: ApacheKafka) -> None:
    settings: KafkaSettings = unique_settings(apache.bootstrap)
    create_topics(settings)
    with Follower(settings, settings.topics.detectors, lambda _: None) as follower:
        until(lambda: follower.missing_reason() == "", "the first answer")
        apache.kill()
        try:
            until(lambda: f"not answered for {SILENT_S:.0f} s" in follower.missing_reason(), "the silence")
        finally:
            apache.start()
        until(lambda: follower.missing_reason() == "", "answers again")


@pytest.mark.parametrize("name", ["broker", "apache_kafka"])
def test_an_idle_broker_answers(request: pytest.FixtureRequest, name: str) -> None:
    """Apache Kafka answers a fetch session without naming the partitions that have nothing."""
    settings = unique_settings(request.getfixturevalue(name))
    create_topics(settings)
    with Follower(settings, settings.topics.detectors, lambda _: None) as follower:
        times: set[float] = set()

        def answered_again() -> bool:
            if follower._answers._came_s is not None:
                times.add(follower._answers._came_s)
            return len(times) >= 3

        until(answered_again, "three answers without a record")
        assert follower.missing_reason() == ""


def test_a_frozen_broker_is_silent_for_followers_and_the_flow(freezable: Embedded) -> None:
    settings = unique_settings(freezable.bootstrap)
    create_topics(settings)
    source = KafkaSource(settings, settings.topics.metrics, list)
    assert source.missing_reason() == "no partition is read yet"
    part = source.build_part("in", "0", None)
    part.next_batch()
    with Follower(settings, settings.topics.detectors, lambda _: None) as follower:
        readers = (follower, source)
        until(lambda: not any(reader.missing_reason() for reader in readers), "the first answers")
        with frozen(freezable):
            until(lambda: all("(TOCSIN_KAFKA) has not" in reader.missing_reason() for reader in readers), "the silence")
            assert follower.error is None
        until(lambda: not any(reader.missing_reason() for reader in readers), "answers again")
    source.stop()
