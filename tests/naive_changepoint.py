"""Slow, obvious twin of ``flows.detectors.changepoint``: each sum is summed anew from where it was last 0, and each
rung is a value of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tests.naive import NAN, NO_VERDICT, Hold, Verdict

RHO = 0.5826
VISITS = (500, 100, 50, 50, 50)


def model(slack: float) -> tuple[float, float]:
    """Sum and slack that one of ten samples reaches, and how much more one of a hundred."""
    decade = math.log(10.0) / (2.0 * slack)
    return slack + (1.0 + math.log10(2.0)) * decade - RHO, decade


class Ladder:
    """What 1 of 10, 100, … samples exceed, and what will be taken for it when the run is over."""

    def __init__(self, slack: float) -> None:
        self.first, self.other = model(slack)
        self.next = [max(0.5, self.first), *[max(0.5, self.other)] * 4]
        self.widths = list(self.next)

    def adopt(self) -> None:
        self.widths = list(self.next)

    def bound(self) -> None:
        self.next = [min(new, 1.2 * old) for new, old in zip(self.next, self.widths, strict=True)]

    def points(self) -> tuple[list[float], list[float]]:
        """Values at the heights 0 … 5, and far beyond."""
        values = [sum(self.widths[:k]) for k in range(6)]
        return [0, 1, 2, 3, 4, 5, 1e9], [*values, values[5] + (1e9 - 5) * self.widths[4]]

    def height(self, value: float) -> float:
        heights, values = self.points()
        return (
            300.0 if value > values[5] + 1e6 * self.widths[4] else min(300.0, float(np.interp(value, values, heights)))
        )

    def value(self, height: float) -> float:
        heights, values = self.points()
        return float(np.interp(height, heights, values))

    def learn(self, value: float, n: int) -> None:
        for k, width in enumerate(self.widths):
            below, share = sum(self.widths[:k]), 10.0**-k
            visits = min(share * min(n, 300_000), 3_000)
            fit = 10 * min(self.widths[0] / self.first, width / self.other) if k else 0
            weight = visits / (visits + fit) if k else 1.0
            by_count = 10 / math.log(10) * (float(value > below + width) - share / 10)
            by_fit = min(value - below, width) / width * math.log(10) / 0.9 - 1 if value > below else 0.0
            step = (weight * by_count + (1 - weight) * by_fit) / (visits + VISITS[k])
            self.next[k] = max(0.5, self.next[k] + width * step if step > 0 else self.next[k] * (1 + step))
            if k and share * n < 30:
                self.next[k] = min(self.next[k], self.next[k - 1])


class Side:
    """One direction: the deviations and values since its sum was 0."""

    def __init__(self) -> None:
        self.total, self.values = 0.0, list[float]()

    def add(self, part: float, value: float, most: float) -> None:
        self.total = min(self.total + part, most)
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
    ladder = Ladder(slack)
    up, down = Side(), Side()
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
        part = max(-6.0, min(6.0, z))
        total = max(up.total + z, down.total - z)
        change = max(up.total + part, down.total - part) >= ladder.value(hold.hold_from)
        score = ladder.height(total)
        edges = (max(0.0, ladder.value(3.0) - side.total) for side in (down, up))
        low, high = (scale * edge for edge in edges)
        out.append(Verdict(score, mean + origin, mean - low + origin, mean + high + origin))
        rising, most = up.total >= down.total, ladder.value(hold.hold_from) - slack + 6.0
        up.add(part - slack, value, most)
        down.add(-part - slack, value, most)
        if not hold.learns(score, 1000 * step):
            continue
        ladder.learn(total, seen - warmup)
        if score < 1 or rising != (up.total >= down.total):
            ladder.adopt()
        elif score >= hold.hold_from:
            ladder.bound()
        if score >= hold.hold_from:
            side = up if up.total >= down.total else down
            if change and len(side.values) >= settle:
                mean, in_mean = sum(side.values) / len(side.values), len(side.values)
                up, down = Side(), Side()
                ladder.adopt()
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
