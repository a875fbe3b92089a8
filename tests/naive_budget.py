"""The slow, obvious twin of ``flows.budget.decide``: one detector's budget, its past kept event by event."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from flows.trials import LEVELS

HOUR_S, DAY_S = 3600.0, 86_400.0


@dataclass
class Budget:
    """Would-be episodes by level, each with its weight; times in s."""

    alarms_per_s: float
    past: list[list[float]] = field(default_factory=lambda: [[] for _ in LEVELS])
    present: list[int] = field(default_factory=lambda: [0] * len(LEVELS))
    present_s: float = 0.0
    present_opened: int = 0
    present_from: float = math.inf
    threshold: float = math.inf
    memory_s: float = 0.0
    promised_s: float = 0.0
    samples: float = 0.0
    sampled_s: float = 0.0
    owed: float = 0.0
    age_s: float = 0.0

    def decide(self, since_s: float, judged: int, opened: int, reached: list[int]) -> float | None:
        """The threshold after ``since_s`` in which levels were ``reached`` so often; None where nothing came."""
        self.present = [a + b for a, b in zip(self.present, reached, strict=True)]
        if judged == 0:
            return None
        if self.samples == 0:
            since_s, self.promised_s = min(since_s, 60.0), min(2 / self.alarms_per_s, DAY_S)
        lasting_s = max(12 / self.alarms_per_s, DAY_S)
        self.age_s += since_s
        keep = math.exp(-since_s / min(lasting_s, max(6 * HOUR_S, self.age_s / 2)))
        self.samples, self.sampled_s = keep * self.samples + judged, keep * self.sampled_s + since_s
        self.memory_s, self.promised_s = keep * self.memory_s + since_s, keep * self.promised_s
        self.past = [[keep * weight for weight in level] for level in self.past]
        learns = self.age_s <= 6 * HOUR_S
        most = max(7 * DAY_S * self.alarms_per_s, 4.0)
        storm = max(1.0, self.alarms_per_s * (self.promised_s + self.memory_s) / 5)
        counted = min(self.present_opened + opened, storm) - min(self.present_opened, storm)
        self.present_opened += opened
        self.owed = math.exp(-since_s / (7 * DAY_S)) * self.owed + counted
        self.owed -= 0.0 if learns else self.alarms_per_s * since_s
        self.owed = sorted([-most, self.owed, most])[1]
        new = [
            min(count, storm) if level >= self.present_from else count
            for level, count in zip(LEVELS, self.present, strict=True)
        ]
        counts = [sum(level) + count for level, count in zip(self.past, new, strict=True)]
        self.present_s += since_s
        if self.present_s >= HOUR_S:
            self.past = [[*level, count] for level, count in zip(self.past, new, strict=True)]
            self.present, self.present_s, self.present_opened = [0] * len(LEVELS), 0.0, 0
            self.present_from = self.threshold
        promised = self.promised_s * self.samples / self.sampled_s
        counts = [count + promised * 10.0 ** -float(level) for count, level in zip(counts, LEVELS, strict=True)]
        sway = sorted([0.5, 1 - self.owed / max(3.5 * DAY_S * self.alarms_per_s, 4.0), 1.5])[1]
        chosen = threshold(counts, sway * self.alarms_per_s * (self.promised_s + self.memory_s))
        self.threshold = math.inf if learns else chosen
        return self.threshold


def threshold(counts: list[float], alarms: float) -> float:
    """Where the counts fall to ``alarms``, with straight lines between their logarithms."""
    below = next((j for j, count in enumerate(counts) if count <= alarms), None)
    if below is None:
        return math.inf
    if below == 0:
        return 1.0
    high, low = math.log(counts[below - 1]), math.log(max(counts[below], 1e-300))
    share = (high - math.log(alarms)) / (high - low)
    return float(LEVELS[below - 1] + share * (LEVELS[below] - LEVELS[below - 1]))
