from __future__ import annotations

import math

import numpy as np
import pytest

from connectors.codec.native import NativeHistogram
from connectors.detector import Shape
from flows.shown import Seen, Shown
from tests.groups import Partitions, histogram_record, sharing_logs
from tests.series import START_MS
from tests.streams import Log
from tests.unit.connectors.codec.test_native import message
from tests.unit.flows.test_gather import STEP_S, grouped, values


def test_native_histograms_are_gathered_over_partitions() -> None:
    logs = sharing_logs(2)
    logs[0].detector("d", grouped("h", Shape.AUTO, histogram_quantile=0.5))
    for log in logs:
        log.control(0.0)
    for step in range(1, 30):
        time_ms = START_MS + 1000 * STEP_S * step - 2000
        for p, log in enumerate(logs):
            raw = message(
                count_int=4 * step, sum=1.0, schema=0, timestamp=time_ms,
                positive_spans=[(1 + p, 1)], positive_deltas=[4 * step],
            )  # fmt: skip
            log.append(histogram_record({"__name__": "h", "n": str(p)}, raw))
            log.control(STEP_S * step + 5.0)
    partitions = Partitions(logs)
    partitions.run(np.random.default_rng(0), restarts=0.2)
    told = list(partitions.values.values())
    assert len(told) > 15
    assert told == [2.0] * len(told), "half of the observations are in (1, 2], half in (2, 4]"
    assert partitions.blocks[0].counts["late"] == 0


@pytest.mark.parametrize("alone", [False, True])
def test_bounds_that_differ_on_one_partition_are_a_gap_whatever_another_says(alone: bool) -> None:
    logs = sharing_logs(2)
    logs[0].detector("d", grouped("h", Shape.AUTO, histogram_quantile=0.5))
    for log in logs:
        log.control(0.0)
    for step in range(1, 30):
        time_ms = START_MS + 1000 * STEP_S * step - 2000
        for partition, n, bound in ((0, 0, 1.0), (0, 1, 2.0), (1, 2, 2.0))[: 2 if alone else 3]:
            raw = message(
                count_int=4 * step, sum=1.0, schema=-53, timestamp=time_ms, custom_values=[bound],
                positive_spans=[(0, 1)], positive_deltas=[4 * step],
            )  # fmt: skip
            logs[partition].append(histogram_record({"__name__": "h", "n": str(n)}, raw))
        for log in logs:
            log.control(STEP_S * step + 5.0)
    partitions = Partitions(logs)
    partitions.run(np.random.default_rng(0), restarts=0.2)
    assert not any(math.isfinite(value) for value in partitions.values.values())


def test_a_native_histogram_that_ended_is_gone_from_raw_groups() -> None:
    log = Log()
    log.detector("d", grouped("h", histogram_quantile=0.5))
    log.control(0.0)
    for step in range(1, 20):
        raw = message(
            count_int=4, sum=1.0, schema=0, timestamp=START_MS + 1000 * STEP_S * step - 2000,
            positive_spans=[(1, 1)], positive_deltas=[4],
        )  # fmt: skip
        if step == 12:
            raw = raw.replace(np.float64(1.0).tobytes(), np.uint64(0x7FF0000000000002).tobytes())
        if step <= 12:
            log.append(histogram_record({"__name__": "h"}, raw))
        log.control(STEP_S * step + 5.0)
    told = values(log)
    assert told == [pytest.approx(math.sqrt(2.0))] * len(told)
    assert len(told) == (175 - 70) // STEP_S + 1, "steps end 10, 25, … s after the start; the series ends at 178 s"


def test_a_native_histogram_that_cannot_be_read_is_counted_and_left_out() -> None:
    log = Log()
    log.detector("d", grouped("h", histogram_quantile=0.5))
    log.control(0.0)
    log.append(histogram_record({"__name__": "h"}, message(timestamp=START_MS, positive_spans=[(0, 5)])))
    log.control(200.0)
    partitions = Partitions([log])
    partitions.run(np.random.default_rng(0))
    assert partitions.values == {}
    (gathering,) = partitions.blocks[0].watch.gatherings.values()
    assert [gather.histograms.unreadable for gather in gathering.gathers.values()] == [1]


def test_its_size_may_be_asked_for_while_it_changes() -> None:
    """The probes' thread asks, and between any two of its steps the worker may see another member."""
    shown = Shown(Shape.RAW, 15_000, 15_000)

    class Seeing(bytes):
        def __len__(self) -> int:
            shown._seen[len(shown._seen)] = []
            return 3

    shown._seen[0] = [Seen(0, Seeing(), NativeHistogram(0, 0.0, 0.0))]
    assert shown.size_bytes == 3
