"""Slow, obvious twins of ``flows.detectors.forecast`` and of the search for a period."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from tests.naive import NO_VERDICT, Hold, Verdict, verdict

PHASES = 48


def bounded(z: float) -> float:
    return 2.52 * (1 - (1 - (z / 2) ** 2) ** 3) if abs(z) <= 2 else 2.52


def clipped(x: float, limit: float) -> float:
    return max(-limit, min(limit, x))


def forecast(
    values: Sequence[float], times_ms: Sequence[int], period_ms: int, alpha: float, beta: float, gamma: float,
    delta: float, warmup: int, floor_ratio: float, hold: Hold | None = None,
) -> list[Verdict]:  # fmt: skip
    hold = hold or Hold()
    origin = next((value for value in values if math.isfinite(value)), 0.0)
    level = trend = variance = 0.0
    first: dict[int, list[float]] | None = defaultdict(list)
    season: dict[int, float] = {}
    visit: list[float] = []
    cycle: list[float] = []
    begun = phase = -1
    seen = 0
    out = []
    for value, time_ms in zip(values, times_ms, strict=True):
        if not math.isfinite(value):
            out.append(NO_VERDICT)
            continue
        if period_ms:
            before, phase = phase, time_ms % period_ms * PHASES // period_ms
            begun = time_ms if begun < 0 else begun
            if first is not None and time_ms - begun >= 2 * period_ms:
                means = {p: float(np.mean(known)) for p, known in first.items()}
                season = {p: mean - float(np.mean(list(means.values()))) for p, mean in means.items()}
                level -= season.get(phase, 0.0)
                first, begun = None, time_ms
            elif phase != before and visit:
                season[before] = season.get(before, 0.0) + gamma * float(np.mean(visit))
                visit = []
            over = first is None and time_ms - begun >= period_ms
            trend += alpha * (1 - (1 - beta) ** len(cycle)) * float(np.mean(cycle or [0.0])) if over else 0.0
            cycle, begun = ([], time_ms) if over else (cycle, begun)
        ahead = level + trend + season.get(phase, 0.0)
        scale = math.sqrt(variance) if variance > 0 else floor_ratio * abs(ahead + origin)
        away = value - origin - ahead
        known = verdict(away, 0.0, scale)
        shifted = Verdict(known.score, *(edge + (ahead + origin) for edge in known[1:]))
        out.append(shifted if seen >= warmup else NO_VERDICT)
        if not hold.learns(out[-1].score, time_ms):
            continue
        taught = away
        if seen < warmup:
            w = max(delta, 1 / (seen + 1))
            variance = (1 - w) * variance + w * away**2
        elif scale == 0:
            variance = delta * away**2
        else:
            taught = clipped(away, 2 * scale)
            if variance > 0 or away != 0:
                variance = (1 - delta + delta * bounded(away / scale)) * scale**2
        if period_ms and first is not None:
            first[phase].append(ahead + (clipped(away, 30 * scale) if scale > 0 else away))
        elif period_ms:
            visit.append(taught)
        level += trend + max(alpha, 1 / (seen + 1)) * taught
        in_cycle = bool(period_ms) and first is None
        cycle += [taught] * in_cycle
        trend += 0.0 if in_cycle else alpha * beta * taught
        seen += 1
    return out


def autocorrelation(values: Sequence[float]) -> list[float]:
    x = np.asarray(values, np.float64)
    at = np.arange(len(x))
    x = x - np.polyval(np.polyfit(at, x, 1), at)
    energy = float(np.mean(x * x))
    return [float(np.mean(x[: len(x) - lag] * x[lag:])) / energy for lag in range(len(x) - 2)]
