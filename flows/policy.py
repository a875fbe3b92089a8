"""What of a detector's config decides when an episode opens, goes on, closes and may follow another, as columns.

Quiet time and cool-down may follow the series' own cadence, and the threshold may be stated as how many samples a week
would reach it by chance: five a week is a surprise of 3.3 on a sample a minute, of 4.4 on one every five seconds.

Such a threshold is a statement about chance, and chance is known only as far as a signal was seen: were its samples
exchangeable, the next one would exceed all n before it with probability 1/(n + 1), however far. So where the threshold
is by chance, no sample counts for more than its ``ceiling``; what lasts is believed sooner than what flashes, because
the surprises of successive samples add up (``flows.episodes``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from connectors.detector import DetectorConfig
from flows.detectors.registry import KINDS

WEEK_S = 604_800.0
DEFAULT_THRESHOLD = 8.0
"""One in a hundred million under the Gaussian."""
QUIET_MS, QUIET_SAMPLES = 60_000, 6
"""Unless a config says otherwise, an episode waits for the next surprising sample so long, and so many samples."""
REST_MS, REST_SAMPLES = 6 * 3_600_000, 6
"""So long an episode of ``auto`` is the only one of its series: who was told within a shift needs no second call."""
WORSE = 1.25
"""A sample so much more surprising than what was last told is told even then: it escalates an episode that is open, and
ends the rest after one that is over."""
LEAST = 1.0
"""Thresholds by chance end here: one sample in ten."""
KNOWN_EXTRA = 1.0
"""Decades by which a sample may surprise more than the number of those before it bears out: most tails are not so heavy
that the next record could be anywhere. With none, four samples in a row would be needed in the first 20 minutes of
hundreds of signals, which is a whole minute at a sample every 15 s; now it takes three."""
UNLIMITED = -1
"""Number of samples seen where surprise does not rest on how many samples of this signal were seen."""
RELATIVE = -1
"""In ``quiet_ms`` and ``cooldown_ms``: follows from the cadence."""

POLICY = np.dtype(
    [(name, np.float64) for name in ("threshold", "log_chance", "least", "min_change", "close_ratio", "trial")]
    + [(name, np.int64) for name in ("quiet_ms", "min_duration_ms", "cooldown_ms", "budget")]
)
"""``threshold`` NaN: by ``log_chance``, the log10 of alarms a week; ``least``: a threshold is never below it;
``min_change``: a value nearer to the expected one surprises nobody.

``budget`` is the row of a detector's alarm budget (``flows.budget``), which then sets ``threshold`` and ``least``, and
``trial``, from where on thresholds are on trial; −1 if it has none.
"""
NO_BUDGET = -1
Policies = NDArray[Any]


def chance_per_week_of(config: DetectorConfig) -> float | None:
    """How often a threshold by chance is reached, None if the threshold is a fixed one or set by a budget."""
    if config.threshold is not None or config.budget is not None:
        return None
    return config.chance_per_week if config.chance_per_week is not None else KINDS[config.kind].chance_per_week


def chance_of_each(config: DetectorConfig, signals: int) -> float:
    """The same of each of so many signals: what a config does not say is bounded for all of them together.

    NaN if the threshold is not one by chance.
    """
    chance, in_all = chance_per_week_of(config), KINDS[config.kind].chance_in_all
    if chance is None:
        return math.nan
    if in_all is None or config.chance_per_week is not None:
        return chance
    return min(chance, in_all / max(signals, 1))


def threshold_of(config: DetectorConfig) -> float | None:
    """The fixed threshold, None if it is by chance or set by a budget."""
    if config.threshold is not None or config.budget is not None:
        return config.threshold
    return None if chance_per_week_of(config) is not None else DEFAULT_THRESHOLD


def unusual_of(config: DetectorConfig) -> dict[str, float | str]:
    """What of the policy was added later and is not at rest, by its name: part of anomaly ids."""
    chance, cooldown_s, kind = chance_per_week_of(config), config.cooldown_s, KINDS[config.kind]
    found: dict[str, float | str] = {} if chance is None else {"chance_per_week": chance}
    if chance is not None and kind.chance_in_all is not None and config.chance_per_week == kind.chance_per_week:
        found["chance_of"] = "each"  # stated, it is not bounded for all signals together as it is where nothing is said
    found |= {} if config.budget is None else {"budget": f"{config.budget.alarms!r}/{config.budget.per}"}
    found |= {} if config.min_change == 0.0 else {"min_change": config.min_change}
    found |= {} if config.close_ratio == 1.0 else {"close_ratio": config.close_ratio}
    found |= {} if config.min_duration_s == 0.0 else {"min_duration_s": config.min_duration_s}
    if cooldown_s is not None and cooldown_s != kind.cooldown_s:
        found["cooldown_s"] = cooldown_s
    return found


def policy_of(config: DetectorConfig) -> Any:
    """The row, a record of ``POLICY``; under a budget no sample is surprising until that sets the threshold."""
    threshold, chance = threshold_of(config), chance_per_week_of(config)
    row = np.zeros(1, POLICY)[0]
    row["threshold"] = math.nan if threshold is None else threshold
    row["log_chance"] = math.nan if chance is None else math.log10(chance)
    row["least"] = LEAST if threshold is None else threshold
    row["budget"], row["trial"] = NO_BUDGET, math.inf
    if config.budget is not None:
        row["threshold"] = row["least"] = math.inf
    row["min_change"] = config.min_change
    row["close_ratio"] = config.close_ratio
    row["quiet_ms"] = RELATIVE if config.quiet_s is None else round(1000 * config.quiet_s)
    row["min_duration_ms"] = round(1000 * config.min_duration_s)
    cooldown_s = KINDS[config.kind].cooldown_s if config.cooldown_s is None else config.cooldown_s
    row["cooldown_ms"] = RELATIVE if cooldown_s is None else round(1000 * cooldown_s)
    return row


@njit(cache=True)
def threshold_at(policy: Policies, step_s: float) -> float:
    """The threshold of a series with this cadence; infinite while a threshold by chance does not know it yet (0)."""
    if not math.isnan(policy["threshold"]):
        return float(policy["threshold"])
    if step_s <= 0.0:
        return math.inf
    return max(LEAST, math.log10(WEEK_S / step_s) - float(policy["log_chance"]))


@njit(cache=True)
def ceiling_of(policy: Policies, seen: int) -> float:
    """The most that the surprise of a sample counts that came after ``seen`` others; infinite if none is set."""
    if seen == UNLIMITED or not math.isnan(policy["threshold"]):
        return math.inf
    return math.log10(seen + 1.0) + KNOWN_EXTRA


@njit(cache=True)
def quiet_of(policy: Policies, step_s: float) -> int:
    """Quiet time in ms at this cadence."""
    if policy["quiet_ms"] != RELATIVE:
        return int(policy["quiet_ms"])
    return max(QUIET_MS, int(QUIET_SAMPLES * 1000.0 * step_s))


@njit(cache=True)
def cooldown_of(policy: Policies, step_s: float) -> int:
    """Cool-down in ms at this cadence."""
    if policy["cooldown_ms"] != RELATIVE:
        return int(policy["cooldown_ms"])
    return max(REST_MS, int(REST_SAMPLES * 1000.0 * step_s))
