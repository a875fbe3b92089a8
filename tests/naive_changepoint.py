"""Slow, obvious twin of ``flows.detectors.changepoint``: each sum is summed anew from where it was last 0."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.naive import NAN, NO_VERDICT, Hold, Verdict

RHO = 0.5826


def surprise(total: float, slack: float) -> float:
    tail = math.log(2.0) - 2.0 * slack * (total + RHO) if total > 0.0 else 0.0
    return min(300.0, max(0.0, -tail / math.log(10.0)))


def reaches(level: float, slack: float) -> float:
    return (level * math.log(10.0) + math.log(2.0)) / (2.0 * slack) - RHO


class Side:
    """One direction: the deviations and values since its sum was 0."""

    def __init__(self, most: float) -> None:
        self.most, self.total, self.values = most, 0.0, list[float]()

    def add(self, part: float, value: float) -> None:
        self.total = min(self.total + part, self.most)
        self.values.append(value)
        if self.total <= 0.0:
            self.total, self.values = 0.0, []


def changepoint(
    values: Sequence[float], method: str, slack: float, alpha: float, settle: int, warmup: int, floor_ratio: float,
    hold: Hold | None = None,
) -> list[Verdict]:  # fmt: skip
    hold = hold or Hold()
    origin = next((value for value in values if math.isfinite(value)), 0.0)  # a double at 1e12 is 1e-4 apart
    mean = variance = NAN
    seen = in_mean = 0
    most = reaches(hold.hold_from, slack) + 6.0
    up, down = Side(most), Side(most)
    out = []
    for step, value in enumerate(values):
        if not math.isfinite(value):
            out.append(NO_VERDICT)
            continue
        value -= origin  # noqa: PLW2901 - offsets from here on
        if seen < warmup:
            mean, variance = welford(mean, variance, seen, value)
            seen, in_mean = seen + 1, in_mean + 1
            out.append(NO_VERDICT)
            continue
        scale = math.sqrt(variance) if variance > 0 else floor_ratio * abs(mean + origin)
        away = value - mean
        z = away / scale if scale else (math.copysign(math.inf, away) if away else 0.0)
        score = surprise(max(0.0, up.total + z - slack, down.total - z - slack), slack)
        room = reaches(3.0, slack) + slack
        edges = (max(0.0, room - side.total) for side in (down, up))
        low, high = (scale * edge for edge in edges)
        out.append(Verdict(score, mean + origin, mean - low + origin, mean + high + origin))
        part = max(-6.0, min(6.0, z))
        up.add(part - slack, value)
        down.add(-part - slack, value)
        if not hold.learns(score, 1000 * step):
            continue
        if score >= hold.hold_from:
            side = up if up.total >= down.total else down
            if len(side.values) >= settle:
                mean, in_mean = sum(side.values) / len(side.values), len(side.values)
                up, down = Side(most), Side(most)
            continue
        weight = alpha if method == "cusum" else 0.0
        bounded = max(-3.0 * scale, min(3.0 * scale, away)) if scale else away
        mean += max(weight, 1 / (in_mean + 1)) * bounded
        w = max(weight, 1 / (seen + 1))
        variance = (1 - w) * variance + w * (1 - w) * bounded**2
        seen, in_mean = seen + 1, in_mean + 1
    return out


def welford(mean: float, variance: float, n: int, value: float) -> tuple[float, float]:
    if n == 0:
        return value, 0.0
    after = mean + (value - mean) / (n + 1)
    return after, (n * variance + (value - mean) * (value - after)) / (n + 1)
