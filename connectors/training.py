"""Training on the wire: history in the partitions of ``tocsin.metrics``, and what each partition says of it.

Records of a training bear the header ``TRAINING_HEADER`` with its id: a beginning, history (a ``WriteRequest`` as that
of live samples) and an end, or a cancellation. Other readers of the topic skip them, as they skip control records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Literal
from zlib import crc32

from pydantic import AfterValidator, Field

from connectors.detector import DETECTOR_ID, Detector, Shape
from connectors.errors import Rejected
from connectors.messages import Header, OutRecord, Record

TRAINING_HEADER = "tocsin-training"
"""Kafka header that marks what belongs to a training; its value is the training's id."""
TRAINING_STEP_HEADER = "tocsin-training-step"
"""Which step of it the record is: a ``Step``."""
TRAINING_DETECTOR_HEADER = "tocsin-training-detector"
"""Whose training it is: the detector's id."""
NO_LABELS = {"__group__": "all"}
"""Labels under which history of a group without any is sent: a series on the wire must have some."""
STATUS_KEY = "training"
"""How the keys of a training's records in ``tocsin.status`` begin."""
_ID = re.compile(r"t-[0-9a-f]{16}")


class Step(StrEnum):
    """What a record of a training is."""

    BEGIN = "begin"
    """Of a partition's part, and again and again while nothing else is sent: else it would be given up."""
    HISTORY = "history"
    END = "end"
    CANCEL = "cancel"


def _with_an_id(detector: Detector) -> Detector:
    """Refuse ids that no detector can have: a revision of it is made in the flow."""
    if re.fullmatch(DETECTOR_ID, detector.id) is None:
        message = f"id must match {DETECTOR_ID}"
        raise ValueError(message)
    return detector


class TrainingBegin(Record):
    """Value of a ``begin`` record: the detector as it is to learn."""

    version: Literal[1] = 1
    detector: Annotated[Detector, AfterValidator(_with_an_id)]
    again: Annotated[bool, Field(description="whether the partition was told before: it begins nothing anew")] = False
    signal: Annotated[
        Shape | None, Field(description="of groups: what their members' samples were turned into, if that is known")
    ] = None


class TrainingEnd(Record):
    """Value of an ``end`` record: what the partition was sent, so that a loss is noticed."""

    version: Literal[1] = 1
    records: Annotated[int, Field(ge=0, description="history records")]
    samples: Annotated[int, Field(ge=0, description="samples in them")]


class TrainingCancel(Record):
    """Value of a ``cancel`` record."""

    version: Literal[1] = 1
    reason: str


Mark = TrainingBegin | TrainingEnd | TrainingCancel
MARKS: Mapping[Step, type[Mark]] = {
    Step.BEGIN: TrainingBegin,
    Step.END: TrainingEnd,
    Step.CANCEL: TrainingCancel,
}
STEP_OF: Mapping[type[Mark], Step] = {mark: step for step, mark in MARKS.items()}


class PartState(StrEnum):
    """How far a partition has come with a training."""

    LEARNING = "learning"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TrainingPart(Record):
    """What one partition says of a training: value of a record of ``tocsin.status``, the last one counts."""

    version: Literal[1] = 1
    training_id: str
    detector_id: str
    partition: Annotated[int, Field(ge=0)]
    state: PartState
    reason: Annotated[str, Field(description="why it failed or was cancelled, else empty")] = ""
    records: Annotated[int, Field(ge=0, description="history records that came")] = 0
    samples: Annotated[int, Field(ge=0, description="samples that came in them")] = 0
    ahead: Annotated[
        int, Field(ge=0, description="of these left out: later than the sample of their series met live last")
    ] = 0
    series: Annotated[int, Field(ge=0, description="series of the history that the detector watches")] = 0
    replaced: Annotated[int, Field(ge=0, description="rows of live series that know the history now")] = 0
    time_ms: Annotated[int, Field(ge=0, description="log time")]

    @property
    def key(self) -> bytes:
        """Key of the record."""
        return part_key(self.training_id, self.partition)


