"""``python -m tests.benchmarks.calibration [KIND …] [--samples N] [--json]``: how often surprises are seen,
against what they say.

Every kind whose surprise is about values, through the very program of the flow, on six signals without anomalies. One
signal of each sort runs through a tenth of ``N`` samples, then what it says of the next ``N`` is counted. Per power of
ten: surprises seen over surprises promised, which is 1 for a perfect calibration, and the count. The surprises of
correlated and of seasonal signals come in runs, so that their rarest counts scatter more than independent ones would.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from connectors.messages import Shape
from flows.config import ProgramKey
from flows.detectors.base import Floats
from flows.detectors.registry import KINDS
from flows.program import Program

SAMPLES = 10_000_000
WARM_SHARE = 0.1
CHUNK = 500_000
POWERS = (2, 3, 4, 5)
DAY_STEPS = 1440
"""One sample a minute."""
START_MS = 1_767_225_600_000
DEFAULT_KINDS = ("mad", "zscore", "ewma", "quantile", "iqr", "seasonal", "forecast", "changepoint", "auto")


class Ratios(NamedTuple):
    """Of one kind on one signal: counts per power, and seen over promised."""

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


def chunks(samples: int) -> Iterator[tuple[int, int, bool]]:
    """First sample and end of each chunk, and whether it counts; those of the warm-up come first."""
    warm = int(samples * WARM_SHARE)
    for first, end in ((0, warm), (warm, warm + samples)):
        for begin in range(first, end, CHUNK):
            yield begin, min(begin + CHUNK, end), first > 0


def count(kind: str, sort: str, samples: int = SAMPLES) -> Ratios:
    """Run one kind over one signal."""
    program = Program(ProgramKey(kind, KINDS[kind].params().model_dump_json(), Shape.RAW, KINDS[kind].calibrable))
    program.take_slot()
    signals = Signals(sort)
    seen = np.zeros(len(POWERS), np.int64)
    outside = 0
    for begin, end, counts in chunks(samples):
        values = signals.take(end - begin)
        times_ms = START_MS + 60_000 * np.arange(begin, end, dtype=np.int64)
        _, scored, _ = program.step(np.zeros(end - begin, np.int64), times_ms, values, None)
        if counts:
            seen += [int(np.count_nonzero(scored.score >= power)) for power in POWERS]
            outside += int(np.count_nonzero((values < scored.lower) | (values > scored.upper)))
    ratios = [n / (samples * 10.0**-power) for n, power in zip(seen.tolist(), POWERS, strict=True)]
    return Ratios(seen.tolist(), ratios, outside / (samples * 1e-3))


def line(kind: str, sort: str, found: Ratios) -> str:
    """One row of the table."""
    cells = (f"{ratio:6.2f} ({n})".ljust(18) for ratio, n in zip(found.ratios, found.seen, strict=True))
    return f"{kind:<11} {sort:<15} {''.join(cells)} band {found.outside_band:.2f}"


def main(arguments: Sequence[str], out: Callable[[str], object] = print) -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.calibration")
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=DEFAULT_KINDS)
    parser.add_argument("--samples", type=int, default=SAMPLES, help="counted after a tenth as many")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    kinds, samples, as_json = options.kinds, options.samples, options.json
    results: dict[str, dict[str, Any]] = {}
    if not as_json:
        out(f"seen over promised (count of {samples:,} samples) at surprises of {', '.join(map(str, POWERS))}")
    for kind in kinds:
        for sort in SORTS:
            found = count(kind, sort, samples)
            results.setdefault(kind, {})[sort] = found._asdict()
            if not as_json:
                out(line(kind, sort, found))
    worst = max(max(r, 1 / max(r, 1e-9)) for of in results.values() for found in of.values() for r in found["ratios"])
    out(json.dumps(results | {"worst_factor": worst}) if as_json else f"worst factor {worst:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
