"""Calibration: from the surprise that a detector's model claims to the one that its signal bears out.

A model (Gaussian, say) promises that one sample in 10^s surprises by s or more. Each signal keeps a histogram of what
surprises it was given, and looks up in it how often so much really came. Beyond the largest it saw, the tail goes on
as a power of s: right for power tails, a little too careful for lighter ones (Pickands 1975, *Statistical inference
using extreme order statistics*; as a stream: SPOT, Siffer et al. 2017, KDD).

A surprise within a bin lies between those of its edges, by where in the bin it is. Of a signal whose surprises are few
numbers (a count's, say) it is the mean of how many are as far out and how many are farther: the mid-p of Lancaster
(1961), *Significance tests in discrete distributions*, J. Am. Stat. Assoc. 56. So at most twice
as many come as it says, where by its place in the bin a lump of samples may be told as rare as what is beyond.

Until a signal has shown enough, its surprise is pooled with the model's: s' = w·s + (1 − w)·empirical, where
w = 1 / (1 + (n / ``POOLED``)³) after n samples. The past fades: at ``LIMIT`` samples all counts are halved.

Where the model's tail is much heavier than the signal's (a season taken for spread, say), hardly anything surprises by
2, and what is not counted cannot be corrected. So the histogram of such a signal begins anew, and lower: at 1, and if
that is as rare, at 1/2 (``light``). What it counted is forgotten: mostly what surprised while the model was young.
Cost: 73 bytes a signal, and a look at the histogram for the one sample in a hundred with s of 2 and more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.base import BAND_SURPRISE, BAND_Z, SURPRISE_MAX, Column, Floats, Ints, Scored, Table

POOLED = 20_000.0
"""Samples after which model and signal are believed alike: 20 samples of the rarest thousandth."""
LIMIT = 1_000_000
"""Samples at which counts are halved: a tail of 10⁻⁵ then rests on five to ten samples."""
LARGEST = 65_535.0
"""What a surprise is cut to before it is counted: 550 standard deviations, which heavy tails do reach."""
BINS = 24
"""From ``PLAIN`` to ``LARGEST``: four bins to a doubling up to 16, where alarms are decided, then one."""
_QUARTERS_SHIFT = 21
_OCTAVE = 4  # bins of the first one
_QUARTERS_AT_2 = 0x40000000 >> _QUARTERS_SHIFT  # the bits of 2.0 as float32
COUNT_LIMIT = 65_535
FEW, MANY = 4, 32
"""Counts on which the tail's slope rests: it is taken between the edges with so many samples above them."""
PLAIN = 2.0
"""Smaller surprises alarm nobody: they are scaled by one number a signal, unless its histogram begins lower."""
RARE = 0.5
"""Share of the one sample in a hundred that should surprise by ``PLAIN``: if fewer do, a surprise of 2 lies among those
that are not counted, and is told wrongly. Not nearer to 1, where chance would move histograms of right models."""
MOST_OCTAVES = 2
"""The histogram begins no lower than by so many. A model that is right after all then has 8 % of its samples in the
lowest bin, about as many of ``LIMIT`` as a count holds."""
RATIO_EVERY = 16
"""Samples of ``PLAIN`` and more between two looks at that number."""
STRETCH_EVERY = 256
"""Samples between two looks at how wide the band must be."""

SAME, LUMPY = 1e-3, 0.1
"""Surprises so near each other, as a share, are the same; if one in ten is that of the sample of ``PLAIN`` and more
before it, they are few numbers. Of a continuous signal one in some 500 is."""

COLUMNS = (
    Column("tail_seen", np.int32),
    Column("tail_above", np.int32),
    Column("tail_ratio", np.float32),  # s'/s where the histogram begins, less 1: a row of zeros believes the model
    Column("tail_stretch", np.float32),  # width of the band against the model's, less 1
    Column("tail_last", np.float32),  # latest surprise of ``PLAIN`` and more
    Column("tail_same", np.int32),
    Column("tail_octaves", np.int8),  # by so many the histogram begins below ``PLAIN``
    Column("tail_counts", np.uint16, BINS),
)


