"""One partition's log as the flow reads it: real records, with the detector log beside it."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from connectors.codec.encode import encode_write_request
from connectors.codec.varint import encode_varint
from connectors.messages import (
    CONTROL_HEADER,
    Anomaly,
    ControlRecord,
    DetectorConfig,
    DetectorRevision,
    Header,
    OutRecord,
    Topics,
)
from flows.block import Block, BlockLimits
from flows.chunks import Chunk
from flows.decode import Decoder
from tests.series import START_MS

TOPICS = Topics()
NEVER_AGAIN_S = 10**9


class Record(NamedTuple):
    """What ``flows.decode.Record`` asks for."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]


def write_request(series: Iterable[tuple[Mapping[str, str], Sequence[tuple[int, float]]]]) -> bytes:
    return encode_write_request(series)


def sample_bits(labels: bytes, time_ms: int, bits: int) -> bytes:
    """A request with one sample whose float64 has exactly these bits."""
    sample = b"\x09" + struct.pack("<Q", bits) + b"\x10" + encode_varint(time_ms)
    body = labels + b"\x12" + encode_varint(len(sample)) + sample
    return b"\x0a" + encode_varint(len(body)) + body


class Log:
    """Records of one partition, appended in order."""

    def __init__(self, partition: int = 0) -> None:
        self.partition = partition
        self.records: list[Record] = []
        self.revisions: list[DetectorRevision | None] = []
        self._bases: dict[str, int] = defaultdict(int)

    def append(self, value: bytes | None, key: bytes | None = None, headers: Sequence[Header] = ()) -> None:
        self.records.append(Record(TOPICS.metrics, self.partition, len(self.records), key, value, list(headers)))

    def samples(self, *samples: tuple[Mapping[str, str], int, float], tenant: str | None = None) -> None:
        """One record: (labels, seconds since the start, value) each."""
        series = [(labels, [(START_MS + round(1000 * s), value)]) for labels, s, value in samples]
        self.append(write_request(series), tenant.encode() if tenant else None)

    def control(self, at_s: float, detectors_offset: int | None = None) -> None:
        """Log time so many seconds after the start; announces all revisions so far."""
        offset = len(self.revisions) if detectors_offset is None else detectors_offset
        control = ControlRecord(time_ms=START_MS + round(1000 * at_s), detectors_offset=offset, feedback_offset=0)
        self.append(control.encode(), headers=[(CONTROL_HEADER, b"1")])

    def detector(self, detector_id: str, config: DetectorConfig | None) -> None:
        """A revision on top of the last; None deletes."""
        base = self._bases[detector_id]
        self._bases[detector_id] = base + 1 if config else 0
        self.revisions.append(
            DetectorRevision(detector_id=detector_id, base_revision=base, config=config, author="test", time_ms=0)
        )

    def read_revisions(self, start: int, end: int) -> list[DetectorRevision | None]:
        assert end <= len(self.revisions), "beyond the end of the detector log"
        return self.revisions[start:end]

    def chunks(self) -> list[Chunk]:
        """One chunk a record; labels go along once."""
        decoder = Decoder(NEVER_AGAIN_S, 10**6)
        return [chunk for record in self.records for _, chunks in decoder.decode([record]) for chunk in chunks]

    def block(self, **limits: Any) -> Block:
        """An empty block that reads this detector log."""
        return Block(TOPICS, BlockLimits(**limits), self.read_revisions)

    def run(self, **limits: Any) -> tuple[Block, list[Anomaly]]:
        """All records, one after the other, through one block."""
        block = self.block(**limits)
        return block, anomalies(block.take(self.chunks()))


def config(kind: str = "mad", selector: str = "m", **changes: Any) -> DetectorConfig:
    """A quick detector: ready after five samples."""
    params: dict[str, Any] = {"ewma": {"warmup": 5}}.get(kind, {"window": 5})
    fields: dict[str, Any] = {"name": kind, "kind": kind, "selector": selector, "params": params, "quiet_s": 5.0}
    return DetectorConfig(**{**fields, **changes})


def anomalies(records: Iterable[OutRecord]) -> list[Anomaly]:
    """Events, in order; other records are left out."""
    return [Anomaly.decode(record.value or b"") for record in records if record.topic == TOPICS.anomalies]


def by_id(events: Iterable[Anomaly]) -> dict[str, list[Any]]:
    """All that consumers may rely on: the events of each episode, in order."""
    out: dict[str, list[Any]] = defaultdict(list)
    for event in events:
        out[event.id].append(json.loads(event.encode()))
    return dict(out)
