"""Grouping over partitions against one slow process that has all samples at hand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.detector import DetectorConfig, Group, Shape
from flows.chunks import Samples
from tests import naive_groups
from tests.examples import examples
from tests.groups import Key, Partitions, Sample, record_of
from tests.series import START_MS
from tests.streams import Log, anomalies, by_id, config

STEP_MS = 15_000
GRACE_MS = 5_000
PARTITIONS = 3
STEPS = 130
BOUNDS = ("0.1", "1", "10", "+Inf")
SEEDS = range(2)


def grouped(selector: str, shape: Shape = Shape.AUTO, threshold: float = 4.0, **group: Any) -> DetectorConfig:
    return config("ewma", selector, group=Group(**group), shape=shape, params={"warmup": 5}, threshold=threshold)


DETECTORS = {
    "sum": grouped("g", by=("x",)),
    "avg": grouped('g{n!="1"}', aggregate="avg", without=("n", "p")),
    "min": grouped("g", threshold=0.2, aggregate="min", by=("x",)),
    "max": grouped("c_total", Shape.INCREASE, aggregate="max", by=("x",), range_s=30),
    "count": grouped("g", aggregate="count"),
    "quantile": grouped("g", aggregate="quantile", q=0.9, by=("x",)),
    "rate": grouped("c_total", by=("x",)),
    "delta": grouped("g", Shape.DELTA, by=("x",), range_s=45),
    "ratio": grouped('c_total{n=~"[01]"}', by=("x",), denominator="c_total"),
    "classic": grouped("h_bucket", by=("x",), histogram_quantile=0.7),
}


class Heard(NamedTuple):
    """What a partition took: a sample, or log time with the offset that it announces."""

    sample: Sample | None
    log_ms: int = 0
    offset: int = 0


class World:
    """Random series on random partitions, with all faults, and the record of what every partition heard."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.revisions = Log()
        self.logs = [Log(partition) for partition in range(PARTITIONS)]
        self.heard: list[list[Heard]] = [[] for _ in range(PARTITIONS)]
        self.announced = [0] * PARTITIONS
        for log in self.logs:
            log.revisions, log._bases = self.revisions.revisions, self.revisions._bases
        self.series = self._series()
        self.level = [float(self.rng.uniform(1, 100)) for _ in self.series]
        self.held: list[list[tuple[float, Sample]]] = [[] for _ in range(PARTITIONS)]

    def _series(self) -> list[tuple[int, dict[str, str]]]:
        names = [{"__name__": name, "x": x, "n": str(n)} for name in ("g", "c_total") for x in "ab" for n in range(4)]
        names += [{"__name__": "h_bucket", "x": x, "le": le, "n": str(n)}
                  for x in "ab" for n in range(2) for le in BOUNDS]  # fmt: skip
        return [(int(self.rng.integers(PARTITIONS)), {**one, "p": str(i % 7)}) for i, one in enumerate(names)]

    def step(self, at_s: float) -> None:
        """Five seconds of life."""
        rng = self.rng
        for number, (partition, labels) in enumerate(self.series):
            if rng.random() < 0.25 or (labels["n"] == "3" and at_s % 300 > 200):
                continue
            sample = self._sample(number, labels, START_MS + round(1000 * at_s) + int(rng.integers(0, 4000)))
            delay_s = rng.choice([0.0, 4.0, 9.0, 40.0, 120.0], p=[0.7, 0.15, 0.05, 0.05, 0.05])
            if labels["n"] == "2" and 100 <= at_s % 200 < 140:
                delay_s = 145.0 - at_s % 200  # in order among themselves, but after their steps
            self.held[partition].append((at_s + delay_s, sample))
        for partition in range(PARTITIONS):
            self._send(partition, at_s)

    def _sample(self, number: int, labels: dict[str, str], time_ms: int) -> Sample:
        rng, name = self.rng, labels["__name__"]
        grown = float(rng.exponential(5.0))
        if name == "g":
            self.level[number] += rng.normal(0.0, 3.0)
        elif name == "h_bucket":
            self.level[number] += BOUNDS.index(labels["le"]) * grown
        else:
            self.level[number] = grown if rng.random() < 0.05 else self.level[number] + grown
        start_ms = time_ms - int(rng.choice([0, 500, 100_000])) if name == "c_total" and rng.random() < 0.3 else 0
        if rng.random() < 0.03:
            return Sample(labels, time_ms, math.nan, 0, stale=bool(rng.random() < 0.5))
        return Sample(labels, time_ms, self.level[number], start_ms)

    def _send(self, partition: int, at_s: float) -> None:
        due = [sample for until_s, sample in self.held[partition] if until_s <= at_s]
        self.held[partition] = [one for one in self.held[partition] if one[0] > at_s]
        due += [due[0]] if due and self.rng.random() < 0.2 else []
        if due:
            self.logs[partition].append(record_of(due))
            self.heard[partition] += [Heard(sample) for sample in due]
        if self.rng.random() < 0.85:
            self.control(partition, at_s + 4.5)

    def control(self, partition: int, at_s: float) -> None:
        """Log time; not every partition hears of all revisions at once."""
        known = len(self.revisions.revisions)
        if self.rng.random() < 0.5:
            self.announced[partition] = known
        offset = self.announced[partition]
        self.logs[partition].control(at_s, offset)
        self.heard[partition].append(Heard(None, START_MS + round(1000 * at_s), offset))

    def live(self, steps: int = STEPS) -> None:
        for step in range(steps):
            self._configure(step)
            self.step(5.0 * step)
        for partition in range(PARTITIONS):
            self.announced[partition] = len(self.revisions.revisions)
            self.control(partition, 5.0 * steps + 60.0)

    def _configure(self, step: int) -> None:
        if step == 1:
            for key, made in DETECTORS.items():
                self.revisions.detector(key, made)
        if step == 40:
            self.revisions.detector("sum", DETECTORS["sum"].model_copy(update={"name": "renamed"}))
            self.revisions.detector("avg", grouped("g", aggregate="avg", by=("x",), step_s=10))
        if step == 60:
            self.revisions.detector("min", None)
            self.revisions.detector("max", None)
            self.revisions.detector("max", DETECTORS["max"])
        if step == 85:
            self.revisions.detector("count", DETECTORS["count"].model_copy(update={"enabled": False}))
            self.revisions.detector("min", DETECTORS["min"])


