"""The models of the library river that may be named, what they take, and how what they say is read.

Sources are those of river's own pages. Not among them: ``PredictiveAnomalyDetection``, whose score ends at 1 for
every larger error and which takes another model as its parameter, and the filters, of which ``river`` offers one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

Seed = Annotated[int, Field(ge=0, le=2**31, description="of its random choices: the same after every restart")]


class _Params(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GaussianParams(_Params):
    """Of ``GaussianScorer``."""

    window_size: Annotated[int | None, Field(ge=5, le=4096)] = None
    grace_period: Annotated[int, Field(ge=2, le=100_000)] = 60


class DeviationParams(_Params):
    """Of ``StandardAbsoluteDeviation``."""


class ForestParams(_Params):
    """Of ``HalfSpaceTrees``."""

    n_trees: Annotated[int, Field(ge=1, le=50)] = 10
    height: Annotated[int, Field(ge=1, le=10)] = 8
    window_size: Annotated[int, Field(ge=10, le=4096)] = 250
    seed: Seed = 1


class LodaParams(_Params):
    """Of ``LODA``."""

    n_bins: Annotated[int, Field(ge=3, le=100)] = 10
    n_random_cuts: Annotated[int, Field(ge=1, le=200)] = 20
    seed: Seed = 1


class FactorParams(_Params):
    """Of ``LocalOutlierFactor``, and of the window that it searches."""

    n_neighbors: Annotated[int, Field(ge=2, le=100)] = 10
    window_size: Annotated[int, Field(ge=10, le=1000)] = 100


class SvmParams(_Params):
    """Of ``OneClassSVM``, and of the random features that it is given."""

    nu: Annotated[float, Field(gt=0, lt=1)] = 0.1
    gamma: Annotated[float, Field(gt=0, le=1000)] = 1.0
    n_components: Annotated[int, Field(ge=1, le=200)] = 50
    seed: Seed = 1


class Spec(NamedTuple):
    """One model of the allow-list."""

    params: type[_Params]
    make: Callable[[Any], Any]
    """the model itself, without what prepares its input"""
    scale: Callable[[Any], tuple[Any, ...]]
    """what prepares its input: river's transformers"""
    read: Callable[[float, Any], float]
    """from its score to a number that grows with it and neither ends nor stands still, see ``River.surprise``"""
    silent: Callable[[Any], int]
    """samples for which it answers 0 whatever comes, or by chance"""
    size_bytes: Callable[[Any], int]
    """about what it takes in memory, per signal"""
    gaussian: Callable[[Any], tuple[float, float]] | None = None
    """centre and deviation that it has learned, of a model that says no more than how far away a value is"""
    two_sided: bool = False
    """whether an unusually low score is as strange as a high one"""


def _gaussian(p: GaussianParams) -> Any:
    from river import anomaly

    scorer: Any = anomaly.GaussianScorer
    return scorer(window_size=p.window_size, grace_period=p.grace_period)


def _deviation(_: DeviationParams) -> Any:
    from river import anomaly

    return anomaly.StandardAbsoluteDeviation()


def _forest(p: ForestParams) -> Any:
    from river import anomaly

    return anomaly.HalfSpaceTrees(n_trees=p.n_trees, height=p.height, window_size=p.window_size, seed=p.seed)


def _loda(p: LodaParams) -> Any:
    from river import anomaly

    return anomaly.LODA(n_bins=p.n_bins, n_random_cuts=p.n_random_cuts, seed=p.seed)


def _factor(p: FactorParams) -> Any:
    from river import anomaly, neighbors

    engine = neighbors.LazySearch(window_size=p.window_size)
    return anomaly.LocalOutlierFactor(n_neighbors=p.n_neighbors, engine=engine)


def _svm(p: SvmParams) -> Any:
    from river import anomaly

    return anomaly.OneClassSVM(nu=p.nu)


def _unscaled(_: _Params) -> tuple[Any, ...]:
    return ()


def _to_unit(_: _Params) -> tuple[Any, ...]:
    from river import preprocessing

    return (preprocessing.MinMaxScaler(),)


def _standard(_: _Params) -> tuple[Any, ...]:
    from river import preprocessing

    return (preprocessing.StandardScaler(),)


def _random_features(p: SvmParams) -> tuple[Any, ...]:
    from river import feature_extraction, preprocessing

    sampler = feature_extraction.RBFSampler(gamma=p.gamma, n_components=p.n_components, seed=p.seed)
    return (preprocessing.StandardScaler(), sampler)


def _as_it_is(score: float, _: _Params) -> float:
    return score


def _decades_of_mass(score: float, p: ForestParams) -> float:
    """−log10 of the mass about the sample as a share of the largest; half a sample where there was none."""
    largest = p.n_trees * p.window_size * (2 ** (p.height + 1) - 1)
    return -math.log10(((1.0 - score) * largest + 0.5) / (largest + 0.5))


def _log_of_ratio(score: float, _: _Params) -> float:
    """A ratio of densities: its logarithm has the exponential tail that is believed of it."""
    return math.log1p(score)


def _at_once(_: _Params) -> int:
    return 0


def _settled(_: _Params) -> int:
    """What histograms and random features need to settle at all."""
    return 30


def _neighbourhoods(p: FactorParams) -> int:
    """Neighbours' neighbours must be others than these."""
    return min(3 * p.n_neighbors, p.window_size)


def _centre_of_gaussian(model: Any) -> tuple[float, float]:
    return model.gaussian.mu, model.gaussian.sigma


def _centre_of_deviation(model: Any) -> tuple[float, float]:
    return model.sub_stat.get(), model.variance.get() ** 0.5 + 1e-10  # river adds as much


MODELS: dict[str, Spec] = {
    "GaussianScorer": Spec(
        GaussianParams, _gaussian, _unscaled, _as_it_is, lambda p: p.grace_period,
        lambda p: 3_000 + 250 * (p.window_size or 0), _centre_of_gaussian,
    ),
    "StandardAbsoluteDeviation": Spec(
        DeviationParams, _deviation, _unscaled, _as_it_is, _at_once, lambda _: 700, _centre_of_deviation,
    ),
    "HalfSpaceTrees": Spec(
        ForestParams, _forest, _to_unit, _decades_of_mass, lambda p: p.window_size,
        lambda p: 270 * p.n_trees * 2 ** (p.height + 1),
    ),
    "LODA": Spec(LodaParams, _loda, _standard, _as_it_is, _settled, lambda p: 170 * p.n_random_cuts * p.n_bins),
    "LocalOutlierFactor": Spec(
        FactorParams, _factor, _standard, _log_of_ratio, _neighbourhoods, lambda p: 4_000 + 350 * p.window_size,
    ),
    "OneClassSVM": Spec(
        SvmParams, _svm, _random_features, _as_it_is, _settled, lambda p: 6_000 + 150 * p.n_components,
        two_sided=True,
    ),
}  # fmt: skip
"""By river's names."""
