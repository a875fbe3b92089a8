"""Revisions on their way to a broker that hangs, or that does not know the topic: refused in time, by our own error."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.default_detectors import first_revisions
from api.journal import publish
from connectors.detector import DetectorRevision
from connectors.errors import Unavailable
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.brokers import Embedded, free_port, frozen, read_all
from tests.conftest import unique_settings

pytestmark = pytest.mark.integration

IN_TIME_S = 10.0
"""More than delivery time-out and close take on a busy machine, and less than a hang."""
REVISIONS = first_revisions(time_ms=1_800_000_000_000)


class FreezingMidway(list[DetectorRevision]):
    """Revisions after the first of which the broker hangs: by then the producer knows the topic."""

    def __init__(self, broker: Embedded, stack: contextlib.ExitStack) -> None:
        super().__init__(REVISIONS)
        self._broker, self._stack = broker, stack

    def __iter__(self) -> Iterator[DetectorRevision]:
        for number, revision in enumerate(super().__iter__()):
            if number == 1:
                self._stack.enter_context(frozen(self._broker))
            yield revision


def impatient(bootstrap: str) -> KafkaSettings:
    return unique_settings(bootstrap).model_copy(update={"delivery_timeout_s": 1.0})


def test_a_broker_that_hangs_midway_is_given_up_in_time(tmp_path: Path) -> None:
    broker = Embedded(free_port(), tmp_path / "broker")
    broker.start()
    try:
        settings = impatient(broker.bootstrap)
        create_topics(settings)
        began_s = time.monotonic()
        with contextlib.ExitStack() as stack, pytest.raises(Unavailable, match="did not confirm a record"):
            publish(settings, FreezingMidway(broker, stack))
        assert time.monotonic() - began_s < IN_TIME_S
    finally:
        broker.stop()


def test_a_topic_that_is_not_there_is_unavailable(broker: str) -> None:
    with pytest.raises(Unavailable, match="did not confirm a record"):
        publish(impatient(broker), REVISIONS)


def test_what_was_published_is_there_in_order(kafka_settings: KafkaSettings) -> None:
    assert publish(kafka_settings, []) == 0
    assert publish(kafka_settings, REVISIONS) == len(REVISIONS)
    found = read_all(kafka_settings, kafka_settings.topics.detectors)
    assert [DetectorRevision.decode(record.value or b"") for record in found] == REVISIONS
