"""Records of a training: what is written is what a partition's reader finds, and nothing of it is live."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.detector import Detector, DetectorConfig
from connectors.errors import Rejected
from connectors.messages import DEFAULT_TENANT, OutRecord
from connectors.training import (
    TRAINING_DETECTOR_HEADER,
    TRAINING_HEADER,
    TRAINING_STEP_HEADER,
    PartState,
    Step,
    TrainingBegin,
    TrainingCancel,
    TrainingEnd,
    TrainingPart,
    history_record,
    mark_record,
    training_of,
)
from flows.chunks import Lesson, Poison, Samples
from flows.decode import Decoder
from tests.streams import Record, write_request

ID = "t-0123456789abcdef"
DETECTOR = Detector(
    id="d", revision=3, config=DetectorConfig(name="d", kind="mad", selector="m"), author="test", updated_ms=1
)
LABELS = {"__name__": "m", "n": "1"}


def decode(*records: OutRecord) -> list[Any]:
    given = [Record("m", 5, at, one.key, one.value, one.headers) for at, one in enumerate(records)]
    decoded = Decoder(60, 100).decode(given)
    return [chunk for _, chunks in decoded for chunk in chunks]


@pytest.mark.parametrize(
    ("mark", "step"),
    [
        (TrainingBegin(detector=DETECTOR), b"begin"),
        (TrainingEnd(records=3, samples=70), b"end"),
        (TrainingCancel(reason="enough"), b"cancel"),
    ],
)
def test_marks_come_as_they_were_written(mark: Any, step: bytes) -> None:
    record = mark_record("m", ID, "d", 5, mark)
    assert dict(record.headers) == {
        TRAINING_HEADER: ID.encode(), TRAINING_STEP_HEADER: step, TRAINING_DETECTOR_HEADER: b"d",
    }  # fmt: skip
    assert (record.key, record.partition) == (None, 5)
    assert decode(record) == [Lesson(ID, 5, mark)]


def test_history_is_no_live_sample_and_announces_no_series() -> None:
    value = write_request([(LABELS, [(1000, 1.0), (2000, 2.0)])])
    history = history_record("m", ID, DETECTOR, 5, value)
    live = OutRecord("m", DEFAULT_TENANT.encode(), value, [], 5)
    assert history.key == live.key
    before, lesson, again = decode(live, history, history)
    assert isinstance(before, Samples)
    for one in (lesson, again):
        assert (one.training, one.partition) == (ID, 5)
        assert one.brings.new == before.new, "labels go along with each record"
        assert (one.brings.times_ms.tolist(), one.brings.values.tolist()) == ([1000, 2000], [1.0, 2.0])
    first, then = decode(history, live)
    assert isinstance(first, Lesson)
    assert then.new == before.new, "live, the series is new all the same"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({TRAINING_HEADER: b"t-1"}, "header tocsin-training = 't-1': must be t- and 16 hexadecimal digits"),
        ({TRAINING_HEADER: b"\xff"}, "must be t- and 16 hexadecimal digits"),
        ({TRAINING_STEP_HEADER: b"go"}, "header tocsin-training-step = 'go': must be one of begin, history, end, canc"),
        ({}, "TrainingEnd: records: "),
    ],
)
def test_what_cannot_be_read_is_poison(changes: dict[str, bytes], message: str) -> None:
    headers = {TRAINING_HEADER: ID.encode(), TRAINING_STEP_HEADER: b"end", **changes}
    (found,) = decode(OutRecord("m", None, b'{"samples": 1}', list(headers.items()), 5))
    assert isinstance(found, Poison)
    assert message in found.message


def test_a_detector_that_cannot_be_is_poison() -> None:
    odd = DETECTOR.model_copy(update={"id": "Foo_1"})
    mark = mark_record("m", ID, odd.id, 5, TrainingBegin.model_construct(detector=odd))
    (found,) = decode(mark)
    assert isinstance(found, Poison)
    assert "detector" in found.message


def test_a_step_must_be_named() -> None:
    with pytest.raises(Rejected, match="must be one of"):
        training_of({TRAINING_HEADER: ID.encode()})
    assert training_of({TRAINING_HEADER: ID.encode(), TRAINING_STEP_HEADER: b"history"}) == (ID, Step.HISTORY)


def test_what_a_partition_says_has_a_key_of_its_own() -> None:
    part = TrainingPart(training_id=ID, detector_id="d", partition=5, state=PartState.LEARNING, time_ms=1)
    assert part.key == b"training/t-0123456789abcdef/5"
    newer = part.encode().replace(b"{", b'{"of_a_newer_version":1,', 1)
    assert TrainingPart.decode(newer) == part
