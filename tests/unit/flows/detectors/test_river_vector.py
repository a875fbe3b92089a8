"""Vectors of one entity: the bare model on the same dicts, and the checks that whole steps need."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.detectors.base import Floats, Ints, Scored, Table
from flows.detectors.outlier import GROUP
from flows.detectors.river import RiverParams
from flows.detectors.river_vector import ENTITY, MAX_FEATURES, SERIES, TOP, RiverVector, vectors_of
from tests.checks import at, same
from tests.examples import examples
from tests.unit.flows.detectors.test_river import BARE, MODELS, bare_model, usual

pytestmark = pytest.mark.long

GROUPS, MEMBERS, STEPS = 2, 4, 150
WIDTH = MEMBERS + 1
FACTOR = BARE["LocalOutlierFactor"]


def vector(**params: Any) -> RiverVector:
    return RiverVector(RiverParams(**{"warmup": 20, **params}))


def state_of(detector: RiverVector, rows: int = GROUPS * WIDTH) -> Table:
    """Rows of each group: its members, then its entity."""
    state = detector.allocate(rows)
    state[GROUP][:] = np.arange(rows) // WIDTH
    state[ENTITY][:] = np.arange(rows) % WIDTH == MEMBERS
    state[SERIES][:] = 1000 - np.arange(rows)
    return state


def stream(steps: int = STEPS) -> tuple[Ints, Ints, Floats]:
    """Whole steps: rows, times, values; members correlate, one breaks away near the end; some are away."""
    rng = np.random.default_rng(1)
    values = rng.normal(0.0, 1.0, (steps, GROUPS, 1)) + 0.1 * rng.normal(0.0, 1.0, (steps, GROUPS, WIDTH))
    values[steps - 10, 0, 2] += 9.0
    values[rng.random(values.shape) < 0.03] = math.nan
    values[:, :, MEMBERS] = 0.0
    rows = np.tile(np.arange(GROUPS * WIDTH), steps)
    return rows, 15_000 * np.repeat(np.arange(steps), GROUPS * WIDTH), values.ravel()


@pytest.mark.parametrize("name", BARE)
def test_it_scores_as_the_bare_model_on_the_same_vectors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = vector(**BARE[name])
    river, said = detector.river, list[float]()
    read = river.spec.read
    noted = river.spec._replace(read=lambda raw, own: (said.append(raw), read(raw, own))[1])
    monkeypatch.setitem(river.__dict__, "spec", noted)
    rows, times_ms, values = stream()
    mine = rows < WIDTH
    _, scored = detector.judge(state_of(detector), rows[mine], times_ms[mine], values[mine])
    bare, raws = bare_model(name), []
    for step in values[mine].reshape(STEPS, WIDTH)[:, :MEMBERS].tolist():
        features = {1000 - row: value for row, value in reversed(list(enumerate(step))) if not math.isnan(value)}
        raws.append(bare.score_one(features))
        bare.learn_one(features)
    assert said == raws[river.silent :], "bit for bit"
    twin = list(usual(said, lambda raw: read(raw, river.own), 20, river.spec.two_sided))
    entity = scored.score.reshape(STEPS, WIDTH)[:, MEMBERS]
    np.testing.assert_allclose(entity[river.needed :], twin[20:], rtol=1e-9, atol=1e-12)
    assert np.isnan(entity[: river.needed]).all()


def test_members_get_no_verdict_and_the_entity_shows_the_one_that_leads() -> None:
    detector = vector(**FACTOR)
    state = state_of(detector)
    rows, times_ms, values = stream()
    shown, scored = detector.judge(state, rows, times_ms, values)
    member = rows % WIDTH != MEMBERS
    assert np.isnan(scored.score[member]).all()
    np.testing.assert_array_equal(shown[member], values[member])
    fault = 10 * GROUPS * WIDTH
    entity = len(rows) - fault + MEMBERS
    assert scored.score[entity] == np.nanmax(scored.score)
    assert shown[entity] == values[entity - MEMBERS + 2]
    assert not scored.lower[entity] <= shown[entity] <= scored.upper[entity]
    assert state["top"][MEMBERS, 0] == 1000 - 2
    assert np.count_nonzero(state["top"][MEMBERS]) == TOP


def test_a_break_of_correlation_is_seen_though_each_value_is_usual() -> None:
    rng = np.random.default_rng(4)
    load = rng.normal(0.0, 3.0, 300)
    values = np.stack([load + rng.normal(0.0, 0.1, 300) for _ in range(MEMBERS)] + [np.zeros(300)], axis=1)
    values[250, :2] = 6.0, -6.0
    detector = vector(**FACTOR)
    rows, times_ms = np.tile(np.arange(WIDTH), 300), np.repeat(np.arange(300), WIDTH)
    score = detector.judge(state_of(detector), rows, times_ms, values.ravel())[1].score.reshape(300, WIDTH)[:, MEMBERS]
    assert np.nanargmax(score) == 250
    assert abs(values[:, 2]).max() > 6.0


def test_steps_may_be_cut_between_steps_and_members_come_in_any_order() -> None:
    rows, times_ms, values = stream()
    detector = vector(**FACTOR)
    whole_shown, whole = detector.judge(state_of(detector), rows, times_ms, values)
    edges = range(0, len(rows) + 1, GROUPS * WIDTH)

    @examples(5)
    @given(st.sets(st.sampled_from(edges), max_size=10), st.integers(0, 1000))
    def cut(cuts: set[int], seed: int) -> None:
        state, parts = state_of(detector), []
        for first, last in pairwise(sorted({0, len(rows), *cuts})):
            order = first + np.random.default_rng(seed).permutation(last - first)
            shown, scored = detector.judge(state, rows[order], times_ms[order], values[order])
            back = np.argsort(order)
            parts.append((shown[back], at(scored, back)))
        same(Scored(*(np.concatenate([getattr(p, name) for _, p in parts]) for name in Scored._fields)), whole)
        np.testing.assert_array_equal(np.concatenate([shown for shown, _ in parts]), whole_shown)

    cut()


@pytest.mark.parametrize("name", BARE)
def test_it_goes_on_from_a_snapshot_in_other_rows(name: str) -> None:
    rows, times_ms, values = stream(100)
    detector = vector(**BARE[name])
    whole = detector.step(state_of(detector), rows, times_ms, values)
    half = 60 * GROUPS * WIDTH
    old = state_of(detector)
    detector.step(old, rows[:half], times_ms[:half], values[:half])
    everybody = np.arange(GROUPS * WIDTH)
    to = np.random.default_rng(2).permutation(everybody)
    new = detector.allocate(len(to))
    new.load(to, old.save(everybody))
    for column in (GROUP, ENTITY, SERIES):
        new[column][to] = old[column]
    same(detector.step(new, to[rows[half:]], times_ms[half:], values[half:]), at(whole, slice(half, None)))


def test_it_needs_as_many_steps_as_it_says() -> None:
    detector = vector(**FACTOR)
    state = state_of(detector)
    rows, times_ms, values = stream(40)
    for step in range(40):
        mine = slice(step * GROUPS * WIDTH, (step + 1) * GROUPS * WIDTH)
        needed = detector.needs(state, np.array([MEMBERS]))[0]
        assert needed == max(0, 15 + 20 - step)
        scored = detector.step(state, rows[mine], times_ms[mine], values[mine])
        assert np.isnan(scored.score[MEMBERS]) == (needed > 0)
    assert (detector.needs(state, np.arange(MEMBERS)) == 0).all()


def test_more_members_than_it_takes_are_left_out() -> None:
    n = MAX_FEATURES + 7
    detector = vector(**FACTOR)
    state = detector.allocate(n + 1)
    state[ENTITY][n] = True
    state[SERIES][:] = np.arange(n + 1) + 5
    for step in range(3):
        detector.step(state, np.arange(n + 1), np.full(n + 1, step), np.zeros(n + 1))
    assert np.count_nonzero(state["seen"][:n]) == MAX_FEATURES
    assert not state["seen"][MAX_FEATURES:n].any()


def test_an_entity_without_members_and_members_without_entity_are_not_judged() -> None:
    detector = vector(**FACTOR)
    state = state_of(detector)
    for step in range(30):
        lonely, orphans = np.array([MEMBERS]), np.arange(WIDTH, WIDTH + MEMBERS)
        rows = np.concatenate([lonely, orphans])
        assert np.isnan(detector.step(state, rows, np.full(len(rows), step), np.zeros(len(rows))).score).all()
    assert not state["seen"].any()


@pytest.mark.parametrize("model", [name for name in MODELS if MODELS[name].gaussian is not None])
def test_a_model_of_one_value_takes_no_vectors(model: str) -> None:
    assert vectors_of(RiverParams(model=model)) is None
