"""What the benchmark of latency calls due is told by the flow, and what it does not is no loss."""

from __future__ import annotations

import numpy as np
import pytest

from connectors.catalogue import Topics
from connectors.codec.encode import encode_labels
from connectors.detector import DetectorRevision
from connectors.messages import ControlRecord
from flows.block import Block
from flows.chunks import NewSeries, Samples
from flows.limits import BlockLimits
from tests.benchmarks.latency import STEP_MS, STEPS, WARM_STEPS, config_of, due_of, spikes
from tests.benchmarks.load import START_MS, labels_of
from tests.streams import anomalies

BEGIN_MS = START_MS + WARM_STEPS * STEP_MS


def opened(kind: str) -> set[str]:
    """Keys of the episodes that open on the series that spike, judged without Kafka."""
    revision = DetectorRevision(detector_id="all", base_revision=0, config=config_of(kind), author="", time_ms=0)
    block = Block(Topics(), BlockLimits(), lambda start, end: [revision][start:end])
    spike_at = dict.fromkeys(spikes(BEGIN_MS))
    numbers = sorted({series for series, _ in spike_at})
    hashes = np.arange(1, len(numbers) + 1, dtype=np.uint64)
    new = [
        NewSeries(at, "anonymous", encode_labels(labels_of(n))) for at, n in zip(hashes.tolist(), numbers, strict=True)
    ]
    nothing = np.zeros(0, np.int64)
    announced = Samples(hashes[:0], nothing, nothing.astype(np.float64), None, tuple(new))
    records = block.take([ControlRecord(time_ms=START_MS, detectors_offset=1, feedback_offset=0), announced])
    offsets_ms = np.array([time_ms - BEGIN_MS for _, time_ms in spike_at]) % STEP_MS
    offset_ms = dict(zip((series for series, _ in spike_at), offsets_ms.tolist(), strict=True))
    random = np.random.default_rng(3)
    for step in range(-WARM_STEPS, STEPS):
        times_ms = np.array([BEGIN_MS + step * STEP_MS + offset_ms[number] for number in numbers])
        values = random.normal(100.0, 5.0, len(numbers))
        spiking = [key in spike_at for key in zip(numbers, times_ms.tolist(), strict=True)]
        values[spiking] = 10_000.0
        now = ControlRecord(time_ms=BEGIN_MS + (step + 1) * STEP_MS, detectors_offset=1, feedback_offset=0)
        records += block.take([Samples(hashes, times_ms, values, None), now])
    found = [anomaly for anomaly in anomalies(records) if anomaly.event == "opened"]
    return {f"{int(one.signal.labels['pod'].split('-')[1], 16)}/{one.start_ms}" for one in found}


@pytest.mark.parametrize(("kind", "second"), [("mad", 0), ("auto", 22)])
def test_all_that_is_due_is_told_and_second_spikes_of_a_kind_that_rests_are_not(kind: str, second: int) -> None:
    due, not_due = due_of(kind, BEGIN_MS)
    told = opened(kind)
    assert (len(due), len(not_due)) == (1200 - second, second)
    assert due - told == set()
    assert not_due & told == set()
