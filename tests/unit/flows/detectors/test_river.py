"""The models of river behind the contract: each says exactly what the bare model says on the same stream."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from flows.detectors import models
from flows.detectors.base import SURPRISE_MAX, Scored, Table
from flows.detectors.models import ModelVersionError
from flows.detectors.river import MEMORY, River, RiverParams
from flows.detectors.river_models import MODELS
from tests import naive
from tests.checks import CHECKS, Make, feed, run
from tests.series import FAMILIES, Floats, normal

pytestmark = pytest.mark.long

FOREST = {"n_trees": 5, "height": 5, "window_size": 40, "seed": 7}
FACTOR = {"n_neighbors": 5, "window_size": 40}
SVM = {"nu": 0.2, "gamma": 0.5, "n_components": 20, "seed": 3}
LODA = {"n_bins": 8, "n_random_cuts": 10, "seed": 5}


BARE: dict[str, dict[str, Any]] = {
    "HalfSpaceTrees": {"model": "HalfSpaceTrees", "model_params": FOREST},
    "HalfSpaceTrees, filtered": {"model": "HalfSpaceTrees", "model_params": FOREST, "protect_above": 0.95},
    "LODA": {"model": "LODA", "model_params": LODA},
    "LocalOutlierFactor": {"model": "LocalOutlierFactor", "model_params": FACTOR},
    "OneClassSVM": {"model": "OneClassSVM", "model_params": SVM},
    "OneClassSVM, filtered": {"model": "OneClassSVM", "model_params": SVM, "protect_above": 0.9},
}
"""Models whose score is followed: our parameters of what ``tests.bare_river`` says in river's own words."""
DISTANCES: dict[str, dict[str, Any]] = {
    "GaussianScorer": {"model": "GaussianScorer"},
    "GaussianScorer, windowed": {"model": "GaussianScorer", "model_params": {"window_size": 50, "grace_period": 20}},
    "GaussianScorer, filtered": {"model": "GaussianScorer", "protect_above": 0.99},
    "StandardAbsoluteDeviation": {"model": "StandardAbsoluteDeviation"},
}


def bare_model(name: str) -> Any:
    """River is imported where it runs: all workers collect these tests, which takes 2 s with it, and one runs them."""
    from tests.bare_river import BARE_MODELS

    return BARE_MODELS[name]()


LEVELS = [(10.0, 2.0), (1e12, 1.0), (1e-9, 1e-10)]
"""Level and spread: as usual, where doubles are 1.2e-4 apart, and far below any absolute tolerance."""


