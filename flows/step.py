"""A step of a detector's groups as chunks for the block that judges them, be it live or of the past."""

from __future__ import annotations

import numpy as np

from connectors.codec.series_hash import series_hash
from connectors.messages import ControlRecord
from flows.block import Block
from flows.chunks import NewSeries, Samples
from flows.detectors.missing import WITNESS_MS
from flows.partial import Merged


def ticks(block: Block, step_ms: int, time_ms: int) -> list[ControlRecord]:
    """The end of a step, and where silence is judged, what of the step the partitions witnessed before it."""
    times_ms = [time_ms]
    if block.log_ms and any(program.silent for program in block.watch.programs.judging()):
        times_ms = [*range(max(block.log_ms, time_ms - step_ms) + WITNESS_MS, time_ms, WITNESS_MS), time_ms]
    return [ControlRecord(time_ms=tick_ms, detectors_offset=0, feedback_offset=0) for tick_ms in times_ms]


def samples_of(merged: Merged, tenant: str, time_ms: int) -> Samples:
    """Values of the groups at the end of a step."""
    hashes = [series_hash(labels, tenant) for labels in merged.labels]
    new = tuple(NewSeries(one, tenant, labels) for one, labels in zip(hashes, merged.labels, strict=True))
    times_ms = np.full(len(hashes), time_ms, np.int64)
    return Samples(np.array(hashes, np.uint64), times_ms, merged.values, None, new)
