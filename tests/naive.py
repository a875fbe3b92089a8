"""Slow, obvious twins of the compiled kernels: float64, one series at a time, the whole history at every step.

They share no code with ``flows``: what both agree on is right, or wrong twice in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

BAND_Z = 3.2905267314918945
NAN = math.nan


class Verdict(NamedTuple):
    score: float
    expected: float
    lower: float
    upper: float


NO_VERDICT = Verdict(NAN, NAN, NAN, NAN)


def surprise(z: float) -> float:
    """−log10 of the two-sided Gaussian tail; ``erfc`` reaches down to 1e-308, so up to the limit of 300."""
    tail = math.erfc(z / math.sqrt(2.0))
    return min(300.0, -math.log10(tail)) if tail > 0.0 else 300.0


def verdict(value: float, centre: float, scale: float) -> Verdict:
    away = abs(value - centre)
    z = away / scale if scale > 0.0 else (math.inf if away > 0.0 else 0.0)
    return Verdict(surprise(z), centre, centre - BAND_Z * scale, centre + BAND_Z * scale)


def shifted(told: Verdict, origin: float) -> Verdict:
    """Of offsets: doubles at 1e12 are 1.2e-4 apart, and quantiles or sums of them round to that again and again."""
    return Verdict(told.score, told.expected + origin, told.lower + origin, told.upper + origin)


def mad_scale(history: Sequence[float], floor_ratio: float) -> tuple[float, float]:
    centre = float(np.median(history))
    away = np.abs(np.asarray(history) - centre)
    for scale in (1.4826022185056018 * float(np.median(away)), 1.2533141373155001 * float(np.mean(away))):
        if scale > 0.0:
            return centre, scale
    return centre, floor_ratio * abs(centre)


def zscore_scale(history: Sequence[float], floor_ratio: float) -> tuple[float, float]:
    centre = float(np.mean(history))
    spread = float(np.std(history, ddof=1)) if min(history) != max(history) else 0.0
    return centre, spread if spread > 0.0 else floor_ratio * abs(centre)


def threshold(values: Sequence[float], lower: float, upper: float, spread: float | None) -> list[Verdict]:
    middle = (lower + upper) / 2
    out = []
    for value in values:
        away = max(value - upper, lower - value)
        outside = 300.0 if spread is None else surprise(BAND_Z + max(0.0, away) / spread)
        known = Verdict(outside if away > 0 else 0.0, middle, lower, upper)
        out.append(known if math.isfinite(value) else NO_VERDICT)
    return out


def usual_scale(history: Sequence[float], floor_ratio: float) -> float:
    """Deviation where the quantiles coincide."""
    centre = float(np.median(history))
    mean = float(np.mean(np.abs(np.asarray(history) - centre)))
    return 1.2533141373155001 * mean if mean > 0 else floor_ratio * abs(centre)


def z_from(away: float, scale: float) -> float:
    return away / scale if scale > 0.0 else (math.inf if away > 0.0 else 0.0)


def quantile_verdict(value: float, history: Sequence[float], floor_ratio: float, low: float, high: float) -> Verdict:
    origin = history[0]
    q_low, centre, q_high = (float(q) for q in np.quantile(np.asarray(history) - origin, [low, 0.5, high]))
    normal, usual = NormalDist(), usual_scale(history, floor_ratio)
    below = (centre - q_low) / -normal.inv_cdf(low) or usual
    above = (q_high - centre) / normal.inv_cdf(high) or usual
    z = z_from(abs(value - origin - centre), above if value - origin > centre else below)
    return shifted(Verdict(surprise(z), centre, centre - BAND_Z * below, centre + BAND_Z * above), origin)


def iqr_verdict(value: float, history: Sequence[float], floor_ratio: float) -> Verdict:
    first, centre, third = (float(q) for q in np.quantile(history, [0.25, 0.5, 0.75]))
    if first == third:
        return verdict(value, centre, usual_scale(history, floor_ratio))
    quartile = NormalDist().inv_cdf(0.75)
    sigma = (third - first) / (2 * quartile)
    box = [0.0, quartile * (value - centre) / (third - centre) if value > centre and third > centre else 0.0]
    box.append(quartile * (centre - value) / (centre - first) if value < centre and centre > first else 0.0)
    outside = quartile + max(value - third, first - value) / sigma
    z = outside if value > third or value < first else max(box)
    fence = (BAND_Z - quartile) * sigma
    return Verdict(surprise(z), centre, first - fence, third + fence)


@dataclass
class Hold:
    """Twin of ``flows.detectors.holding``: whether a sample is learned."""

    hold_ms: int = 0
    hold_from: float = 8.0
    began_ms: int | None = None

    def learns(self, score: float, time_ms: int) -> bool:
        if self.hold_ms == 0:
            return True
        if self.began_ms is None and score >= self.hold_from:
            self.began_ms = time_ms
        if self.began_ms is None:
            return True
        over = time_ms - self.began_ms >= self.hold_ms
        if score >= self.hold_from:
            return over
        if over:
            self.began_ms = None
        return True


def windowed(
    values: Sequence[float],
    window: int,
    needed: int,
    floor_ratio: float,
    scale_of: Callable[[Sequence[float], float], tuple[float, float]],
    hold: Hold | None = None,
) -> list[Verdict]:
    """As ``remembered``, with a centre and a scale."""

    def judge(value: float, known: Sequence[float]) -> Verdict:
        return verdict(value, *scale_of(known, floor_ratio))

    return remembered(values, window, needed, judge, hold)


def remembered(
    values: Sequence[float],
    window: int,
    needed: int,
    judge: Callable[[float, Sequence[float]], Verdict],
    hold: Hold | None = None,
) -> list[Verdict]:
    """Judge each value against the finite ones before it, at most ``window`` of them; one value a second."""
    history: list[float] = []
    out = []
    hold = hold or Hold()
    for step, value in enumerate(values):
        if not math.isfinite(value):
            out.append(NO_VERDICT)
            continue
        known = history[-window:]
        out.append(judge(value, known) if len(known) >= needed else NO_VERDICT)
        if hold.learns(out[-1].score, 1000 * step):
            history.append(value)
    return out


def ewma(
    values: Sequence[float], alpha: float, warmup: int, floor_ratio: float, hold: Hold | None = None
) -> list[Verdict]:
    """Weighted mean and variance with the weight of every past sample written out, about the first of them."""
    history: list[float] = []
    weights: list[float] = []
    out = []
    hold = hold or Hold()
    for step, value in enumerate(values):
        if not math.isfinite(value):
            out.append(NO_VERDICT)
            continue
        if len(history) >= warmup:
            origin = history[0]
            w, x = np.array(weights), np.array(history) - origin
            centre = float(np.sum(w * x))
            spread = math.sqrt(float(np.sum(w * (x - centre) ** 2)))
            scale = spread if min(history) != max(history) else floor_ratio * abs(centre + origin)
            out.append(shifted(verdict(value - origin, centre, scale), origin))
        else:
            out.append(NO_VERDICT)
        if not hold.learns(out[-1].score, 1000 * step):
            continue
        history.append(value)
        newest = max(alpha, 1.0 / len(history))
        weights = [weight * (1.0 - newest) for weight in weights] + [newest]
    return out


def rates(samples: Sequence[tuple[int, float, int]], max_gap_ms: int) -> list[float]:
    """Rate per second of one counter from (time_ms, value, start_ms), NaN where there is none."""
    before: tuple[int, float] | None = None
    was_reset, usual_ms = False, 0.0
    out = []
    for time_ms, value, start_ms in samples:
        rate, reset = NAN, False
        if not math.isfinite(value):
            before = None
        else:
            if before is not None and time_ms - before[0] <= max_gap_ms:
                pause_ms = time_ms - before[0]
                created = start_ms > before[0]
                reset = created or value < before[1]
                if not reset:
                    rate = 1000 * (value - before[1]) / pause_ms
                elif created and time_ms > start_ms and time_ms - start_ms >= usual_ms / 2:
                    rate = 1000 * value / (time_ms - start_ms)
                elif not created and was_reset and pause_ms >= usual_ms / 2:
                    rate = 1000 * value / pause_ms
                usual_ms = usual_ms + (min(pause_ms, 4 * usual_ms) - usual_ms) / 16 if usual_ms else pause_ms
            before = (time_ms, value)
        was_reset = reset
        out.append(rate)
    return out


@dataclass(frozen=True)
class Policy:
    """Twin of a row of ``flows.policy``: times in ms; ``threshold`` None: ``chance_per_week``; None: by the cadence."""

    threshold: float | None = 8.0
    quiet_ms: int | None = 60_000
    chance_per_week: float = 5.0
    close_ratio: float = 1.0
    min_duration_ms: int = 0
    cooldown_ms: int | None = 0
    min_change: float = 0.0

    def bar(self, step_s: float) -> float:
        if self.threshold is not None:
            return self.threshold
        return max(1.0, math.log10(7 * 24 * 3600 / step_s / self.chance_per_week)) if step_s else math.inf

    def ceiling(self, seen: int) -> float:
        return math.log10(seen + 1) + 1.0 if self.threshold is None and seen >= 0 else math.inf

    def quiet(self, step_s: float) -> float:
        return max(60_000, 6 * 1000 * step_s) if self.quiet_ms is None else self.quiet_ms

    def cooldown(self, step_s: float) -> float:
        return max(6 * 3_600_000, 6 * 1000 * step_s) if self.cooldown_ms is None else self.cooldown_ms


@dataclass
class Episode:
    """One open episode of a lane."""

    start_ms: int
    time_ms: int = 0
    log_ms: int = 0
    sequence: int = -1
    samples: int = 0
    surprise: float = 0.0
    peak_surprise: float = -1.0
    peak_away: float = 0.0
    peak_ms: int = 0
    told_ms: int = 0
    noticed_ms: int = 0
    told_surprise: float = 0.0
    step_s: float = 0.0
    told: bool = False
    believed: bool = False
    evidence: float = 0.0


class Event(NamedTuple):
    kind: str
    lane: int
    start_ms: int
    time_ms: int
    sequence: int
    samples: int
    surprise: float
    peak_ms: int
    peak_surprise: float


@dataclass
class Episodes:
    """Twin of ``flows.episodes``: ``lanes`` maps an entry to its (lane, policy) in their order."""

    lanes: dict[int, list[tuple[int, Policy]]]
    open: dict[int, Episode] = field(default_factory=dict)
    rests: dict[int, Episode] = field(default_factory=dict)
    full: bool = False
    refused: int = 0

    def __len__(self) -> int:
        return len(self.open) + len(self.rests)

    def take(
        self, entry: int, time_ms: int, score: float, step_s: float, log_ms: int, seen: int = -1, away: float = 0.0
    ) -> list[Event]:
        """``away`` is how far the value is from the expected."""
        events: list[Event] = []
        if math.isnan(score):
            return events
        for lane, policy in self.lanes[entry]:
            last = self.open.get(lane) or self.rests.get(lane)
            events += self._wait(lane, policy, time_ms - last.time_ms if last else 0, step_s)
            threshold, ceiling = policy.bar(step_s), policy.ceiling(seen)
            surprising = score >= min(threshold, ceiling)
            if lane in self.open and self.open[lane].believed:
                surprising = score >= policy.close_ratio * min(threshold, ceiling)
            if lane in self.rests:
                surprising = surprising and score >= 1.25 * self.rests[lane].told_surprise
            if not surprising or away < policy.min_change:
                self._doubt(lane)
            elif lane not in self.open and lane not in self.rests and self.full:
                self.refused += 1
            elif self._believes(lane, time_ms, min(score, ceiling), threshold):
                events += self._surprising(lane, policy, time_ms, (score, away), step_s, log_ms)
        return events

    def _doubt(self, lane: int) -> None:
        """What was only suspected is forgotten at the first sample that is as usual."""
        if lane in self.open and not self.open[lane].believed:
            del self.open[lane]
        if lane in self.rests:
            self.rests[lane].evidence = 0.0

    def _believes(self, lane: int, time_ms: int, worth: float, threshold: float) -> bool:
        """Whether the sample belongs to an episode, suspected or believed; else the lane goes on to rest."""
        resting = self.rests.get(lane)
        if resting:
            resting.evidence += worth
            if resting.evidence < threshold:
                return False
            self.open[lane] = Episode(time_ms, evidence=resting.evidence, believed=True)
            del self.rests[lane]
            return True
        episode = self.open.setdefault(lane, Episode(time_ms))
        episode.evidence += worth
        episode.believed |= episode.evidence >= threshold
        return True

    def calm(self, log_ms: int) -> list[Event]:
        """Log time went on."""
        policies = {lane: policy for lanes in self.lanes.values() for lane, policy in lanes}
        events = []
        for lane, last in [*self.open.items(), *self.rests.items()]:
            events += self._wait(lane, policies[lane], log_ms - last.log_ms, last.step_s)
        return events

    def _wait(self, lane: int, policy: Policy, quiet_ms: float, step_s: float) -> list[Event]:
        events = []
        if lane in self.open and quiet_ms >= policy.quiet(step_s):
            episode = self.open.pop(lane)
            if episode.told:
                episode.sequence += 1
                events.append(self._event("closed", lane, episode))
                episode.evidence = 0.0
                self.rests[lane] = episode
        if lane in self.rests and quiet_ms >= policy.cooldown(step_s):
            del self.rests[lane]
        return events

    def _surprising(
        self, lane: int, policy: Policy, time_ms: int, found: tuple[float, float], step_s: float, log_ms: int
    ) -> list[Event]:
        episode = self.open[lane]
        score, away = found
        episode.time_ms, episode.log_ms, episode.surprise, episode.step_s = time_ms, log_ms, score, step_s
        episode.samples += 1
        if found > (episode.peak_surprise, episode.peak_away):
            episode.peak_surprise, episode.peak_away, episode.peak_ms = score, away, time_ms
        if not episode.believed:
            kind = None
        elif not episode.told:
            kind = "opened" if time_ms - episode.start_ms >= policy.min_duration_ms else None
        elif episode.peak_surprise >= 1.25 * episode.told_surprise:
            kind = "escalated"
        elif 0 < policy.cooldown(step_s) <= time_ms - episode.noticed_ms:
            kind = "reminded"
        else:
            kind = "updated" if time_ms - episode.told_ms >= 60_000 else None
        if kind is None:
            return []
        episode.sequence += 1
        episode.told, episode.told_ms = True, time_ms
        if kind != "updated":
            episode.noticed_ms = time_ms
        if kind in ("opened", "escalated"):
            episode.told_surprise = episode.peak_surprise
        return [self._event(kind, lane, episode)]

    def end(self, lane: int) -> list[Event]:
        """The series or the detector went away."""
        self.rests.pop(lane, None)
        episode = self.open.pop(lane, None)
        if episode is None or not episode.told:
            return []
        episode.sequence += 1
        return [self._event("closed", lane, episode)]

    @staticmethod
    def _event(kind: str, lane: int, e: Episode) -> Event:
        return Event(kind, lane, e.start_ms, e.time_ms, e.sequence, e.samples, e.surprise, e.peak_ms, e.peak_surprise)
