"""What every detector must do, whatever it computes: each check takes a factory and raises ``AssertionError``.

``tests/unit/flows/detectors/test_base.py`` crosses them with the registry, and with broken detectors that must fail.
"""

from __future__ import annotations

import ast
import math
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flows.detectors.base import BAND_SURPRISE, SURPRISE_MAX, Detector, Floats, Ints, Scored, Table
from tests.examples import examples

Make = Callable[[], Detector]
FORBIDDEN = {"time", "datetime", "logging", "random", "socket", "threading", "kafka", "bytewax", "connectors", "api"}
COMPILED = "connectors.codec.compiled"
LEVELS = {
    "1e12 with spread 1": 1e12 + np.random.default_rng(1).normal(0.0, 1.0, 200),
    "1e-9": 1e-9 * np.random.default_rng(2).normal(5.0, 1.0, 200),
    "Unix time": 1.7e9 + np.random.default_rng(3).normal(0.0, 30.0, 200),
    "1e300": 1e300 * np.random.default_rng(4).normal(1.0, 0.1, 200),
    "both ends of a double": np.array([1.7e308, -1.7e308] * 100),
    "largest double": np.full(200, sys.float_info.max),
    "denormal": 5e-324 * np.random.default_rng(5).integers(0, 9, 200),
    "zero": np.zeros(200),
    "one outlier of 1e30": np.insert(np.random.default_rng(6).normal(5.0, 1.0, 199), 70, 1e30),
    "1e38 and 1": np.random.default_rng(7).choice([1e38, 1.0, -1e38], 200),
}


def times(n: int, first: int = 0) -> Ints:
    return 1000 * (first + np.arange(n, dtype=np.int64))


def warm_values(detector: Detector, seed: int = 0, extra: int = 0) -> Floats:
    """Noise about 10, enough for a score, and ``extra`` more."""
    empty = detector.allocate(1)
    needed = int(detector.needs(empty, np.zeros(1, np.int64))[0])
    return np.random.default_rng(seed).normal(10.0, 2.0, needed + extra)


def feed(
    detector: Detector, state: Table, values: Sequence[float] | Floats, row: int = 0, first: int = 0,
    times_ms: Ints | None = None,
) -> Scored:  # fmt: skip
    column = np.array(values, np.float64)
    times_ms = times(len(column), first) if times_ms is None else times_ms
    return detector.step(state, np.full(len(column), row, np.int64), times_ms, column)


def run(make: Make, values: Sequence[float] | Floats, times_ms: Ints | None = None) -> Scored:
    detector = make()
    return feed(detector, detector.allocate(1), values, times_ms=times_ms)


def same(a: Scored, b: Scored) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def at(scored: Scored, index: slice | Ints) -> Scored:
    return Scored(*(column[index] for column in scored))


def copy_rows(source: Table, rows: Ints, target: Table, to: Ints) -> None:
    """What a snapshot carries: all columns that are not derived."""
    target.load(to, source.save(rows))


# the checks


def check_scores_before_it_learns(make: Make) -> None:
    """What is expected of a sample does not depend on that sample."""
    history = warm_values(make(), extra=3)
    bands = [at(run(make, [*history, value]), slice(-1, None)) for value in (10.0, 1e6, -1e6)]
    for column in ("expected", "lower", "upper"):
        assert len({float(getattr(band, column)[0]) for band in bands}) == 1, column


def check_says_nothing_while_warming_up(make: Make) -> None:
    detector = make()
    state = detector.allocate(1)
    row = np.zeros(1, np.int64)
    needed = int(detector.needs(state, row)[0])
    for step, value in enumerate(np.random.default_rng(0).normal(10.0, 2.0, needed)):
        assert detector.needs(state, row)[0] == needed - step
        scored = feed(detector, state, [value], first=step)
        assert all(np.isnan(column).all() for column in scored), f"verdict on sample {step} of {needed} to learn"
    assert detector.needs(state, row)[0] == 0
    assert not any(np.isnan(column).any() for column in feed(detector, state, [10.0], first=needed))
    assert detector.needs(state, row)[0] == 0


def check_gaps_are_neither_scored_nor_learned(make: Make) -> None:
    rng = np.random.default_rng(0)
    values = warm_values(make(), extra=40)
    with_gaps: list[float] = []
    for value in values:
        with_gaps += rng.choice([math.nan, math.inf, -math.inf], rng.integers(0, 3)).tolist()
        with_gaps.append(float(value))
    scored = run(make, with_gaps)
    gap = ~np.isfinite(with_gaps)
    assert all(np.isnan(column[gap]).all() for column in scored), "a gap got a verdict"
    same(at(scored, np.flatnonzero(~gap)), run(make, values, times(len(with_gaps))[~gap]))


