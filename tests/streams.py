"""One partition's log as the flow reads it: real records, with the detector log beside it."""

from __future__ import annotations

import json
import math
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from connectors.anomaly import Anomaly
from connectors.catalogue import Topics
from connectors.codec.encode import encode_varint, encode_write_request
from connectors.detector import Detector, DetectorConfig, DetectorRevision, Shape
from connectors.feedback import Feedback, FeedbackKind, Rule, feedback
from connectors.messages import CONTROL_HEADER, MAX_TIME_MS, ControlRecord, Header, OutRecord
from connectors.training import Mark, history_record, mark_record
from flows.block import Block
from flows.chunks import Chunk, Samples
from flows.decode import Decoder
from flows.limits import BlockLimits
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
        self.feedback: list[Feedback] = []
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
        control = ControlRecord(
            time_ms=START_MS + round(1000 * at_s), detectors_offset=offset, feedback_offset=len(self.feedback)
        )
        self.append(control.encode(), headers=[(CONTROL_HEADER, b"1")])

    def mark(self, training_id: str, mark: Mark, detector_id: str = "d") -> None:
        """The beginning, the end or the cancellation of a training."""
        self._append_out(mark_record(TOPICS.metrics, training_id, detector_id, self.partition, mark))

    def history(
        self, training_id: str, detector: Detector, *series: tuple[Mapping[str, str], Sequence[tuple[float, float]]]
    ) -> None:
        """One record of the past: labels, and (seconds since the start, value) pairs of each series."""
        past = [(labels, [(START_MS + round(1000 * s), value) for s, value in told]) for labels, told in series]
        value = write_request(past)
        self._append_out(history_record(TOPICS.metrics, training_id, detector, self.partition, value))

    def _append_out(self, record: OutRecord) -> None:
        self.append(record.value, record.key, record.headers)

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

    def rule(self, **fields: Any) -> str:
        """A rule that holds from the next control record on; its id."""
        rule = Rule(**{"expires_ms": MAX_TIME_MS, **fields})
        made = feedback(FeedbackKind.RULE_ADDED, "0" * 32, "test", len(self.feedback), rule=rule)
        self.feedback.append(made)
        return made.id

    def no_rule(self, rule_id: str) -> None:
        """It holds no more from the next control record on."""
        at = len(self.feedback)
        self.feedback.append(feedback(FeedbackKind.RULE_REMOVED, "0" * 32, "test", at, rule_id=rule_id))

    def read_feedback(self, start: int, end: int) -> list[Feedback]:
        assert end <= len(self.feedback), "beyond the end of the feedback log"
        return self.feedback[start:end]

    def chunks(self) -> list[Chunk]:
        """One chunk a record; labels go along once."""
        decoder = Decoder(NEVER_AGAIN_S, 10**6)
        return [chunk for record in self.records for _, chunks in decoder.decode([record]) for chunk in chunks]

    def block(self, **limits: Any) -> Block:
        """An empty block that reads this detector log."""
        return Block(TOPICS, BlockLimits(**limits), self.read_revisions, read_feedback=self.read_feedback)

    def run(self, **limits: Any) -> tuple[Block, list[Anomaly]]:
        """All records, one after the other, through one block."""
        block = self.block(**limits)
        return block, anomalies(block.take(self.chunks()))


def config(kind: str = "mad", selector: str = "m", **changes: Any) -> DetectorConfig:
    """A quick detector: ready after five samples."""
    params: dict[str, Any] = {"ewma": {"warmup": 5}}.get(kind, {"window": 5})
    fields = {"name": kind, "kind": kind, "selector": selector, "params": params, "quiet_s": 5.0, "shape": Shape.RAW}
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


def pieces(chunk: Chunk) -> list[Chunk]:
    """A chunk as its smallest parts: samples one by one, labels with the first."""
    if not isinstance(chunk, Samples):
        return [chunk]
    return [
        Samples(
            chunk.series[i : i + 1], chunk.times_ms[i : i + 1], chunk.values[i : i + 1],
            None if chunk.starts_ms is None else chunk.starts_ms[i : i + 1],
            () if i else chunk.new, 0 if i else chunk.histograms,
        )
        for i in range(len(chunk.series))
    ]  # fmt: skip


