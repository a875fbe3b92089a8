"""A detector that judges silence, in a block: told at control records, and a function of the log alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise

import pytest

from connectors.anomaly import Anomaly, ClosedBy, EventType
from connectors.codec.encode import encode_labels
from connectors.detector import Shape
from connectors.messages import ControlRecord
from flows.chunks import Chunk
from flows.persistence import load, save
from tests.series import START_MS
from tests.streams import Log, anomalies, by_id, config, joined, pieces, sample_bits

STALE_BITS = 0x7FF0000000000002
BACK_S = 700


def labels(n: int, name: str = "m") -> Mapping[str, str]:
    return {"__name__": name, "n": str(n)}


def log_of_silence(name: str = "m", shape: Shape = Shape.RAW) -> Log:
    """Three series scraped every 5 s; the second is silent from 500 s to 700 s."""
    log = Log()
    log.detector("d", config("missing", name, params={"warmup": 20}, shape=shape, quiet_s=30.0))
    for second in range(900):
        if second % 5 == 0:
            log.samples(
                *((labels(n, name), second, second + n) for n in range(3) if n != 1 or not 500 <= second < BACK_S)
            )
        log.control(second + 0.5)
    return log


def told(log: Log) -> list[Anomaly]:
    return log.run()[1]


def test_silence_is_told_while_it_lasts_and_closes_when_it_ends() -> None:
    events = told(log_of_silence())
    assert {event.signal.labels["n"] for event in events} == {"1"}
    assert len({event.id for event in events}) == 1
    opened, closed = events[0], events[-1]
    assert opened.event is EventType.OPENED
    assert 510_000 < opened.time_ms - START_MS < 530_000
    assert opened.value == pytest.approx((opened.time_ms - START_MS) / 1000 - 495, abs=1.1)
    assert opened.lower <= opened.expected <= opened.upper < opened.value
    assert any(event.event is EventType.UPDATED and event.time_ms < START_MS + 1000 * BACK_S for event in events)
    assert (closed.event, closed.closed_by) == (EventType.CLOSED, ClosedBy.QUIET)
    assert closed.peak.value == pytest.approx(205, abs=2)


@pytest.mark.long
def test_it_does_not_matter_how_the_log_is_cut_or_where_the_block_is_saved() -> None:
    log = log_of_silence()
    whole = by_id(told(log))
    chunks = [piece for chunk in log.chunks() for piece in pieces(chunk)]
    assert whole
    for cuts in ([0, len(chunks)], [0, 900, 901, 1500, 1733, len(chunks)]):
        block, events = log.block(), []
        for begin, end in pairwise(cuts):
            parts: list[Chunk] = joined(chunks[begin:end])
            events += anomalies(block.take(parts))
            block = load(save(block), log.block())
        assert by_id(events) == whole


def test_counters_are_missed_as_gauges_are_and_a_stale_marker_is_no_sign_of_life() -> None:
    log = log_of_silence("c_total", Shape.AUTO)
    stale = Log()
    stale.revisions = log.revisions
    for record in log.records:
        stale.append(record.value, record.key, record.headers)
        if record.offset == 600:
            stale.append(_marker())
    assert [event.start_ms for event in told(stale)] == [event.start_ms for event in told(log)] != []


def _marker() -> bytes:
    return sample_bits(encode_labels(labels(1, "c_total")), START_MS + 501_000, STALE_BITS)


@pytest.mark.long
def test_a_series_that_went_away_closes_its_silence() -> None:
    log = log_of_silence()
    for second in range(900, 5000, 2):
        log.control(second)
    last = {event.id: event for event in told(log)}
    assert {event.closed_by for event in last.values()} == {ClosedBy.QUIET, ClosedBy.SERIES_GONE}


@pytest.mark.parametrize("late_s", [1.0, 4.0, 8.0])
def test_an_episode_does_not_run_backwards_when_a_late_sample_ends_the_silence(late_s: float) -> None:
    """Silence is found at log time, and a sample that comes after that may be older."""
    log = log_of_silence()
    late = Log()
    late.revisions = log.revisions
    begun_ms = told(log)[0].start_ms
    for record in log.records:
        late.append(record.value, record.key, record.headers)
        if record.headers and ControlRecord.decode(record.value or b"").time_ms == begun_ms:
            late.samples((labels(1), (begun_ms - START_MS) / 1000 - late_s, 1.0))
    out = late.block().take(late.chunks())
    raw = [json.loads(record.value or b"") for record in out]
    assert [event["event"] for event in raw if event["start_ms"] == begun_ms][-1] == "closed"
    assert all(event["duration_ms"] >= 0 for event in raw)
    assert len(anomalies(out)) == len(raw), "every record can be decoded"
