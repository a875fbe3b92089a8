"""Slow, obvious twins of ``flows.detectors.durations``, ``flatline`` and ``missing``: every length is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.naive import NO_VERDICT, Verdict

ROOT4 = 2.0**0.25


def place(length: float) -> int:
    return min(55, math.floor(2 * math.log2(max(length, 1.0))))


def surprise(lengths: Sequence[float], length: float) -> float:
    """Of fewer than 4,096 lengths: none is forgotten."""
    if not len(lengths):
        return 0.0
    places = sorted(map(place, lengths))
    end = 2.0 ** (0.5 * (places[-1] + 1))
    if length < end:
        longer = sum(p >= place(length) for p in places)
        return max(0.0, math.log10((len(places) + 1) / (longer + 1)))
    kept = next(p for p in sorted(set(places), reverse=True) if sum(q >= p for q in places) >= 0.05 * len(places))
    upper = [2.0 ** (0.5 * p) * ROOT4 for p in places if p >= kept]
    scale = max(sum(upper) / len(upper) - 2.0 ** (0.5 * kept), 0.25 * end, 1.0)
    return min(300.0, math.log10(len(places) + 1) + (length - end) / scale / math.log(10))


def flatline(
    values: Sequence[float], times_ms: Sequence[int], tolerance: float, moves: int, warmup: int, hold_ms: int
) -> list[float]:
    """Scores only."""
    lengths: list[float] = []
    run: list[tuple[float, int]] = []
    seen = 0
    out = []
    for value, time_ms in zip(values, times_ms, strict=True):
        if not math.isfinite(value):
            out.append(math.nan)
            continue
        stands = bool(run) and abs(value - run[0][0]) <= tolerance
        known = lengths if len(lengths) >= moves else []
        out.append(math.nan if seen < warmup else surprise(known, len(run) + 1) if stands else 0.0)
        seen += 1
        if stands:
            run.append((value, time_ms))
            continue
        if run and not (surprise(known, len(run)) >= 8 and time_ms - run[0][1] < hold_ms):
            lengths.append(len(run))
        run = [(value, time_ms)]
    return out


def missing(times_ms: Sequence[int], warmup: int, hold_ms: int) -> list[Verdict]:
    """Verdicts of the pauses before samples, without log time; lower is 0 and the rest as learned."""
    lengths: list[float] = []
    before: int | None = None
    out = []
    for seen, time_ms in enumerate(times_ms):
        pause = 0 if before is None else time_ms - before
        score = surprise(lengths, pause / 100)
        out.append(Verdict(score, 0.0, 0.0, 0.0) if seen >= warmup else NO_VERDICT)
        if pause and not (seen >= warmup and score >= 8 and pause < hold_ms):
            lengths.append(pause / 100)
        before = time_ms
    return out
