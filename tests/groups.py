"""Groups over several partitions, without Bytewax: blocks and merges as the flow wires them."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from connectors.codec.encode import encode_labels, encode_varint
from connectors.codec.labels import parse_labels
from connectors.messages import OutRecord
from flows.block import Block
from flows.chunks import Chunk, Samples
from flows.group import GroupPlan
from flows.limits import BlockLimits
from flows.merge import Merge
from flows.persistence import load, save
from flows.saved_merge import load_merge, save_merge
from tests.streams import TOPICS, Log

Key = tuple[str, int, frozenset[tuple[str, str]]]
"""Detector, end of the step in ms, labels of the group."""
STALE = struct.pack("<Q", 0x7FF0000000000002)


class Sample(NamedTuple):
    labels: Mapping[str, str]
    time_ms: int
    value: float
    start_ms: int = 0
    stale: bool = False


def record_of(samples: Iterable[Sample]) -> bytes:
    """A record as ingest writes it, one series a sample."""
    out = []
    for one in samples:
        value = STALE if one.stale else struct.pack("<d", one.value)
        body = b"\x09" + value + b"\x10" + encode_varint(one.time_ms)
        body += b"\x18" + encode_varint(one.start_ms) if one.start_ms else b""
        series = encode_labels(one.labels) + b"\x12" + encode_varint(len(body)) + body
        out.append(b"\x0a" + encode_varint(len(series)) + series)
    return b"".join(out)


def histogram_record(labels: Mapping[str, str], histogram: bytes) -> bytes:
    """A record with one native histogram."""
    series = encode_labels(labels) + b"\x22" + encode_varint(len(histogram)) + histogram
    return b"\x0a" + encode_varint(len(series)) + series


class SeenMerge(Merge):
    """A merge that notes what it judges."""

    def __init__(
        self, detector: str, values: dict[Key, float], partitions: int, limits: BlockLimits | None = None
    ) -> None:
        super().__init__(TOPICS, limits or BlockLimits(), partitions)
        self.detector, self.values = detector, values

    def new_block(self, plan: GroupPlan) -> Block:
        block = super().new_block(plan)
        take = block.take

        def noted(chunks: Iterable[Chunk]) -> list[OutRecord]:
            chunks = list(chunks)
            for chunk in chunks:
                if isinstance(chunk, Samples):
                    self._note(chunk)
            return take(chunks)

        block.take = noted  # type: ignore[method-assign]
        return block

    def _note(self, samples: Samples) -> None:
        columns = zip(samples.times_ms.tolist(), samples.new, samples.values.tolist(), strict=True)
        for time_ms, new, value in columns:
            key = (self.detector, time_ms, frozenset(parse_labels(new.labels).items()))
            assert self.values.setdefault(key, value) == value or value != value, "a step was judged twice"


def sharing_logs(partitions: int) -> list[Log]:
    """Logs of so many partitions, which share one detector log."""
    logs = [Log(p) for p in range(partitions)]
    for log in logs[1:]:
        log.revisions, log._bases = logs[0].revisions, logs[0]._bases
    return logs


class Partitions:
    """All partitions of a flow: ``logs`` share one detector log."""

    def __init__(self, logs: Sequence[Log], **limits: Any) -> None:
        self.logs = logs
        self.limits = limits
        self.blocks = [log.block(**limits) for log in logs]
        self.values: dict[Key, float] = {}
        self.merges: dict[str, SeenMerge] = defaultdict()
        self.out: list[OutRecord] = []

    def take(self, partition: int, chunks: Iterable[Chunk]) -> None:
        self.out += self.blocks[partition].take(chunks)
        for part in self.blocks[partition].parts():
            key = part.detector.id
            merge = self.merges.setdefault(key, SeenMerge(key, self.values, len(self.logs), BlockLimits(**self.limits)))
            self.out += merge.take([(partition, part)])
            if merge.over:
                del self.merges[key]

    def restart(self) -> None:
        """As after a crash at the end of an epoch."""
        saved = [save(block) for block in self.blocks]
        self.blocks = [load(raw, log.block(**self.limits)) for raw, log in zip(saved, self.logs, strict=True)]
        merges = {key: save_merge(merge) for key, merge in self.merges.items()}
        for key, raw in merges.items():
            fresh = SeenMerge(key, self.values, len(self.logs), BlockLimits(**self.limits))
            load_merge(raw, fresh)
            self.merges[key] = fresh

    def run(self, rng: np.random.Generator, restarts: float = 0.0) -> None:
        """All records, the partitions read in any order; now and then a restart."""
        chunks = [log.chunks() for log in self.logs]
        at = [0] * len(chunks)
        while any(i < len(mine) for i, mine in zip(at, chunks, strict=True)):
            p = int(rng.integers(len(chunks)))
            n = int(rng.integers(1, 6))
            self.take(p, chunks[p][at[p] : at[p] + n])
            at[p] += n
            if rng.random() < restarts:
                self.restart()
