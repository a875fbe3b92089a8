"""What ``auto`` decided of a signal and why, in words, from its state alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from flows.detectors.auto_ladder import burstiness
from flows.detectors.auto_mixture import FAST_RATE, SLOW_RATE
from flows.detectors.auto_profile import gate
from flows.detectors.auto_state import WARMUP, Signal, records_of
from flows.detectors.base import Floats, Ints, Table

MANY, HARDLY = 0.8, 0.002
"""Shares of samples that are called many, and hardly any."""
SEASONAL = 0.5
"""Swing of the day profile, as far as it is believed, against what is left: above it the hour of the day counts."""
BURSTY = 0.5
DRIFTING = 0.9
"""Autocorrelation from one sample to the next."""
WHITE_CHANGE = 2.0 / math.sqrt(math.pi)
"""Mean change of white Gaussian noise, in standard deviations."""
GUESSES = (
    "the last value",
    f"a mean of about {round(1 / FAST_RATE)} samples",
    f"a mean of about {round(1 / SLOW_RATE)} samples",
    "its level at this hour",
    "its level at this hour and the latest error",
)


class Nature(NamedTuple):
    """What the state of one signal says of it; shares are 0 … 1."""

    needs: int
    mean: float
    moves: bool
    rises: float
    falls: float
    zeros: float
    gate: float
    swing: float
    """standard deviation of the believed profile against that of the rest"""
    burstiness: float
    autocorrelation: float
    weights: Floats
    """(5,) of the predictors"""


def describe(state: Table, rows: Ints) -> list[str]:
    """One sentence or two for each of the rows: the kind of signal it is, and what it was seen by."""
    return [words(nature(signal)) for signal in records_of(state)[rows]]


def nature(it: Signal) -> Nature:
    """Read the state of one signal."""
    believed, rest = float(gate(it)), math.sqrt(it["rest_variance"])
    profile = it["profile"][it["visits"] > 1].astype(np.float64)
    swing = believed * float(profile.std()) / rest if rest > 0.0 and len(profile) > 1 else 0.0
    likelihoods = it["likelihood"].astype(np.float64)
    weights = np.exp(likelihoods - likelihoods.max())
    return Nature(
        max(0, WARMUP - int(it["seen"])), float(it["mean"]), bool(it["variance"] > 0.0),
        float(it["rises"]), float(it["falls"]), float(it["zeros"]),
        believed, swing, float(burstiness(it)),
        max(0.0, 1.0 - (float(it["usual_change"]) / (WHITE_CHANGE * rest)) ** 2) if rest > 0.0 else 0.0,
        weights / weights.sum(),
    )  # fmt: skip


def words(it: Nature) -> str:
    """The kind of signal, every reason for it, and what predicts it."""
    if it.needs:
        return f"needs {it.needs} more samples"
    if not it.moves or it.rises + it.falls < HARDLY:
        return f"constant at {it.mean:.6g}: whatever differs is an anomaly"
    found = [*_kinds(it)] or [f"steady about {it.mean:.6g}: neither hour nor past says more"]
    best = int(it.weights.argmax())
    return "; ".join([*found, f"predicted best by {GUESSES[best]} ({it.weights[best]:.0%} of the weight)"])


def _kinds(it: Nature) -> list[str]:
    still = 1.0 - it.rises - it.falls
    rules = [
        (
            it.falls < HARDLY and it.rises > 1.0 - MANY,
            "counter-like: it rises and does not fall, so its rate is what to judge (shape: rate)",
        ),
        (it.zeros >= MANY, f"sparse: {it.zeros:.0%} of its samples are zero"),
        (it.zeros < MANY <= still, f"sparse: {still:.0%} of its samples are as the one before"),
        (
            it.burstiness >= BURSTY,
            "bursty: its outliers lie so far out that no tail describes them, so frequent ones raise its bar",
        ),
        (it.swing >= SEASONAL, f"seasonal: {it.gate:.0%} of its day profile is believed"),
        (
            it.autocorrelation >= DRIFTING and it.falls >= HARDLY,
            f"drifting: a sample resembles the one before ({it.autocorrelation:.2f}), so changes count",
        ),
    ]
    return [words for true, words in rules if true]
