"""Slow, obvious twin of ``auto``: one signal, plain numbers, the peaks as a sorted list."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from tests.naive import NAN, NO_VERDICT, Hold, Verdict

HOUR_MS, DAY_MS, WEEK_MS = 3_600_000, 86_400_000, 7 * 86_400_000
LAPLACE = math.sqrt(2.0) / math.log(10.0)


def rounded(size: float) -> float:
    """To 11 bits after the first, halves up, from 2⁻⁸ to 2²⁴."""
    mantissa, exponent = math.frexp(size)
    near = math.ldexp(math.floor(mantissa * 4096 + 0.5), exponent - 12)
    return 0.0 if near < 2.0**-8 else min(near, 2.0**24 - 2.0**12)


def cut(away: float, limit: float) -> float:
    return math.copysign(min(abs(away), limit), away)


def ratio(away: float, scale: float) -> float:
    if scale > 0:
        return min(abs(away) / scale, 1e30)
    return 1000.0 if away else 0.0


def compressed(s: float) -> float:
    return s if s < 3 else 3 + 3 * math.log(s / 3)


@dataclass
class Mean:
    """A mean whose newest value weighs at least ``rate``."""

    value: float = 0.0

    def learn(self, new: float, weight: float) -> None:
        self.value += weight * (new - self.value)


@dataclass
class Tail:
    """The 20 largest peaks, of neighbouring ones the highest."""

    peaks: list[float] = field(default_factory=lambda: [0.0] * 20)
    run_peak: float = 0.0
    run_last: int = 0

    def surprise(self, size: float, k: int) -> float:
        base = math.log10((k + 1) / 20) if k >= 20 else 0.0
        prior = 1000 / (1000 + k)
        smallest, fifth = self.peaks[19], self.peaks[5]
        if rounded(size) > smallest:
            tail = base + max(size - smallest, 0.0) / self.excess(fifth, smallest) / math.log(10)
        else:
            tail = base * size / smallest if smallest else 0.0
        return prior * self.expected(size, k) + (1 - prior) * compressed(tail)

    def expected(self, size: float, k: int) -> float:
        as_high = sum(peak >= rounded(size) for peak in self.peaks)
        limit = math.log10((k + 1) / as_high) + 2 if as_high else math.inf
        return min(compressed(LAPLACE * size), limit)

    @staticmethod
    def excess(fifth: float, smallest: float) -> float:
        if smallest == 0:
            return 1 / (LAPLACE * math.log(10))
        return max((fifth - smallest) / math.log(20 / 5.5), 0.02 * smallest)

    def learn(self, size: float, k: int) -> None:
        peak = rounded(size)
        if peak <= self.peaks[19]:
            return
        if k - self.run_last > 10 or self.run_peak == 0 or self.peaks[19] == 0:
            self.run_last = k
            self.peaks.pop()
        elif peak <= self.run_peak:
            return
        elif self.run_peak in self.peaks:
            self.peaks.remove(self.run_peak)
        else:
            self.run_peak = peak
            return
        self.run_peak = peak
        self.peaks = sorted([*self.peaks, peak], reverse=True)


@dataclass
class Ladder:
    """What 1 of 10, 100, … samples exceed."""

    widths: list[float] = field(default_factory=lambda: [8.0, 3.0, 2.0, 1.0, 1.0])

    def height(self, evidence: float) -> float:
        edges = [sum(self.widths[:rung]) for rung in range(5)]
        rung = max(i for i, edge in enumerate(edges) if i == 0 or evidence >= edge)
        return rung + (evidence - edges[rung]) / self.widths[rung]

    def learn(self, height: float, n: int) -> None:
        for i, prior in enumerate((5000, 500, 300, 100, 30)):
            gain = 10 / math.log(10) / (min(n, 300_000) * 0.1**i + prior)
            above = height > i + 1
            self.widths[i] = max(self.widths[i] * (1 + gain * (above - 0.1)), 0.6)
            if not above:
                break


def steepened(r: float) -> float:
    return min(r + 0.5 * max(r - 5, 0.0) ** 2, 300.0)


@dataclass
class Auto:
    """Everything ``auto`` knows of one signal."""

    n: int = 0
    profiled: int = 0
    last_ms: int = 0
    step_ms: float = 0.0
    last: float = 0.0
    mean: Mean = field(default_factory=Mean)
    fast: Mean = field(default_factory=Mean)
    slow: Mean = field(default_factory=Mean)
    offset: Mean = field(default_factory=Mean)
    variance: float = 0.0
    rest_square: Mean = field(default_factory=Mean)
    long_square: Mean = field(default_factory=Mean)
    miss_square: Mean = field(default_factory=Mean)
    product: Mean = field(default_factory=Mean)
    profile_square: Mean = field(default_factory=Mean)
    quick: Mean = field(default_factory=Mean)
    usual_change: Mean = field(default_factory=Mean)
    rough_square: Mean = field(default_factory=Mean)
    evidence: Mean = field(default_factory=Mean)
    errors: list[Mean] = field(default_factory=lambda: [Mean() for _ in range(5)])
    likelihoods: list[float] = field(default_factory=lambda: [0.0] * 5)
    windows: list[tuple[Mean, Mean, Mean]] = field(default_factory=lambda: [(Mean(), Mean(), Mean()) for _ in range(3)])
    hours: dict[int, Mean] = field(default_factory=dict)
    days: dict[int, list[int]] = field(default_factory=dict)
    hour_squares: dict[int, Mean] = field(default_factory=dict)
    hour_samples: dict[int, int] = field(default_factory=dict)
    tails: list[Tail] = field(default_factory=lambda: [Tail() for _ in range(7)])
    ladder: Ladder = field(default_factory=Ladder)
    burst: Mean = field(default_factory=Mean)
    bursts: int = 0
    gap: int = 0
    bar: float = 0.0
    rest_ms: float = 0.0
    height: float = 0.0
    reach: float = 4.0

    def sample(self, time_ms: int, value: float) -> Verdict:
        n = self.n
        if n == 0:
            for level in (self.mean, self.fast, self.slow):
                level.value = value
            self.last = value
        pause_ms = time_ms - self.last_ms
        if n:
            self.step_ms = pause_ms if n == 1 else min(1.02 * self.step_ms, max(0.98 * self.step_ms, pause_ms))
        step_h = max(self.step_ms, 1.0) / HOUR_MS
        hour = time_ms // HOUR_MS % 24
        usual = self.usual(time_ms, hour)
        gate = self.product.value / (self.profile_square.value + 1e-300) if self.profiled else 0.0
        middle = self.mean.value + min(max(gate, 0.0), 1.0) * usual
        predictions = [self.last, self.fast.value, self.slow.value, middle, middle + self.offset.value]
        weights = [math.exp(one - max(self.likelihoods)) for one in self.likelihoods]
        guess = middle + sum(w * (p - middle) for w, p in zip(weights, predictions, strict=True)) / sum(weights)
        doubt = self.doubt(min(abs(middle), abs(self.last)), step_h)
        hourly, steady = math.hypot(self.spread(hour, 20), doubt), math.hypot(self.steady(hour), doubt)
        missing = math.sqrt(0.9 * self.miss_square.value + 0.1 * self.rest_square.value + doubt**2)
        rest = value - middle
        sizes = [ratio(rest, hourly), ratio(rest, steady), self.rough(value), ratio(value - guess, missing)]
        doubtful = doubt**2 / hourly**2 if doubt else 0.0
        sizes += [self.window(i, math.copysign(min(sizes[0], 5.0), rest), step_h, doubtful) for i in range(3)]
        told = NO_VERDICT
        if n >= 60:
            k = n - 60
            around, beside = hourly * self.reach, missing * self.reach
            lower, upper = max(middle - around, guess - beside), min(middle + around, guess + beside)
            if lower > upper:
                lower, upper = middle - around, middle + around
            outside = not lower <= value <= upper
            self.reach *= 1 + 0.14 / (0.001 * min(k, 300_000) + 5) * (outside - 0.001)
            score = self.judge(k, sizes, pause_ms, step_h)
            told = Verdict(score, min(max(middle, lower), upper), lower, upper)
        self.learn(time_ms, hour, value, usual, middle, predictions, guess, steady, missing, step_h)
        return told

    def usual(self, time_ms: int, hour: int) -> float:
        if hour not in self.hours:
            return 0.0
        share = time_ms % HOUR_MS / HOUR_MS - 0.5
        other = (hour + 1) % 24 if share > 0 else (hour - 1) % 24
        here = self.hours[hour].value
        return here + abs(share) * (self.hours[other].value - here) if other in self.hours else here

    def spread(self, hour: int, prior: float) -> float:
        n = self.hour_samples.get(hour, 0)
        own = self.hour_squares[hour].value if n else 0.0
        return math.sqrt((n * own + prior * self.rest_square.value) / (n + prior))

    def steady(self, hour: int) -> float:
        return max(self.spread(hour, 200), math.sqrt(self.long_square.value))

    def doubt(self, level: float, step_h: float) -> float:
        """Half of Poisson's deviation, or a twentieth of the level, of what is known to be whole numbers."""
        counts = self.last % 1 == 0
        return min(math.sqrt(level) / 2, level / 20) / math.sqrt(1 + self.n * step_h) if counts else 0.0

    def rough(self, value: float) -> float:
        if self.n == 0:
            return 0.0
        found, rate = 0.0, max(0.001, 1 / self.n)
        change = abs(value - self.last)
        if self.n > 30 and self.usual_change.value > 0:
            change = min(change, 1e3 * self.usual_change.value)
        self.quick.learn(change, max(0.1, 1 / self.n))
        if self.usual_change.value > 0 and self.quick.value > 0:
            away = math.log(self.quick.value / self.usual_change.value)
            found = abs(away) / math.sqrt(self.rough_square.value) if self.rough_square.value else 0.0
            self.rough_square.learn(away**2, rate)
        self.usual_change.learn(change, rate)
        return min(found, 1e30)

    def window(self, i: int, away: float, step_h: float, doubtful: float) -> float:
        if self.n < 30:
            return 0.0
        mean, square, _ = self.windows[i]
        mean.learn(away, 1 - self.kept(i, step_h))
        k = self.n - 29
        before = square.value
        limit = 25 * before + (1e30 if k < 60 else 0.0)
        square.learn(min(mean.value**2, limit), max(0.001, 1 / k))
        known = before + doubtful * (1 - self.kept(i, step_h)) / 2
        return abs(mean.value) / math.sqrt(known) if before > 0 else 0.0

    @staticmethod
    def kept(i: int, step_h: float) -> float:
        hours = (1, 4, 24)[i]
        return hours / (hours + step_h)

    def judge(self, k: int, sizes: list[float], pause_ms: float, step_h: float) -> float:
        evidence = 0.0
        for i, (tail, size) in enumerate(zip(self.tails, sizes, strict=True)):
            surprise = tail.surprise(size, k)
            tail.learn(size, k)
            if i < 4:
                evidence += (1.0 + 0.7 * min(1.0, 2.0 * sizes[1])) * surprise if i == 2 else surprise
                continue
            usual = self.windows[i - 4][2]
            evidence += self.kept(i - 4, step_h) * max(surprise - usual.value, 0.0)
            usual.learn(surprise, max(min(1.0, step_h / 36), 1 / (k + 1)))
        evidence *= 0.94
        above = max(evidence - self.evidence.value / 2, 0.0)
        self.evidence.learn(evidence, max(min(1.0, step_h / 168), 1 / (k + 1)))
        found = self.ladder.height(above)
        self.height *= math.exp(-pause_ms / (6 * HOUR_MS))
        lowered = max(found - max(self.height - 3, 0.0) / 2, 0.0)
        self.height = min(max(self.height, found), 8.0)
        self.ladder.learn(lowered, k)
        score = steepened(self.barred(lowered, sizes[1], pause_ms, step_h))
        return min(score, math.log10(k + 61) + 2) if self.rest_square.value == 0 else score

    def barred(self, surprise: float, size: float, pause_ms: float, step_h: float) -> float:
        if size <= 5:
            self.gap += 1
        else:
            if self.gap >= 10:
                self.bursts += 1
                self.burst.learn(math.log(size / 5), max(0.05, 1 / self.bursts))
            self.gap = 0
        self.bar = max(self.bar - 2 * pause_ms / WEEK_MS, 0.0)
        self.rest_ms = max(self.rest_ms - pause_ms, 0.0)
        gate = min(max((self.burst.value - 0.6) / 0.4, 0.0), 1.0) if self.bursts >= 5 else 0.0
        over = 0.2 * gate * max(self.bar - 4, 0.0)
        if self.rest_ms == 0 and surprise >= max(1.0, math.log10(168 / step_h / 5)) + over / 2:
            self.bar += 1
            self.rest_ms = max(6, 6 * step_h) * HOUR_MS
        return max(surprise - over, 0.0)

    def learn(
        self, time_ms: int, hour: int, value: float, usual: float, middle: float, predictions: Sequence[float],
        guess: float, steady: float, missing: float, step_h: float,
    ) -> None:  # fmt: skip
        n, rate = self.n, max(0.001, 1 / (self.n + 1))
        quick = max(rate, min(step_h / 108, 0.02))
        old = n > 30
        limit = 5 * math.sqrt(self.variance) if old and self.variance > 0 else 1e300
        rest = value - middle
        rest_cut = cut(rest, 5 * steady if old and self.rest_square.value > 0 else 1e300)
        miss_cut = cut(value - guess, 8 * missing if old and missing > 0 else 1e300)
        away = cut(value - self.mean.value, limit)
        self.rest_square.learn(rest_cut**2, quick)
        self.long_square.learn(rest_cut**2, max(0.0005, 1 / (n + 1)))
        self.miss_square.learn(miss_cut**2, rate)
        per_hour = max(1.0, 1 / step_h) if n > 1 else 1.0
        samples = self.hour_samples.get(hour, 0)
        self.hour_squares.setdefault(hour, Mean()).learn(rest_cut**2, max(0.05 / per_hour, 1 / (samples + 1)))
        self.hour_samples[hour] = min(samples + 1, 4000)
        for i, prediction in enumerate(predictions):
            self.learn_error(i, abs(value - prediction), rate)
        self.learn_hour(time_ms // DAY_MS, hour, away, usual, per_hour)
        self.mean.learn(self.mean.value + away, quick)
        self.variance = (1 - quick) * (self.variance + quick * away**2)
        seen = self.last + cut(value - self.last, 1e3 * limit)
        self.fast.learn(seen, max(0.2, 1 / (n + 1)))
        self.slow.learn(self.slow.value + cut(seen - self.slow.value, limit), max(0.02, 1 / (n + 1)))
        self.offset.learn(cut(rest, 1e3 * limit), 0.05)
        self.last, self.last_ms, self.n = seen, time_ms, n + 1

    def learn_error(self, i: int, off: float, rate: float) -> None:
        mean = self.errors[i].value
        if self.n >= 10:
            gain = -math.log(mean) - min(off / mean, 20) if mean > 0 else 60.0 * (off == 0)
            self.likelihoods[i] = 0.995 * self.likelihoods[i] + gain
        self.errors[i].learn(min(off, 1e3 * mean) if self.n > 30 and mean > 0 else off, rate)

    def learn_hour(self, day: int, hour: int, away: float, usual: float, per_hour: float) -> None:
        if hour in self.hours:
            self.profiled += 1
            weight = max(0.001, 1 / self.profiled)
            self.product.learn(away * usual, weight)
            self.profile_square.learn(usual**2, weight)
        days = self.days.setdefault(hour, [])
        if not days or days[-1] != day:
            days.append(day)
        rate = max(0.1, 1 / (len(days) + 1)) / per_hour
        if len(days) == 1:
            rate = max(rate, 0.5)
        self.hours.setdefault(hour, Mean()).learn(away, min(rate, 1.0))


def auto(times_ms: Sequence[int], values: Sequence[float], hold: Hold | None = None) -> list[Verdict]:
    """Verdicts of ``auto`` without its words; what is held back is taken back."""
    signal, out = Auto(), list[Verdict]()
    for time_ms, value in zip(times_ms, values, strict=True):
        if not abs(value) <= 1e38:
            out.append(NO_VERDICT)
            continue
        before = None if hold is None else deepcopy(signal)
        out.append(signal.sample(int(time_ms), float(value)))
        if hold is not None and before is not None and not hold.learns(out[-1][0], time_ms):
            signal = before
            signal.last_ms = int(time_ms)
    return out


def entity(rows: Sequence[Sequence[float]]) -> list[float]:
    """Surprise of several signals together."""
    ladder, usual, seen, out = Ladder(), Mean(), 0, []
    for row in rows:
        known = [score for score in row if not math.isnan(score)]
        if not known:
            out.append(NAN)
            continue
        decades = [s if s <= 5 else 4 + math.sqrt(1 + 2 * (s - 5)) for s in known]
        mean = sum(4 * min(d, 1.0) + 2.4 * max(d - 1, 0.0) for d in decades) / len(known)
        height = ladder.height(max(mean - usual.value, 0.0) * math.sqrt(len(known)))
        ladder.learn(height, seen)
        out.append(steepened(height))
        seen += 1
        usual.learn(mean, max(0.1, 1 / seen))
    return out