class TrainingState(StrEnum):
    """How far a training has come as a whole."""

    FETCHING = "fetching"
    SENDING = "sending"
    LEARNING = "learning"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({TrainingState.DONE, TrainingState.FAILED, TrainingState.CANCELLED})


class TrainingHead(Record):
    """What the api that sends the history says of a training: value of a record of ``tocsin.status``."""

    version: Literal[1] = 1
    training_id: str
    detector_id: str
    revision: Annotated[int, Field(ge=1, description="of the detector that learns")]
    state: TrainingState
    reason: Annotated[str, Field(description="why it failed or was cancelled, else empty")] = ""
    partitions: Annotated[int, Field(ge=1, description="over which the series are spread")]
    home: Annotated[
        int | None, Field(ge=0, description="of groups: the partition that gets the past of all, the only one")
    ] = None
    started_ms: int
    updated_ms: int
    series_matched: Annotated[int, Field(ge=0, description="series of the history that the detector selects")] = 0
    series_unmatched: Annotated[int, Field(ge=0, description="series left out, which it does not select")] = 0
    duplicates: Annotated[
        int, Field(ge=0, description="samples left out: their series has another at the same time")
    ] = 0
    samples: Annotated[int, Field(ge=0, description="samples that are to be learned")] = 0
    sent: Annotated[int, Field(ge=0, description="samples that were sent so far")] = 0

    @property
    def key(self) -> bytes:
        """Key of the record."""
        return head_key(self.training_id)

    @property
    def places(self) -> Sequence[int]:
        """Partitions that take part."""
        return range(self.partitions) if self.home is None else (self.home,)


def home_of(detector_id: str, partitions: int) -> int:
    """The partition that learns for the groups of a detector."""
    return crc32(detector_id.encode()) % partitions


def head_key(training_id: str) -> bytes:
    """Key of what the sending api says of a training."""
    return f"{STATUS_KEY}/{training_id}".encode()


def part_key(training_id: str, partition: int) -> bytes:
    """Key of what a partition says of it."""
    return f"{STATUS_KEY}/{training_id}/{partition}".encode()


def history_record(topic: str, training_id: str, detector: Detector, partition: int, value: bytes) -> OutRecord:
    """A ``WriteRequest`` with history of series of one partition."""
    key = detector.config.tenant.encode()
    return OutRecord(topic, key, value, _headers(training_id, detector.id, Step.HISTORY), partition)


def mark_record(topic: str, training_id: str, detector_id: str, partition: int, mark: Mark) -> OutRecord:
    """A beginning, an end or a cancellation for one partition."""
    headers = _headers(training_id, detector_id, STEP_OF[type(mark)])
    return OutRecord(topic, None, mark.encode(), headers, partition)


def _headers(training_id: str, detector_id: str, step: Step) -> list[Header]:
    return [
        (TRAINING_HEADER, training_id.encode()),
        (TRAINING_STEP_HEADER, step.encode()),
        (TRAINING_DETECTOR_HEADER, detector_id.encode()),
    ]


def training_of(headers: Mapping[str, bytes]) -> tuple[str, Step]:
    """Id and step of a record of a training; raises ``Rejected``."""
    training_id = headers[TRAINING_HEADER].decode(errors="replace")
    if _ID.fullmatch(training_id) is None:
        message = f"header {TRAINING_HEADER} = {training_id[:80]!r}: must be t- and 16 hexadecimal digits"
        raise Rejected(reason="poison", message=message)
    step = headers.get(TRAINING_STEP_HEADER, b"").decode(errors="replace")
    if step not in list(Step):
        message = f"header {TRAINING_STEP_HEADER} = {step[:80]!r}: must be one of {', '.join(Step)}"
        raise Rejected(reason="poison", message=message)
    return training_id, Step(step)