def check_batches_may_be_cut_anywhere(make: Make) -> None:
    n = 3 * len(warm_values(make())) + 60
    rng = np.random.default_rng(0)
    rows, values = rng.integers(0, 3, n), rng.normal(10.0, 2.0, n)
    values[rng.random(n) < 0.05] = math.nan
    detector = make()
    whole = detector.step(detector.allocate(3), rows, times(n), values)

    @examples(10)
    @given(st.lists(st.integers(0, n), max_size=8))
    def cut(cuts: list[int]) -> None:
        detector = make()
        state = detector.allocate(3)
        edges = [0, *sorted(cuts), n]
        parts = [detector.step(state, rows[a:b], times(n)[a:b], values[a:b]) for a, b in pairwise(edges)]
        same(Scored(*(np.concatenate(columns) for columns in zip(*parts, strict=True))), whole)

    cut()


def check_rows_do_not_touch_each_other(make: Make) -> None:
    """Neither their numbers nor the way they are interleaved matters."""
    n = len(warm_values(make())) + 20
    rng = np.random.default_rng(0)
    values = rng.normal(10.0, 2.0, (3, n)) * np.array([[1.0], [1e6], [1e-6]])
    order = rng.permutation(np.repeat([0, 1, 2], n))
    detector = make()
    index = np.array([np.count_nonzero(order[:i] == row) for i, row in enumerate(order)])
    names = np.array([4, 1, 3])
    mixed = detector.step(detector.allocate(5), names[order], times(n)[index], values[order, index])
    for row in range(3):
        same(at(mixed, np.flatnonzero(order == row)), run(make, values[row]))


