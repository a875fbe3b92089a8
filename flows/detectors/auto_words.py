"""What ``auto`` decided of a signal and why: noted in six bytes of its record, told in words from these alone.

Notes are taken at fixed places of the log, words are made when an anomaly is told: by then the state may have learned
later samples of the same batch, the notes have not.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.auto_ladder import burstiness
from flows.detectors.auto_mixture import FAST_RATE, SLOW_RATE
from flows.detectors.auto_profile import gate
from flows.detectors.auto_state import HOURS, PREDICTORS, WARMUP, Records, Signal
from flows.detectors.base import Ints

MANY, HARDLY = 0.8, 0.002
"""Shares of samples that are called many, and hardly any."""
SEASONAL = 0.5
"""Swing of the day profile, as far as it is believed, against what is left: above it the hour of the day counts."""
BURSTY = 0.5
DRIFTING = 0.9
"""Autocorrelation from one sample to the next."""
WHITE_CHANGE = 2.0 / math.sqrt(math.pi)
"""Mean change of white Gaussian noise, in standard deviations."""
KINDS, BELIEVED, RESEMBLING, SAME, BEST, WEIGHT = range(6)
"""Notes: kinds found; per cent of the profile that are believed, autocorrelation in per cent, per cent of samples that
are zero or as the one before; the best predictor, and its weight in per cent."""
JUDGED, CONSTANT, COUNTING, ZEROS, STILL, BURSTING, SEASONS, DRIFTS = (1 << bit for bit in range(8))
GUESSES = (
    "the last value",
    f"a mean of about {round(1 / FAST_RATE)} samples",
    f"a mean of about {round(1 / SLOW_RATE)} samples",
    "its level at this hour",
    "its level at this hour and the latest error",
)


@njit(cache=True, nogil=True)
def take_notes(records: Records, rows: Ints) -> None:
    """Note of each of the rows what its state says."""
    for i in range(rows.shape[0]):
        note(records[rows[i]])


@njit(cache=True)
def note(it: Signal) -> None:
    """Note what the state of one signal says."""
    rest, noted = math.sqrt(it["rest_variance"]), it["noted"]
    change = np.float64(it["usual_change"]) / (WHITE_CHANGE * rest) if rest > 0.0 else 1.0
    alike, still = max(0.0, 1.0 - change * change), 1.0 - it["rises"] - it["falls"]
    noted[BELIEVED], noted[RESEMBLING] = round(100.0 * gate(it)), round(100.0 * alike)
    noted[SAME] = round(100.0 * (it["zeros"] if it["zeros"] >= MANY else still))
    note_best(it, noted)
    found = JUDGED if it["seen"] >= WARMUP else 0
    if it["variance"] == 0.0 or it["rises"] + it["falls"] < HARDLY:
        noted[KINDS] = found | CONSTANT
        return
    if it["falls"] < HARDLY and it["rises"] > 1.0 - MANY:
        found |= COUNTING
    if it["zeros"] >= MANY:
        found |= ZEROS
    elif still >= MANY:
        found |= STILL
    if burstiness(it) >= BURSTY:
        found |= BURSTING
    if gate(it) * profile_spread(it) >= SEASONAL * rest:
        found |= SEASONS
    if alike >= DRIFTING and it["falls"] >= HARDLY:
        found |= DRIFTS
    noted[KINDS] = found


@njit(cache=True)
def note_best(it: Signal, noted: NDArray[np.uint8]) -> None:
    """Note the best predictor with its weight."""
    best, total = 0, 0.0
    for which in range(1, PREDICTORS):
        if it["likelihood"][which] > it["likelihood"][best]:
            best = which
    for which in range(PREDICTORS):
        total += math.exp(np.float64(it["likelihood"][which]) - np.float64(it["likelihood"][best]))
    noted[BEST], noted[WEIGHT] = best, round(100.0 / total)


@njit(cache=True)
def profile_spread(it: Signal) -> float:
    """Standard deviation of the day profile over the hours that were seen on two days."""
    n, mean, squares = 0, 0.0, 0.0
    for hour in range(HOURS):
        if it["visits"][hour] > 1:
            n += 1
            away = np.float64(it["profile"][hour]) - mean
            mean += away / n
            squares += away * (np.float64(it["profile"][hour]) - mean)
    return math.sqrt(squares / n) if n > 1 else 0.0


def words(noted: NDArray[np.uint8]) -> str | None:
    """The kinds of signal with the reason for each, and what predicts it; None before it is judged."""
    notes: list[int] = noted.tolist()
    found = notes[KINDS]
    if not found & JUDGED:
        return None
    if found & CONSTANT:
        return "constant: whatever differs is an anomaly"
    kinds = "; ".join(says for flag, says in _reasons(notes).items() if found & flag)
    kinds = kinds or "steady: neither hour nor past says more"
    return f"{kinds}; predicted best by {GUESSES[notes[BEST]]} ({notes[WEIGHT]} % of the weight)"


def _reasons(notes: list[int]) -> dict[int, str]:
    alike = notes[RESEMBLING] / 100
    return {
        COUNTING: "counter-like: it rises and does not fall, so its rate is what to judge (shape: rate)",
        ZEROS: f"sparse: {notes[SAME]} % of its samples are zero",
        STILL: f"sparse: {notes[SAME]} % of its samples are as the one before",
        BURSTING: "bursty: its outliers lie so far out that no tail describes them, so frequent ones raise its bar",
        SEASONS: f"seasonal: {notes[BELIEVED]} % of its day profile is believed",
        DRIFTS: f"drifting: a sample resembles the one before ({alike:.2f}), so changes count",
    }