class Chapter(NamedTuple):
    """A time in which a partition gathered under one config: offset of its first revision, and told steps."""

    since: int
    config: DetectorConfig
    first: int
    samples: dict[frozenset[tuple[str, str]], list[tuple[int, float, int]]]
    told: list[int]


def computes(made: DetectorConfig | None) -> Any:
    return made and made.enabled and made.model_copy(update={"name": ""})


def chapters(world: World, partition: int, key: str) -> list[Chapter]:
    """What one partition gathered for a detector, from beginning to end."""
    out: list[Chapter] = []
    open_: Chapter | None = None
    since, current, offset = -1, None, 0
    last_ms: dict[frozenset[tuple[str, str]], int] = {}
    for heard in world.heard[partition]:
        if heard.sample is not None:
            one = heard.sample
            series = frozenset(one.labels.items())
            if one.time_ms <= last_ms.get(series, -1):
                continue
            last_ms[series] = one.time_ms
            if open_ is not None and not (open_.told and one.time_ms <= open_.told[-1]):
                value = math.nan if one.stale else one.value
                open_.samples.setdefault(series, []).append((one.time_ms, value, one.start_ms))
            continue
        if open_ is not None:
            step_ms = 1000 * open_.config.group.step_s  # type: ignore[union-attr]
            told = open_.told[-1] if open_.told else (open_.first - 1) * step_ms
            while told + step_ms + GRACE_MS <= heard.log_ms:
                told += step_ms
                open_.told.append(told)
        before = (since, computes(current))
        for at in range(offset, heard.offset):
            revision = world.revisions.revisions[at]
            if revision is not None and revision.detector_id == key:
                if computes(revision.config) != computes(current):
                    since = at
                current = revision.config
        offset = max(offset, heard.offset)
        if (since, computes(current)) != before:
            open_ = None
            if current is not None and current.enabled and current.group is not None:
                step_ms = 1000 * current.group.step_s
                range_ms = 1000 * (current.group.range_s or 4 * current.group.step_s)
                settle_ms = 60_000 if current.shape == "raw" else max(60_000, range_ms)
                open_ = Chapter(since, current, -(-(heard.log_ms + settle_ms) // step_ms), {}, [])
                out.append(open_)
    return out


def expected(world: World) -> dict[Key, float]:
    """Every value of every group at every step that all partitions told under the same config."""
    out: dict[Key, float] = {}
    for key in DETECTORS:
        told = [chapters(world, partition, key) for partition in range(PARTITIONS)]
        for chapter in told[0]:
            alike = [next((c for c in mine if c.since == chapter.since), None) for mine in told]
            if None in alike:
                continue
            both = [c for c in alike if c is not None]
            series = {s: samples for c in both for s, samples in c.samples.items()}
            for time_ms in set.intersection(*(set(c.told) for c in both)):
                for labels, value in values_at(chapter.config, series, time_ms).items():
                    out[key, time_ms, labels] = value
    return out


def values_at(made: DetectorConfig, series: dict[Any, Any], time_ms: int) -> dict[frozenset[tuple[str, str]], float]:
    group = made.group
    assert group is not None
    range_ms = 1000 * (group.range_s or 4 * group.step_s)

    def members(selector: str) -> list[tuple[dict[str, str], float]]:
        chosen = [(dict(s), samples) for s, samples in series.items() if matches(selector, dict(s))]
        shape = made.shape if made.shape != "auto" else "raw" if selector.startswith("g") else "rate"
        return [(labels, naive_groups.value_at(samples, time_ms, shape, range_ms)) for labels, samples in chosen]

    q = group.q if group.q is not None else math.nan
    if group.histogram_quantile is not None:
        buckets = naive_groups.grouped(members(made.selector), (*(group.by or ()), "le"), None, "sum")
        quantiles: dict[frozenset[tuple[str, str]], dict[float, float]] = {}
        for labels, value in buckets.items():
            rest = frozenset(item for item in labels if item[0] != "le")
            quantiles.setdefault(rest, {})[float(dict(labels)["le"])] = value
        return {rest: naive_groups.bucket_quantile(group.histogram_quantile, b) for rest, b in quantiles.items()}
    above = naive_groups.grouped(members(made.selector), group.by, group.without, group.aggregate, q)
    if group.denominator is None:
        return above
    below = naive_groups.grouped(members(group.denominator), group.by, group.without, "sum")
    return {k: v / below[k] if below[k] else math.nan for k, v in above.items() if k in below}


def matches(selector: str, labels: dict[str, str]) -> bool:
    name, _, rest = selector.partition("{")
    if labels["__name__"] != name:
        return False
    return {"": True, 'n!="1"}': labels["n"] != "1", 'n=~"[01]"}': labels["n"] in "01"}[rest]


@cache
def world_of(seed: int) -> World:
    world = World(seed)
    world.live()
    return world


@cache
def judged(seed: int) -> Partitions:
    """A world as its partitions say it, in some order and without a restart; several tests look at it."""
    partitions = Partitions(world_of(seed).logs)
    partitions.run(np.random.default_rng(seed + 100))
    return partitions


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_partitions_together_say_what_one_slow_process_says(seed: int) -> None:
    partitions, wanted = judged(seed), expected(world_of(seed))
    assert len(wanted) > 500
    assert {key for key, _, _ in wanted} == set(DETECTORS)
    assert partitions.values.keys() == wanted.keys()
    for key, value in wanted.items():
        assert partitions.values[key] == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), key
    assert sum(block.counts["late"] for block in partitions.blocks) > 0


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_partitions_and_restarts_change_nothing_not_even_a_bit(seed: int) -> None:
    one, other = judged(seed), Partitions(world_of(seed).logs)
    other.run(np.random.default_rng(2), restarts=0.1)
    assert one.values.keys() == other.values.keys()
    for key, value in one.values.items():
        assert np.float64(value).tobytes() == np.float64(other.values[key]).tobytes(), key
    assert by_id(anomalies(one.out)) == by_id(anomalies(other.out))


@pytest.mark.long
def test_the_worlds_hold_anomalies() -> None:
    out = [event for seed in SEEDS for event in anomalies(judged(seed).out)]
    assert len(by_id(out)) > 10
    assert {event.closed_by for event in out} >= {None, "quiet", "detector"}
    expressions = {event.detector.id: event.signal.expression for event in out}
    assert expressions["sum"] == "sum by (x) (g)"
    assert {event.signal.shape for event in out} >= {Shape.RAW, Shape.RATE}


Kind = Literal["missing", "late", "held", "doubled", "older", "stale", "reset", "silent"]


class Fault(NamedTuple):
    step: int
    series: int
    kind: Kind
    steps: int
    """how much later, or older; ``held`` are all samples of a series from ``step`` on, until so many steps later"""


class Faulty(World):
    """A regular world on given partitions but for listed faults: what hypothesis can make smaller."""

    STEPS = 28

    def __init__(self, homes: Sequence[int], faults: Iterable[Fault], announced: Sequence[int]) -> None:
        super().__init__(0)
        self.series = [(home, labels) for home, labels in zip(homes, FEW, strict=True)]
        self.level = [0.0] * len(FEW)
        self.faults = {(one.step, one.series, one.kind): one.steps for one in faults}
        self.since = announced
        """step from which each partition knows the detectors"""

    def live(self, steps: int = STEPS) -> None:
        for key, made in DETECTORS.items():
            self.revisions.detector(key, made)
        for step in range(steps):
            self._measure(step)
            for partition in range(PARTITIONS):
                self._deliver(partition, step)
        for partition in range(PARTITIONS):
            self._tell(partition, 5.0 * steps + 60.0)

    def _measure(self, step: int) -> None:
        for number, (partition, labels) in enumerate(self.series):
            here = {kind: steps for (at, of, kind), steps in self.faults.items() if (at, of) == (step, number)}
            held = [at + steps for (at, of, kind), steps in self.faults.items()
                    if kind == "held" and of == number and at <= step <= at + steps]  # fmt: skip
            grown = float((3 * number + step * step) % 11 + BOUNDS.index(labels.get("le", "0.1")))
            self.level[number] = grown if "reset" in here else self.level[number] + grown
            sample = Sample(labels, START_MS + 5000 * step + 331 * number, self.level[number], stale="stale" in here)
            if "missing" not in here:
                self.held[partition].append((max([step + here.get("late", 0), *held]), sample))
            if "doubled" in here:
                self.held[partition].append((step + here["doubled"], sample))
            if "older" in here:
                older = sample._replace(time_ms=sample.time_ms - 2500 * here["older"], value=1e6)
                self.held[partition].append((step, older))

    def _deliver(self, partition: int, step: int) -> None:
        due = [sample for until, sample in self.held[partition] if until <= step]
        self.held[partition] = [one for one in self.held[partition] if one[0] > step]
        if due:
            self.logs[partition].append(record_of(due))
            self.heard[partition] += [Heard(sample) for sample in due]
        if (step, partition, "silent") not in self.faults:
            self._tell(partition, 5.0 * step + 4.5, known=step >= self.since[partition])

    def _tell(self, partition: int, at_s: float, known: bool = True) -> None:
        offset = len(self.revisions.revisions) if known else 0
        self.logs[partition].control(at_s, offset)
        self.heard[partition].append(Heard(None, START_MS + round(1000 * at_s), offset))


FEW = [
    *({"__name__": "g", "x": x, "n": n} for x, n in ("a0", "a1", "b0")),
    *({"__name__": "c_total", "x": x, "n": n} for x, n in ("a0", "a2", "b1")),
    *({"__name__": "h_bucket", "x": "a", "n": "0", "le": le} for le in BOUNDS),
]
FAULTS = st.lists(
    st.builds(
        Fault, st.integers(0, Faulty.STEPS - 1), st.integers(0, len(FEW) - 1),
        st.sampled_from([*get_args(Kind), "held"]), st.integers(0, 10),
    ),
    min_size=15, max_size=40,
)  # fmt: skip


@pytest.mark.long
@examples(9)
@given(
    st.lists(st.integers(0, PARTITIONS - 1), min_size=len(FEW), max_size=len(FEW)),
    FAULTS,
    st.tuples(*[st.integers(0, 3)] * PARTITIONS),
    st.integers(0, 2**16),
)
def test_partitions_together_say_it_whatever_is_late_doubled_or_missing(
    homes: list[int], faults: list[Fault], announced: tuple[int, ...], order: int
) -> None:
    world = Faulty(homes, faults, announced)
    world.live()
    partitions = Partitions(world.logs)
    partitions.run(np.random.default_rng(order), restarts=0.05)
    wanted = expected(world)
    assert partitions.values.keys() == wanted.keys()
    for key, value in wanted.items():
        assert partitions.values[key] == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), key


@pytest.mark.long
def test_the_regular_world_has_values_of_every_detector() -> None:
    world = Faulty([number % PARTITIONS for number in range(len(FEW))], [], (0, 1, 2))
    world.live()
    wanted = expected(world)
    assert len(wanted) > 50
    assert {key for key, _, _ in wanted} == set(DETECTORS)


def test_samples_are_samples() -> None:
    """The twin is fed what the blocks are fed."""
    world = world_of(0)
    chunks = [chunk for log in world.logs for chunk in log.chunks() if isinstance(chunk, Samples)]
    heard = sum(one.sample is not None for mine in world.heard for one in mine)
    assert sum(len(chunk.series) for chunk in chunks) == heard