def check_goes_on_from_a_snapshot(make: Make) -> None:
    """Bit for bit, in other rows, at several points; the detector itself remembers nothing."""
    values = warm_values(make(), extra=70)
    whole = run(make, values)
    for point in (1, len(values) // 3, len(values) - 65, len(values) - 5):
        before, after = make(), make()
        old, new = before.allocate(2), after.allocate(4)
        feed(before, old, values[:point], row=1)
        copy_rows(old, np.array([1]), new, np.array([2]))
        after.derive(new, np.array([2]))
        same(feed(after, new, values[point:], row=2, first=point), at(whole, slice(point, None)))


def check_cleared_rows_are_as_new(make: Make) -> None:
    values = warm_values(make(), extra=20)
    detector = make()
    state = detector.allocate(2)
    feed(detector, state, 1e6 * values, row=1)
    state.clear(np.array([1]))
    assert detector.needs(state, np.array([1])) == detector.needs(detector.allocate(1), np.array([0]))
    same(feed(detector, state, values, row=1), run(make, values))


def check_growth_keeps_what_was_learned(make: Make) -> None:
    values = warm_values(make(), extra=20)
    detector = make()
    state = detector.allocate(1)
    half = len(values) // 2
    first = feed(detector, state, values[:half])
    state.reserve(100)
    second = feed(detector, state, values[half:], first=half)
    same(Scored(*(np.concatenate(pair) for pair in zip(first, second, strict=True))), run(make, values))
    same(feed(detector, state, values, row=99), run(make, values))


def check_constant_input_is_expected(make: Make) -> None:
    for level in (10.0, 0.0, -3.0, 1.7e9):
        scored = run(make, np.full(len(warm_values(make())) + 20, level))
        last = at(scored, slice(-10, None))
        assert (last.score == 0.0).all(), f"constant {level} surprises"
        assert (last.expected == level).all()
        changed = run(make, [*np.full(len(warm_values(make())) + 20, level), level + 1e3 + 1e-2 * abs(level)])
        assert changed.score[-1] > BAND_SURPRISE, f"a change from constant {level} does not surprise"


def check_verdicts_are_in_range(make: Make) -> None:
    for name, values in LEVELS.items():
        scored = run(make, values)
        known = at(scored, np.flatnonzero(~np.isnan(scored.score)))
        for column in known:
            assert np.isfinite(column).all(), f"{name}: not finite"
        assert (np.isnan(scored.score) == np.isnan(scored.upper)).all(), f"{name}: half a verdict"
        assert (known.score >= 0.0).all(), f"{name}: negative"
        assert (known.score <= SURPRISE_MAX).all(), f"{name}: above the limit"
        assert (known.lower <= known.expected).all(), f"{name}: lower above expected"
        assert (known.expected <= known.upper).all(), f"{name}: upper below expected"


def check_levels_do_not_matter(make: Make) -> None:
    """Noise is noise at any level and of any size: no false alarm, and a fault is seen."""
    noise = np.random.default_rng(8).normal(0.0, 1.0, len(warm_values(make())) + 300)
    for level, spread in ((0.0, 1.0), (1e12, 1.0), (1.7e9, 1.0), (-1.7e9, 30.0), (1e-6, 1e-9), (1e30, 1e26)):
        values = level + spread * noise
        scored = run(make, [*values, level + 60.0 * spread])
        assert np.nanmax(scored.score[:-1]) < 12.0, f"false alarm at {level}"
        assert scored.score[-1] > 20.0, f"a fault at {level} is not seen"


def check_an_outlier_leaves_no_false_alarms(make: Make) -> None:
    """However large it was: what comes after it is noise again."""
    noise = np.random.default_rng(9).normal(5.0, 1.0, 600)
    for outlier in (1e6, 1e12, 1e20, 1e30, -1e37):
        for place in (len(noise) // 3, len(noise) // 3 + 7):
            values = noise.copy()
            values[place] = outlier
            after = run(make, values).score[place + 1 :]
            assert np.nanmax(after) < 12.0, f"false alarm {np.nanargmax(after)} samples after an outlier of {outlier}"


def check_further_is_never_less_surprising(make: Make) -> None:
    history = warm_values(make(), extra=3)
    expected = float(run(make, [*history, 0.0]).expected[-1])
    for sign in (-1.0, 1.0):
        distances = [0.0, 1e-9, 0.1, 1.0, 3.0, 10.0, 30.0, 50.0, 80.0, 1e3, 1e9, 1e30]
        scores = [float(run(make, [*history, expected + sign * d]).score[-1]) for d in distances]
        assert scores == sorted(scores), f"not monotone: {scores}"
        assert scores[0] < 0.01
        assert scores[-1] == SURPRISE_MAX


def check_band_agrees_with_score(make: Make) -> None:
    """Outside the band exactly when the surprise exceeds 3, but for rounding at the edge."""
    history = warm_values(make(), extra=3)
    band = at(run(make, [*history, 0.0]), slice(-1, None))
    lower, expected, upper = float(band.lower[0]), float(band.expected[0]), float(band.upper[0])
    for share in (0.0, 0.5, 0.999, 1.001, 1.5, 10.0):
        for value in (expected + share * (upper - expected), expected + share * (lower - expected)):
            score = float(run(make, [*history, value]).score[-1])
            assert (score > BAND_SURPRISE) == (share > 1.0), f"{share} of the band has surprise {score}"


def check_leaves_its_input_alone(make: Make) -> None:
    detector = make()
    values = warm_values(detector, extra=10)
    rows, times_ms, kept = np.zeros(len(values), np.int64), times(len(values)), values.copy()
    scored = detector.step(detector.allocate(1), rows, times_ms, values)
    assert (rows == 0).all()
    np.testing.assert_array_equal(times_ms, times(len(values)))
    np.testing.assert_array_equal(values, kept)
    assert all(column.shape == (len(values),) and column.dtype == np.float64 for column in scored)


def check_is_pure(make: Make) -> None:
    """Its module imports no clock, log, socket or chance, and nothing outside the detectors but their decorator."""
    path = Path(sys.modules[type(make()).__module__].__file__ or "")
    assert not forbidden_imports(path.read_text())


def forbidden_imports(source: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module != COMPILED:
            names.add((node.module or "").split(".")[0])
    return names & FORBIDDEN


CHECKS: tuple[Callable[[Make], None], ...] = (
    check_scores_before_it_learns,
    check_says_nothing_while_warming_up,
    check_gaps_are_neither_scored_nor_learned,
    check_batches_may_be_cut_anywhere,
    check_rows_do_not_touch_each_other,
    check_goes_on_from_a_snapshot,
    check_cleared_rows_are_as_new,
    check_growth_keeps_what_was_learned,
    check_constant_input_is_expected,
    check_verdicts_are_in_range,
    check_levels_do_not_matter,
    check_an_outlier_leaves_no_false_alarms,
    check_further_is_never_less_surprising,
    check_band_agrees_with_score,
    check_leaves_its_input_alone,
    check_is_pure,
)