def joined(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Neighbouring samples in one chunk, as the decoder joins them."""
    out: list[Chunk] = []
    for chunk in chunks:
        last = out[-1] if out else None
        if isinstance(chunk, Samples) and isinstance(last, Samples):
            out[-1] = _join(last, chunk)
        else:
            out.append(chunk)
    return out


def _join(a: Samples, b: Samples) -> Samples:
    none = a.starts_ms is None and b.starts_ms is None
    starts = [np.zeros(len(s.series), np.int64) if s.starts_ms is None else s.starts_ms for s in (a, b)]
    return Samples(
        np.concatenate([a.series, b.series]),
        np.concatenate([a.times_ms, b.times_ms]),
        np.concatenate([a.values, b.values]),
        None if none else np.concatenate(starts),
        (*a.new, *b.new),
        a.histograms + b.histograms,
    )


def busy_log(seed: int, steps: int = 70, partition: int = 0) -> Log:
    """Everything at once: two tenants, faults, gaps, late and doubled samples, series that go and come, and detectors
    that are created, renamed, sharpened, stopped, started and deleted. Five seconds a step."""
    rng, log = np.random.default_rng(seed), Log(partition)
    log.samples(({"__name__": "m", "n": "0", "p": str(partition)}, -5.0, 10.0))
    for step in range(steps):
        _configure(log, step)
        samples: list[tuple[dict[str, str], float, float]] = []
        for n in range(5):
            if n == 4 and 15 <= step < 40:  # away for longer than the block waits
                continue
            value = rng.normal(10.0 + 5.0 * step * (n == 3), 1.0) + rng.choice(
                [0.0, 200.0, -300.0], p=[0.84, 0.1, 0.06]
            )
            value = rng.choice([value, math.nan, math.inf], p=[0.94, 0.03, 0.03])
            at_s = (
                5.0 * step + 0.1 * n - rng.choice([0.0, 5.0, 30.0, 10**6, -(10**6)], p=[0.92, 0.02, 0.02, 0.02, 0.02])
            )
            samples.append(({"__name__": "m" if n < 3 else "c_total", "n": str(n), "p": str(partition)}, at_s, value))
        order = rng.permutation(len(samples))
        log.samples(*(samples[i] for i in order[:3]))
        log.samples(*(samples[i] for i in order[3:]), tenant="other" if step % 2 else None)
        if rng.random() < 0.1:
            log.append(b"\xff\xff")
        if rng.random() < 0.9:
            log.control(5.0 * step + 2.0)
    log.control(5.0 * steps + 3600.0)
    return log


def _configure(log: Log, step: int) -> None:
    change: dict[int, list[tuple[str, DetectorConfig | None]]] = {
        1: [
            ("a", config(quiet_s=12.0)),
            ("b", config("ewma", '{n=~"[0-3]"}', threshold=3.0)),
            ("g", config("ewma", '{n="4"}', threshold=1.0, quiet_s=400.0)),
        ],
        3: [
            ("r", config("zscore", "c_total", shape=Shape.RATE, threshold=2.0, quiet_s=8.0)),
            ("x", config(quiet_s=12.0, name="twin")),
            ("u", config("ewma", "m", threshold=0.8, quiet_s=60.0)),
            ("o", config("ewma", "m", tenant="other", threshold=0.7)),
            ("p", config("ewma", "m", chance_per_week=2000.0, quiet_s=None, close_ratio=0.6, cooldown_s=60.0,
                         min_duration_s=4.0)),
        ],
        12: [("a", config(quiet_s=12.0, name="renamed"))],
        20: [("b", config("ewma", '{n=~"[0-3]"}', threshold=4.0))],
        28: [("a", config(quiet_s=12.0, enabled=False)), ("a", config(quiet_s=12.0))],
        35: [
            ("a", config(quiet_s=12.0, enabled=False)),
            ("t", config("mad", '{__name__=~".+"}', threshold=5.0, shape=Shape.AUTO)),
        ],
        44: [("a", config(quiet_s=12.0)), ("b", None), ("q", config(selector="{")), ("s", None)],
        52: [("r", None), ("r", config("zscore", "c_total", shape=Shape.RATE, threshold=2.0, quiet_s=9.0))],
    }  # fmt: skip
    for detector_id, changed in change.get(step, []):
        log.detector(detector_id, changed)
    if step == 8:
        log.revisions.append(None)