def stream(level: float = 10.0, spread: float = 2.0, n: int = 400) -> Floats:
    """Noise with a level shift and three outliers."""
    values = np.random.default_rng(11).normal(0.0, 2.0, n)
    values[n // 2 :] += 3.0
    values[[n // 3, n // 2 + 9, n - 20]] += [40.0, -30.0, 12.0]
    return level + spread / 2.0 * values


def usual(raws: list[float], read: Callable[[float], float], warmup: int, two_sided: bool) -> Iterator[float]:
    """Slow twin of the surprise of scores, the silent ones left out: what exceeds the usual is exponential."""
    mean = variance = 0.0
    for n, raw in enumerate(raws):
        level = read(raw)
        mean = level if n == 0 else mean
        spread = max(math.sqrt(variance), 0.01)
        z = (level - mean) / spread
        yield min(300.0, max(0.0, 1.0 + (abs(z) if two_sided else z)) / math.log(10))
        weight = max(1 / MEMORY, 2 / (n + 2))
        learned = level if n < warmup else mean + spread * min(6.0, max(-6.0, z))
        away = learned - mean
        mean = learned if n == 0 else mean + weight * away
        variance = (1 - weight) * (variance + weight * away**2) if n else 0.0


def feed_bare(bare: Any, values: Floats) -> None:
    for value in values.tolist():
        bare.score_one(None, value)
        bare.learn_one(None, value)


@pytest.mark.parametrize(("level", "spread"), LEVELS)
@pytest.mark.parametrize("name", BARE)
def test_a_model_scores_exactly_as_the_bare_one(
    name: str, level: float, spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = River(RiverParams(**BARE[name], warmup=30))
    said: list[float] = []
    read = detector.spec.read
    monkeypatch.setitem(
        detector.__dict__, "spec", detector.spec._replace(read=lambda s, p: (said.append(s), read(s, p))[1])
    )
    values = stream(level, spread)
    scored = feed(detector, detector.allocate(1), values)
    bare, raws = bare_model(name), []
    for value in values.tolist():
        raws.append(bare.score_one({"value": value}))
        bare.learn_one({"value": value})
    assert said == raws[detector.silent :], "bit for bit"
    twin = list(usual(said, lambda s: read(s, detector.own), 30, detector.spec.two_sided))
    np.testing.assert_allclose(scored.score[detector.needed :], twin[30:], rtol=1e-9, atol=1e-12)
    assert np.isnan(scored.score[: detector.needed]).all()
    assert len(set(raws)) > 50


@pytest.mark.parametrize(("level", "spread"), LEVELS)
@pytest.mark.parametrize("name", DISTANCES)
def test_a_model_of_distance_scores_as_the_bare_one_where_that_has_an_end(
    name: str, level: float, spread: float
) -> None:
    values = stream(level, spread)
    scored = run(lambda: River(RiverParams(**DISTANCES[name])), values)
    bare = bare_model(name)
    ended = 0
    for i, value in enumerate(values.tolist()):
        raw = bare.score_one(None, value)
        model = getattr(bare, "anomaly_detector", bare)
        if i >= 60:
            is_gaussian = name.startswith("GaussianScorer")
            z = abs(value - model.gaussian.mu) / model.gaussian.sigma if is_gaussian else raw
            assert scored.score[i] == pytest.approx(naive.surprise(z), rel=1e-9)
            if is_gaussian and raw < 1.0 - 1e-9:
                assert 1.0 - 10.0 ** -scored.score[i] == pytest.approx(raw, abs=1e-12)
            ended += is_gaussian and raw == 1.0
        bare.learn_one(None, value)
    assert np.isnan(scored.score[:60]).all()
    assert ended or "Gaussian" not in name, "the stream has values at which the bare score ends"


@pytest.mark.parametrize("name", MODELS)
def test_what_is_read_of_a_score_grows_with_it(name: str) -> None:
    spec = MODELS[name]
    own = spec.params()
    levels = [spec.read(raw, own) for raw in np.linspace(0.0, 1.0, 1001).tolist()]
    assert all(a < b for a, b in pairwise(levels))


LEARNED = [name for name in MODELS if MODELS[name].gaussian is None]
SHORT: dict[str, dict[str, Any]] = {"HalfSpaceTrees": {"n_trees": 5, "height": 5, "window_size": 30},
                                    "LODA": {"n_random_cuts": 5},
                                    "LocalOutlierFactor": FACTOR, "OneClassSVM": SVM}  # fmt: skip
EXCUSED = {
    "check_constant_input_is_expected": "a scaler of a constant signal hides the first change: test below",
    "check_levels_do_not_matter": "their scores tell few degrees: test below",
    "check_further_is_never_less_surprising": "density is not distance: river's models are not monotone",
    "check_band_agrees_with_score": "they know no band: what is shown is that of the recent values",
}


def short(name: str) -> Make:
    return lambda: River(RiverParams(model=name, model_params=SHORT[name], warmup=20))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("check", [c for c in CHECKS if c.__name__ not in EXCUSED], ids=lambda check: check.__name__)
def test_every_model_keeps_the_contract(name: str, check: Callable[[Make], None]) -> None:
    check(short(name))


@pytest.mark.parametrize("check", [c for c in CHECKS if c.__name__ in EXCUSED], ids=lambda check: check.__name__)
def test_what_is_excused_would_fail(check: Callable[[Make], None]) -> None:
    with pytest.raises(AssertionError):
        check(short("LocalOutlierFactor"))


def test_the_model_of_distances_without_a_square_keeps_the_contract() -> None:
    for check in CHECKS:
        check(lambda: River(RiverParams(model="StandardAbsoluteDeviation")))


@pytest.mark.parametrize(("level", "spread"), [(0.0, 1.0), (1e12, 1.0), (1e-6, 1e-9)])
def test_a_fault_is_the_most_surprising_at_any_level(level: float, spread: float) -> None:
    values = level + spread * np.array([*normal(np.random.default_rng(3), 300), 60.0])
    score = run(short("LocalOutlierFactor"), values).score
    assert score[-1] > np.nanmax(score[:-1])
    assert score[-1] > 3.0


@pytest.mark.parametrize("name", LEARNED)
def test_a_constant_signal_alarms_nobody(name: str) -> None:
    """Though the score of a support vector machine drifts while it learns, and jumps with each step of its weights."""
    assert np.nanmax(run(short(name), np.full(300, 7.0)).score) == 0.0


def test_a_support_vector_machine_steps_and_only_what_never_changed_is_spared() -> None:
    params = RiverParams(model="OneClassSVM")
    values = np.full(1200, 5.0)
    assert np.nanmax(run(lambda: River(params), values).score) == 0.0
    values[100] = 5.1
    assert np.nanmax(run(lambda: River(params), values).score[101:]) > 0.0


def forest(n: int = 100) -> tuple[River, Table]:
    detector = short("HalfSpaceTrees")()
    assert isinstance(detector, River)
    state = detector.allocate(1)
    feed(detector, state, stream(n))
    return detector, state


def test_a_forest_is_saved_in_a_fraction_of_its_pickle() -> None:
    _, state = forest()
    (saved,) = state.save(np.zeros(1, np.int64))[models.MODEL].tolist()
    assert len(saved) < len(pickle.dumps(state[models.MODEL][0])) / 4


def test_a_model_is_about_as_large_as_it_is_said_to_be() -> None:
    for name in MODELS:
        detector = River(RiverParams(model=name))  # type: ignore[arg-type]
        state = detector.allocate(1)
        feed(detector, state, stream())
        real = state[models.MODEL][0]._raw_memory_usage
        said = detector.spec.size_bytes(detector.own)
        assert real / 3 < said < 3 * real, f"{name}: {said} said, {real} bytes"
        assert state.size_bytes > said


def test_models_of_another_version_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _, state = forest()
    rows = np.zeros(1, np.int64)
    saved = state.save(rows)
    monkeypatch.setattr(models, "_library", lambda: "river 99.0")
    with pytest.raises(ModelVersionError, match=r"models of river 0\.\d+\.\d+, but river 99\.0 is installed"):
        forest()[1].load(rows, saved)


def test_what_was_saved_does_not_live_on() -> None:
    detector, state = forest()
    rows = np.zeros(1, np.int64)
    saved = state.save(rows)
    kept = saved[models.MODEL].copy()
    feed(detector, state, stream(90), first=100)
    np.testing.assert_array_equal(saved[models.MODEL], kept)
    assert state.save(rows)[models.MODEL] != kept


def test_a_model_that_fails_begins_anew_and_is_counted() -> None:
    """river's windowed variance falls below 0 when values of very different size leave the window."""
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(1e3, 10.0, 60), 0.1 + 1e-7 * rng.normal(size=30), normal(rng, 200)])
    detector = River(RiverParams(model_params={"window_size": 30, "grace_period": 10}, warmup=20))
    state = detector.allocate(1)
    scored = feed(detector, state, values)
    assert state["faults"][0] > 0
    assert np.isnan(scored.score[21:150]).any()
    assert not np.isnan(scored.score[-100:]).any()
    bare = bare_model("GaussianScorer, short")
    with pytest.raises(TypeError):
        feed_bare(bare, values)


def test_a_hold_keeps_an_incident_from_the_model() -> None:
    values = np.concatenate([normal(np.random.default_rng(5), 100), np.full(50, 60.0)])
    held = run(lambda: River(RiverParams(hold_s=3600)), values).score
    learned = run(lambda: River(RiverParams()), values).score
    assert held[-1] == held[100]
    assert learned[-1] < learned[100] / 10


@pytest.mark.parametrize(("params", "message"), [
    ({"model": "IsolationForest"}, "GaussianScorer"),
    ({"model": "HalfSpaceTrees", "model_params": {"trees": 5}}, "takes n_trees, height, window_size, seed; not trees"),
    ({"model": "HalfSpaceTrees", "model_params": {"height": 30}}, r"\.height\s+Input should be less than or equal"),
    ({"model": "StandardAbsoluteDeviation", "model_params": {"q": 1}}, "takes none"),
    ({"max_keys": 5000}, "less than or equal to 1000"),
])  # fmt: skip
def test_what_is_refused_says_what_would_be_right(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RiverParams(**params)


def test_equal_parameters_are_written_alike() -> None:
    short_, long_ = ({"n_trees": 10}, {"seed": 1, "n_trees": 10})
    texts = {RiverParams(model="HalfSpaceTrees", model_params=p).model_dump_json() for p in (short_, long_)}
    assert len(texts) == 1


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_verdicts_are_whole_on_every_kind_of_series(family: Callable[[np.random.Generator, int], Floats]) -> None:
    for name in LEARNED:
        scored: Scored = run(short(name), family(np.random.default_rng(7), 150))
        known = ~np.isnan(scored.score)
        assert np.count_nonzero(known) > 30
        assert all(np.isfinite(column[known]).all() for column in scored)
        assert scored.score[known].max() <= SURPRISE_MAX


def test_river_is_loaded_only_when_a_model_is_made() -> None:
    """It takes seconds, which a flow without such a detector need not spend."""
    code = "import sys, flows.detectors.registry, flows.warm; sys.exit(any(name == 'river' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[4]).returncode == 0
