"""``python -m tests.benchmarks.calibration [KIND …] [--signal SORT …] [--samples N] [--seed S] [--json]``: how often
surprises are seen, against what they say.

Every kind whose surprise is about values, through the very program of the flow, on six signals without anomalies. One
signal of each sort runs through a tenth of ``N`` samples, then what it says of the next ``N`` is counted. A kind that
judges members of a group gets one of ``MEMBERS`` signals of the sort, which have ``N`` samples together; ``river``,
whose models cost microseconds a sample, a fifth of ``N``. Per power of ten: surprises seen over surprises promised,
which is 1 for a perfect calibration, and the count. The surprises of correlated and of seasonal signals come in runs,
so their rarest counts scatter more than independent ones would: try more than one seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from connectors.detector import Aggregate, Group, Shape
from flows.config import ProgramKey
from flows.detectors.base import Floats
from flows.detectors.registry import KINDS, Trait
from flows.program import Program

SAMPLES = 10_000_000
WARM_SHARE = 0.1
CHUNK = 500_000
POWERS = (2, 3, 4, 5)
DAY_STEPS = 1440
"""One sample a minute."""
START_MS = 1_767_225_600_000
MEMBERS = 20
SLOW_SHARE = 0.2
DEFAULT_KINDS = (
    "mad", "zscore", "ewma", "quantile", "iqr", "seasonal", "forecast", "changepoint", "auto", "outlier", "river",
)  # fmt: skip


class Ratios(NamedTuple):
    """Of one kind on one signal: counts per power, and seen over promised."""

    samples: int
    seen: list[int]
    ratios: list[float]
    outside_band: float
    """share outside the band, over the 1 in 1,000 that it promises"""


@njit(cache=True)
def autoregressive(noise: Floats, before: float, weight: float) -> Floats:
    """x = weight · x before + noise."""
    out = np.empty_like(noise)
    for i in range(noise.shape[0]):
        before = weight * before + noise[i]
        out[i] = before
    return out


class Signals:
    """Chunks of one signal after the other, seeded."""

    def __init__(self, sort: str, seed: int = 1) -> None:
        self.sort = sort
        self._random = np.random.default_rng(seed)
        self._last = 0.0
        self._done = 0

    def take(self, n: int) -> Floats:
        """The next ``n`` values."""
        values: NDArray[Any] = getattr(self, f"_{self.sort}")(n)
        self._done += n
        return values.astype(np.float64)

    def _gaussian(self, n: int) -> Floats:
        return self._random.normal(size=n)

    def _student_t3(self, n: int) -> Floats:
        return self._random.standard_t(3, size=n)

    def _lognormal(self, n: int) -> Floats:
        return self._random.lognormal(size=n)

    def _seasonal(self, n: int) -> Floats:
        phase = 2 * np.pi * (self._done + np.arange(n)) / DAY_STEPS
        return 10.0 + 5.0 * np.sin(phase) + self._random.normal(size=n)

    def _autoregressive(self, n: int) -> Floats:
        values = autoregressive(self._random.normal(size=n), self._last, 0.9)
        self._last = float(values[-1])
        return values

    def _poisson(self, n: int) -> NDArray[Any]:
        return self._random.poisson(5.0, size=n)


SORTS = ("gaussian", "student_t3", "lognormal", "seasonal", "autoregressive", "poisson")


def chunks(steps: int, members: int = 1) -> Iterator[tuple[int, int, bool]]:
    """First step and end of each chunk, and whether it counts; those of the warm-up come first."""
    warm, most = int(steps * WARM_SHARE), CHUNK // members
    for first, end in ((0, warm), (warm, warm + steps)):
        for begin in range(first, end, most):
            yield begin, min(begin + most, end), first > 0


def program_of(kind: str, members: int) -> Program:
    """A program with so many slots, all of one group if the kind wants groups."""
    group = Group(by=["group"], aggregate=Aggregate.MEMBERS).model_dump_json(include={"by", "without"})
    key = ProgramKey(
        kind, KINDS[kind].params().model_dump_json(), Shape.RAW, KINDS[kind].calibrable, peers=group * (members > 1)
    )
    program = Program(key)
    for member in range(members):
        program.join(program.take_slot(), {"group": "all", "member": str(member)}, member)
    return program


def count(kind: str, sort: str, samples: int = SAMPLES, seed: int = 1) -> Ratios:
    """Run one kind over one signal, or over a group of them."""
    traits = KINDS[kind].traits
    members = MEMBERS if Trait.TOGETHER in traits else 1
    steps = int(samples * SLOW_SHARE) if Trait.OBJECTS in traits else samples // members
    program = program_of(kind, members)
    signals = [Signals(sort, seed + 1000 * member) for member in range(members)]
    seen = np.zeros(len(POWERS), np.int64)
    outside = 0
    for begin, end, counts in chunks(steps, members):
        values = np.stack([signal.take(end - begin) for signal in signals], axis=1).ravel()
        times_ms = np.repeat(START_MS + 60_000 * np.arange(begin, end, dtype=np.int64), members)
        slots = np.tile(np.arange(members), end - begin)
        _, scored, _ = program.step(slots, times_ms, values, None)
        if counts:
            seen += [int(np.count_nonzero(scored.score >= power)) for power in POWERS]
            outside += int(np.count_nonzero((values < scored.lower) | (values > scored.upper)))
    counted = steps * members
    ratios = [n / (counted * 10.0**-power) for n, power in zip(seen.tolist(), POWERS, strict=True)]
    return Ratios(counted, seen.tolist(), ratios, outside / (counted * 1e-3))


def line(kind: str, sort: str, found: Ratios) -> str:
    """One row of the table."""
    cells = (f"{ratio:6.2f} ({n})".ljust(18) for ratio, n in zip(found.ratios, found.seen, strict=True))
    return f"{kind:<11} {sort:<15} {found.samples:>10,} {''.join(cells)} band {found.outside_band:.2f}"


def main(arguments: Sequence[str], out: Callable[[str], object] = print) -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.calibration")
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=DEFAULT_KINDS)
    parser.add_argument("--signal", nargs="*", choices=SORTS, default=SORTS, help="sorts of signals; default all")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="counted after a tenth as many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    as_json = options.json
    results: dict[str, dict[str, Any]] = {}
    if not as_json:
        out(f"seen over promised (count) at surprises of {', '.join(map(str, POWERS))}, seed {options.seed}")
    for kind in options.kinds:
        for sort in options.signal:
            found = count(kind, sort, options.samples, options.seed)
            results.setdefault(kind, {})[sort] = found._asdict()
            if not as_json:
                out(line(kind, sort, found))
    worst = max(max(r, 1 / max(r, 1e-9)) for of in results.values() for found in of.values() for r in found["ratios"])
    out(json.dumps(results | {"worst_factor": worst}) if as_json else f"worst factor {worst:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
