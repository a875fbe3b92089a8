"""Models of river in its own words, against which ours are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from river import anomaly, compose, feature_extraction, neighbors, preprocessing


def _trees() -> Any:
    return anomaly.HalfSpaceTrees(n_trees=5, height=5, window_size=40, seed=7)


def _factor() -> Any:
    engine = neighbors.LazySearch(window_size=40)
    return preprocessing.StandardScaler() | anomaly.LocalOutlierFactor(n_neighbors=5, engine=engine)


def _machine(filtered: bool) -> Any:
    model = anomaly.OneClassSVM(nu=0.2)
    return compose.Pipeline(
        preprocessing.StandardScaler(),
        feature_extraction.RBFSampler(gamma=0.5, n_components=20, seed=3),
        anomaly.QuantileFilter(model, q=0.9) if filtered else model,
    )


BARE_MODELS: dict[str, Callable[[], Any]] = {
    "HalfSpaceTrees": lambda: preprocessing.MinMaxScaler() | _trees(),
    "HalfSpaceTrees, filtered": lambda: compose.Pipeline(
        preprocessing.MinMaxScaler(), anomaly.QuantileFilter(_trees(), q=0.95)
    ),
    "LODA": lambda: preprocessing.StandardScaler() | anomaly.LODA(n_bins=8, n_random_cuts=10, seed=5),
    "LocalOutlierFactor": _factor,
    "OneClassSVM": lambda: _machine(filtered=False),
    "OneClassSVM, filtered": lambda: _machine(filtered=True),
    "GaussianScorer": lambda: anomaly.GaussianScorer(grace_period=60),
    "GaussianScorer, windowed": lambda: anomaly.GaussianScorer(window_size=50, grace_period=20),
    "GaussianScorer, short": lambda: anomaly.GaussianScorer(window_size=30, grace_period=10),
    "GaussianScorer, filtered": lambda: anomaly.QuantileFilter(anomaly.GaussianScorer(grace_period=60), q=0.99),
    "StandardAbsoluteDeviation": anomaly.StandardAbsoluteDeviation,
}
