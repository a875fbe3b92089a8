"""Whatever values series have, nothing ends the flow, and what it says are anomalies that consumers can read."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.detector import Budget, DetectorConfig, Group, Period, Shape
from flows.detectors.registry import KINDS, Trait
from tests.examples import examples
from tests.groups import Partitions, Sample, record_of, sharing_logs
from tests.series import START_MS
from tests.streams import anomalies, by_id, config

PARTITIONS, SERIES, STEP_S, CALM = 2, 6, 15, 14
LARGEST, LEAST = sys.float_info.max, 5e-324
VALUES = (
    Sample({}, 0, 0.0, stale=True),
    *(Sample({}, 0, value) for value in (math.inf, -math.inf, math.nan, 1e308, -1e308, LARGEST)),
    *(Sample({}, 0, value) for value in (1e38, -1e38, 1.1e38, 1e19, 0.0, LEAST, -LEAST)),
)
BOUNDS = ("+Inf", "-Inf", "NaN", "", "x", "1e400", "1e308", "-1e308", "5e-324", "0", "-0", "1", "0x1p3", "1_0", "٣")
SHAPES = (Shape.RAW, Shape.RATE, Shape.INCREASE, Shape.DELTA)
QUICK: dict[str, dict[str, Any]] = {
    "auto": {},
    "threshold": {"lower": -1e37, "upper": 0.0, "spread": LEAST},
    **{kind: {"window": 5, "floor_ratio": 0.0} for kind in ("mad", "zscore", "quantile", "iqr")},
    "ewma": {"warmup": 3, "alpha": 0.5, "floor_ratio": 0.0},
    **{kind: {"warmup": 5, "floor_ratio": 0.0} for kind in ("changepoint", "forecast")},
    "seasonal": {"warmup": 5, "period_s": 60.0, "floor_ratio": 0.0},
    "river": {"warmup": 3},
    "flatline": {"warmup": 3, "moves": 3},
    "missing": {"warmup": 3},
    "outlier": {"min_members": 4, "floor_ratio": 0.0},
}
SLOW = ("auto", "river")
"""They learn for more than 60 steps; all others have said by then what they ever say here."""


def grouped(kind: str, shape: Shape, **group: Any) -> DetectorConfig:
    fields = {"params": QUICK[kind], "threshold": 0.5, "quiet_s": 20.0}
    return config(kind, "m", group=Group(by=("x",), **group), shape=shape, **fields)


def groups_of(shape: Shape) -> Iterator[DetectorConfig]:
    for aggregate in ("sum", "avg", "min", "max", "count"):
        yield grouped("mad", shape, aggregate=aggregate)
    for q in (0.0, 0.5, 1.0):
        yield grouped("mad", shape, aggregate="quantile", q=q)
        if shape is not Shape.DELTA:
            yield grouped("mad", shape, histogram_quantile=q)
    yield grouped("mad", shape, denominator='m{n=~"[01]"}')
    for kind in ("outlier", "auto", "mad"):
        yield grouped(kind, shape, aggregate="members")


class World:
    """Series of several partitions: calm at first, so that detectors know them, and then as hostile as can be."""

    def __init__(
        self, made: Sequence[DetectorConfig], homes: Sequence[int], values: Sequence[Sample], seed: int
    ) -> None:
        self.rng, self.values, self.homes = np.random.default_rng(seed), values, homes
        self.logs = sharing_logs(1 + max(homes))
        for number, one in enumerate(made):
            self.logs[0].detector(f"d{number}", one)

    def live(self, labels: Sequence[dict[str, str]], steps: int) -> None:
        for step in range(steps):
            for home, log in enumerate(self.logs):
                here = [n for n, at in enumerate(self.homes) if at == home and self.rng.random() < 0.95]
                log.append(record_of([self._sample(n, labels[n], step) for n in here]))
                log.control(STEP_S * step + 6.0)

    def _sample(self, number: int, labels: dict[str, str], step: int) -> Sample:
        time_ms = START_MS + 1000 * STEP_S * step - 2000 - number
        if step < CALM or self.rng.random() < 0.3:
            return Sample(labels, time_ms, float(3 * step + number + self.rng.integers(4)))
        return self.values[self.rng.integers(len(self.values))]._replace(labels=labels, time_ms=time_ms)


HOMES = st.lists(st.integers(0, PARTITIONS - 1), min_size=10, max_size=10)
SOME_VALUES = st.lists(st.sampled_from(VALUES), min_size=1, max_size=5)
SEEDS = st.integers(0, 2**16)


@pytest.mark.long
@pytest.mark.parametrize("shape", [Shape.RAW, Shape.RATE])
def test_groups_of_any_values_end_nothing(shape: Shape) -> None:
    told = set()

    @examples(2)
    @given(HOMES, SOME_VALUES, st.lists(st.sampled_from(BOUNDS), min_size=10, max_size=10), SEEDS)
    def survive(homes: list[int], values: list[Sample], bounds: list[str], seed: int) -> None:
        made = list(groups_of(shape))
        world = World(made, homes, values, seed)
        world.live([{"__name__": "m", "n": str(n), "x": str(n % 2), "le": le} for n, le in enumerate(bounds)], steps=30)
        one, other = Partitions(world.logs), Partitions(world.logs)
        one.run(np.random.default_rng(seed))
        other.run(np.random.default_rng(seed + 1), restarts=0.05)
        assert by_id(anomalies(one.out)) == by_id(anomalies(other.out))
        told.update(event.detector.id for event in anomalies(one.out))

    survive()
    assert len(told) > 9


def alone(kind: str, shape: Shape) -> Iterator[DetectorConfig]:
    made = config(kind, "m", shape=shape, params=QUICK[kind], threshold=0.5)
    yield made
    if KINDS[kind].calibrable:
        yield made.model_copy(update={"calibrate": False})
    if Trait.STATED not in KINDS[kind].traits:
        yield made.model_copy(update={"threshold": None, "chance_per_week": 10_000.0, "quiet_s": None})
        yield made.model_copy(update={"threshold": None, "budget": Budget(alarms=1000.0, per=Period.HOUR)})


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind, one in KINDS.items() if Trait.TOGETHER not in one.traits])
def test_signals_of_any_values_end_nothing(kind: str) -> None:
    shapes = SHAPES[:1] if kind in ("missing", "river") else SHAPES
    made = [one for shape in shapes for one in alone(kind, shape)]
    told = set()

    @examples(3)
    @given(SOME_VALUES, SEEDS)
    def survive(values: list[Sample], seed: int) -> None:
        world = World(made, [0] * SERIES, values, seed)
        world.live([{"__name__": "m", "n": str(n)} for n in range(SERIES)], steps=90 if kind in SLOW else 60)
        world.logs[0].control(100_000.0)
        block, events = world.logs[0].run()
        assert block.counts["revisions_applied"] == len(made)
        told.update(event.detector.id for event in events)

    survive()
    assert told
