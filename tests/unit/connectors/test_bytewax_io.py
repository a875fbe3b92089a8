from __future__ import annotations

import ctypes
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import KafkaTimeoutError

from connectors import bytewax_io
from connectors.bytewax_io import BUSY, IDLE, KafkaPartition, KafkaSinkPart, next_on_grid
from connectors.errors import Unavailable
from connectors.messages import OutRecord
from connectors.reader import Reader
from connectors.settings import KafkaSettings

PR_GET_TIMERSLACK = 30  # linux/prctl.h
times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC))  # noqa: DTZ001 - made aware at once


@pytest.mark.parametrize("grid", [BUSY.grid, IDLE.grid])
@given(times)
def test_the_next_point_lies_within_one_step_ahead(grid: timedelta, now: datetime) -> None:
    assert timedelta(0) < next_on_grid(now, grid) - now <= grid


@pytest.mark.parametrize("grid", [BUSY.grid, IDLE.grid])
@given(times, st.floats(0, 1, exclude_max=True))
def test_partitions_that_ask_within_one_step_wake_together(grid: timedelta, now: datetime, share: float) -> None:
    point = next_on_grid(now, grid)
    assert next_on_grid(point + (share * 0.999) * grid, grid) == point + grid


class Quiet:
    """A reader without records."""

    busy = True

    def waiting(self, partition: int) -> bool:  # noqa: ARG002 - as a reader has it
        return False


def test_an_idle_partition_looks_less_often_and_lets_the_kernel_gather_timers() -> None:
    seen: list[tuple[timedelta, int]] = []

    def look() -> None:
        reader = Quiet()
        partition = KafkaPartition[bytes](cast("Reader[bytes]", reader), 0, "topic")
        for reader.busy in (True, False, True):
            now = datetime.now(tz=UTC)
            awake = partition.next_awake()
            assert awake is not None
            slack_ns = int(ctypes.CDLL(None).prctl(PR_GET_TIMERSLACK)) if sys.platform == "linux" else 0
            seen.append((awake - now, slack_ns))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    for (ahead, slack_ns), pace in zip(seen, (BUSY, IDLE, BUSY), strict=True):
        assert ahead <= pace.grid + timedelta(milliseconds=20)
        assert sys.platform != "linux" or slack_ns == pace.slack_ns


class Unconfirmed:
    """The future of a record that Kafka never confirms."""

    is_done = False

    def get(self, timeout: float) -> None:
        raise KafkaTimeoutError(timeout)


class SilentProducer:
    """Takes records of which nothing is heard any more."""

    def send(self, topic: str, **record: object) -> Unconfirmed:
        assert (topic, record["value"]) == ("t", b"v")
        return Unconfirmed()


def test_what_a_closing_sink_raises_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bytewax_io, "make_producer", lambda *_: SilentProducer())
    sink = KafkaSinkPart(KafkaSettings())
    sink.write_batch([OutRecord("t", b"k", b"v", [])])
    with pytest.raises(Unavailable):
        sink.close()
    assert "the sink ends this process: KafkaUnavailable" in caplog.text