def allocate_tails(rows: int) -> Table:
    """Memory for the tails of ``rows`` signals."""
    return Table(COLUMNS, rows)


def calibrate(tails: Table, rows: Ints, values: Floats, scored: Scored) -> Scored:
    """Calibrated surprises and the band that goes with them; then learns the model's surprises.

    ``rows`` (n,) int64, ``values`` (n,) float64 what was judged, ``scored`` the model's verdicts on them.
    """
    score, lower, upper = scored.score.copy(), scored.lower.copy(), scored.upper.copy()
    columns = (tails[column.name] for column in COLUMNS)
    calibrate_step(*columns, rows, values, score, scored.expected, lower, upper)
    return Scored(score, scored.expected, lower, upper)


@njit(cache=True, nogil=True)
def calibrate_step(
    seen: NDArray[Any], above: NDArray[Any], ratio: NDArray[Any], stretch: NDArray[Any],
    last: NDArray[Any], same: NDArray[Any], octaves: NDArray[Any], counts: NDArray[Any],
    rows: Ints, values: Floats, score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Calibrate in place, then learn, ``n`` surprises."""
    for i in range(rows.shape[0]):
        row, s = rows[i], score[i]
        if math.isnan(s):
            continue
        if s >= SURPRISE_MAX:
            s = beyond(values[i] - expected[i], (upper[i] if values[i] > expected[i] else lower[i]) - expected[i])
        scale = np.float64(1 << octaves[row])
        counted = scale * s  # the histogram is one of these: it begins at ``PLAIN`` always
        if counted < PLAIN:
            score[i] = s * (1.0 + np.float64(ratio[row]))
        else:
            score[i] = calibrated(seen[row], above[row], counts[row], scale, s, lumpy(same[row], above[row]))
        width = 1.0 + np.float64(stretch[row])
        lower[i] = expected[i] - width * (expected[i] - lower[i])
        upper[i] = expected[i] + width * (upper[i] - expected[i])
        seen[row] += 1
        if counted >= PLAIN:
            counts[row, bin_of(counted)] += 1
            above[row] += 1
            same[row] += abs(s - np.float64(last[row])) <= SAME * s
            last[row] = s
            if above[row] % RATIO_EVERY == 0:
                plain, lumps = PLAIN / scale, lumpy(same[row], above[row])
                ratio[row] = calibrated(seen[row], above[row], counts[row], scale, plain, lumps) / plain - 1.0
        if seen[row] % STRETCH_EVERY == 0:
            if octaves[row] < MOST_OCTAVES and light(seen[row], above[row], counts[row], octaves[row]):
                seen[row] = above[row] = same[row] = 0
                counts[row] = 0
                ratio[row] = 0.0
                octaves[row] += 1
                scale *= 2.0
            stretch[row] = stretch_of(seen[row], above[row], counts[row], scale, lumpy(same[row], above[row])) - 1.0
        if seen[row] >= LIMIT or (counted >= PLAIN and counts[row, bin_of(counted)] == COUNT_LIMIT):
            halve(seen, above, same, counts, row)


@njit(cache=True)
def beyond(away: float, half_width: float) -> float:
    """What the model would have claimed had it not ended at ``SURPRISE_MAX``: asymptotically z²/2 · log10 e."""
    if half_width == 0.0:
        return LARGEST
    return max(SURPRISE_MAX, min(LARGEST, 0.5 * math.log10(math.e) * (BAND_Z * away / half_width) ** 2))


@njit(cache=True)
def bin_of(s: float) -> int:
    """Bin of a surprise of 2 or more: exponent and leading bits of its float32 number quarters of octaves."""
    quarter = (np.float32(min(s, LARGEST)).view(np.int32) >> _QUARTERS_SHIFT) - _QUARTERS_AT_2
    return int(quarter) if quarter < 12 else 12 + (int(quarter - 12) >> 2)


@njit(cache=True)
def edge_of(number: int) -> float:
    """Lower edge of a bin."""
    quarter = number if number < 12 else 12 + 4 * (number - 12)
    octave = quarter >> 2
    return 2.0 * 2.0**octave * (1.0 + 0.25 * (quarter - 4 * octave))


@njit(cache=True, inline="always")
def lumpy(same: int, above: int) -> bool:
    """Whether a signal's surprises are few numbers."""
    return bool(same >= LUMPY * above)


@njit(cache=True)
def calibrated(seen: int, above: int, counts: NDArray[Any], scale: float, s: float, lumps: bool) -> float:
    """What a surprise of ``s`` >= 2 / ``scale`` is worth on a signal with these counts of surprises times ``scale``."""
    if above < MANY:
        return min(s, SURPRISE_MAX)
    weight = 1.0 / (1.0 + (seen / POOLED) ** 3)
    empirical = -math.log10(tail_count(counts, above, min(scale * s, LARGEST), lumps) / seen)
    return min(SURPRISE_MAX, max(0.0, weight * min(s, SURPRISE_MAX) + (1.0 - weight) * empirical))


@njit(cache=True)
def tail_count(counts: NDArray[Any], above: int, s: float, lumps: bool) -> float:
    """How many of the samples seen would have surprised by ``s`` or more; a real number, positive, falling in s."""
    few_at, few, many, many_at = 0, np.int64(above), np.int64(above), 0
    left = np.int64(above)
    for b in range(BINS):  # from edge to edge, samples at and above it
        if left >= MANY:
            many_at, many = b, left
        if left >= FEW and left < many:
            few_at, few = b, left
        below = left
        left -= counts[b]
        if left < FEW:
            break
        if s < edge_of(b + 1):
            if lumps:
                return 0.5 * (below + left)
            share = (s - edge_of(b)) / (edge_of(b + 1) - edge_of(b))
            return math.exp((1.0 - share) * math.log(below) + share * math.log(left))
    if few >= many:  # the last bin holds them all: a light tail, or a lump of samples that surprise alike
        few_at, few = many_at + 1, np.int64(FEW)
        if 2 * many > above and s < edge_of(few_at):
            return float(many)
    slope = math.log(many / few) / math.log(edge_of(few_at) / edge_of(many_at))
    return few * max(1e-300, (s / edge_of(few_at)) ** -slope)


@njit(cache=True)
def stretch_of(seen: int, above: int, counts: NDArray[Any], scale: float, lumps: bool) -> float:
    """Width of the band that holds calibrated surprises up to 3, in widths of the model's band.

    Near it a surprise grows with the square of the distance, as a Gaussian's does.
    """
    low, high, plain = 0.1, SURPRISE_MAX, PLAIN / scale
    for _ in range(24):
        middle = math.sqrt(low * high)
        value = calibrated(seen, above, counts, scale, max(middle, plain), lumps) * min(middle / plain, 1.0)
        if value < BAND_SURPRISE:
            low = middle
        else:
            high = middle
    return math.sqrt(low / BAND_SURPRISE)


@njit(cache=True)
def light(seen: int, above: int, counts: NDArray[Any], octaves: int) -> bool:
    """Whether the tail is so much lighter than the model's that the histogram begins too far out.

    Of a signal that is quiet but for a few large surprises it does not: what it knows of these must not be forgotten.
    """
    few = 10.0**-PLAIN * seen * (RARE if octaves == 0 else 1.0)
    return bool(seen >= POOLED and above < few and above - counts[:_OCTAVE].sum() < FEW)


@njit(cache=True)
def halve(seen: NDArray[Any], above: NDArray[Any], same: NDArray[Any], counts: NDArray[Any], row: int) -> None:
    """Let the past fade."""
    seen[row] //= 2
    same[row] //= 2
    above[row] = 0
    for b in range(BINS):
        counts[row, b] //= 2
        above[row] += counts[row, b]
