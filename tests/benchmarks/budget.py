"""``python -m tests.benchmarks.budget [--json]``: are alarm budgets kept, over two simulated weeks of 500 signals?

A sample a minute of each, through the blocks of the flow, one per partition, with a control record every minute. The
signals are Gaussian, heavy-tailed, seasonal, autocorrelated, counts and bursts; one in seventeen has an incident of up
to an hour, and on the tenth day one in twenty has one for half an hour at the same time. Per case: episodes opened over
those of the budget, in both weeks and by day. Takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from connectors.catalogue import Topics
from connectors.codec.compiled import njit
from connectors.codec.encode import encode_labels
from connectors.codec.series_hash import series_hash
from connectors.detector import Budget, DetectorConfig, DetectorRevision, Period
from connectors.messages import DEFAULT_TENANT, ControlRecord
from flows.block import Block
from flows.budget import PERIOD_S
from flows.chunks import Chunk, NewSeries, Samples
from flows.detectors.base import Floats
from flows.limits import BlockLimits
from tests.series import START_MS

DAY_S = 86_400
DAYS, SIGNALS, STEP_S = 14, 500, 60
SORTS = ("gaussian", "heavy", "seasonal", "autocorrelated", "counts", "bursts")
STORM_AT = 0.65
"""When the common incident comes, as a share of the time."""


class Case(NamedTuple):
    """A budget to be kept, by so many partitions."""

    budget: Budget
    partitions: int = 1
    kind: str = "auto"

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.kind}, {self.budget.alarms:g} per {self.budget.per}, {self.partitions} partitions"


CASES = (
    Case(Budget(per=Period.DAY, alarms=3.0)),
    Case(Budget(per=Period.DAY, alarms=3.0), 8),
    Case(Budget(per=Period.WEEK, alarms=10.0)),
    Case(Budget(per=Period.DAY, alarms=20.0)),
    Case(Budget(per=Period.DAY, alarms=20.0), 8),
    Case(Budget(per=Period.HOUR, alarms=2.0), 8),
    Case(Budget(per=Period.DAY, alarms=20.0), 8, "mad"),
)


class Kept(NamedTuple):
    """What came of a case: episodes opened by day, and over those of the budget."""

    wanted: float
    opened: list[int]
    ratio: float
    by_week: list[float]


@njit(cache=True)
def autoregressive(noise: Floats, weight: float) -> Floats:
    """x = weight · x before + noise."""
    out = np.empty_like(noise)
    before = 0.0
    for i in range(noise.shape[0]):
        before = weight * before + noise[i]
        out[i] = before
    return out


def signal(sort: str, steps: int, step_s: int, random: np.random.Generator) -> Floats:
    """Values of one signal without incidents, (steps,)."""
    noise: Floats = random.normal(size=steps)
    match sort:
        case "heavy":
            return random.standard_t(3, steps) if random.random() < 0.5 else random.lognormal(size=steps)
        case "seasonal":
            phase = 2 * np.pi * (np.arange(steps) * step_s / DAY_S + random.random())
            return noise + random.uniform(2, 8) * np.sin(phase)
        case "autocorrelated":
            return autoregressive(noise, 0.9)
        case "counts":
            return random.poisson(random.uniform(1, 20), steps).astype(np.float64)
        case "bursts":
            bursts = random.random(steps) < random.uniform(0.003, 0.03)
            return noise + np.where(bursts, random.exponential(15.0, steps), 0.0)
    return noise


def mixture(signals: int = SIGNALS, steps: int = DAYS * DAY_S // STEP_S, step_s: int = STEP_S, seed: int = 1) -> Floats:
    """(steps, signals) values with incidents; each signal has a level and a scale of its own."""
    random = np.random.default_rng(seed)
    values = np.empty((steps, signals))
    for n in range(signals):
        one = signal(SORTS[n % len(SORTS)], steps, step_s, random)
        if n % 17 == 0:
            at = int(random.integers(steps // 10, steps - 100))
            one[at : at + int(random.integers(1, 60))] += 10.0 * one.std()
        if n % 20 == 3:
            at = int(STORM_AT * steps)
            one[at : at + 30] += 12.0 * one.std()
        values[:, n] = 10.0 ** random.uniform(-3.0, 6.0) * (random.uniform(0.0, 50.0) + one)
    return values


class Partitions:
    """The blocks of a topic, fed with rows of samples at the same time."""

    def __init__(self, config: DetectorConfig, signals: int, partitions: int, step_s: int) -> None:
        revision = DetectorRevision(detector_id="d", base_revision=0, config=config, author="", time_ms=0)
        self.blocks = [
            Block(Topics(), BlockLimits(), lambda start, end: [revision][start:end]) for _ in range(partitions)
        ]
        labels = [encode_labels({"__name__": "m", "n": str(n)}) for n in range(signals)]
        hashes = np.array([series_hash(raw, DEFAULT_TENANT) for raw in labels], np.uint64)
        self._mine = [np.flatnonzero(hashes % np.uint64(partitions) == n) for n in range(partitions)]
        self._hashes, self._labels, self._step_ms = hashes, labels, 1000 * step_s

    def chunks(self, values: Floats, partition: int, first: int = 0) -> Iterator[Chunk]:
        """What stands in a partition's log: all rows from ``first`` on, a control record after each."""
        mine = self._mine[partition]
        new = tuple(NewSeries(int(self._hashes[n]), DEFAULT_TENANT, self._labels[n]) for n in mine)
        at = {"detectors_offset": 1, "feedback_offset": 0, "partitions": len(self.blocks)}
        for step in range(first, len(values)):
            time_ms = START_MS + self._step_ms * step
            times_ms = np.full(len(mine), time_ms)
            yield Samples(self._hashes[mine], times_ms, values[step, mine], None, new if step == first else ())
            yield ControlRecord(time_ms=time_ms, **at)

    @property
    def opened(self) -> int:
        """Episodes so far."""
        return sum(block.counts["events_opened"] for block in self.blocks)


def keep(case: Case, values: Floats, step_s: int = STEP_S, **changes: Any) -> Kept:
    """Run a mixture through a detector with this budget."""
    fields = {"name": "n", "kind": case.kind, "selector": "m", "budget": case.budget, **changes}
    partitions = Partitions(DetectorConfig(**fields), values.shape[1], case.partitions, step_s)
    chunks = [partitions.chunks(values, number) for number in range(case.partitions)]
    steps_per_day = DAY_S // step_s
    opened: list[int] = []
    for _ in range(len(values) // steps_per_day):
        before = partitions.opened
        for block, mine in zip(partitions.blocks, chunks, strict=True):
            for _ in range(2 * steps_per_day):
                block.take([next(mine)])
        opened.append(partitions.opened - before)
    wanted = case.budget.alarms / PERIOD_S[case.budget.per] * DAY_S * len(opened)
    half = len(opened) // 2
    weeks = [sum(opened[:half]), sum(opened[half:])]
    return Kept(wanted, opened, sum(opened) / wanted, [2 * week / wanted for week in weeks])


def main(arguments: Sequence[str]) -> None:
    """Print a line a case, or all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    values = mixture(seed=given.seed)
    result = {}
    for case in CASES:
        kept = keep(case, values)
        result[case.name] = kept._asdict()
        if not given.json:
            weeks = ", ".join(f"{ratio:.2f}" for ratio in kept.by_week)
            line = f"{case.name}: {sum(kept.opened)} of {kept.wanted:.0f}, ratio {kept.ratio:.2f} (weeks {weeks})"
            sys.stdout.write(f"{line}; by day {kept.opened}\n")
            sys.stdout.flush()
    if given.json:
        sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
