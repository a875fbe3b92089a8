"""Periods found by themselves: autocorrelation of a ring of means, whose step doubles until a period shows.

The ring holds the means of ``RING`` steps, the first of which are as long as the usual pause between samples: the
median of the first ``PAUSES``, so that neither a restart nor a gap among them sets the scale. When it is full, the
autocorrelation of its detrended values is searched for a peak; if there is none, neighbours are merged, the step
doubles and half of the ring fills anew. So periods from a few samples to ``longest_ms`` are tried, one octave after the
other, each on at least three cycles.

Source: the autocorrelation function as an indicator of periods, Box & Jenkins (1970), chapter 2; testing a peak against
the trough before it: Vlachos, Yu & Castelli (2005), *On periodicity detection and structural periodic similarity*.
Cost: 566 bytes a signal until found; some 10 µs each time that the ring is full. Fails: on periods that change, and on
those much longer or shorter than three times the ring.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.base import Column, Floats, Ints, Table

RING = 128
PAUSES = 9
"""Four of them may be anything. They stand in the ring until they are that many."""
LONGEST_LAG = RING // 3
SHORTEST_LAG = 6
PEAK = 0.5
"""Autocorrelation that a period must have: it explains half of the variance."""
RISE = 0.4
"""By which the peak must exceed the trough before it; noise that merely changes slowly has no trough."""
AGAIN = 0.3
"""Autocorrelation at twice the period."""
BETTER = 0.1
"""By which a longer period must exceed a shorter one: a multiple of the period is hardly better."""
SNAP = 0.03
"""A found period so near to a usual one is taken to be it: else its phase would run away within days."""
GAP_STEPS = 8
"""After a gap of more steps the ring begins anew; shorter ones are filled with the last mean."""
USUAL_MS = 1000 * np.array(
    [30, 60, 120, 180, 240, 300, 360, 600, 720, 900, 1200, 1800, 2400, 3600, 5400, 7200, 10_800, 14_400, 21_600, 28_800,
     43_200, 86_400, 604_800], np.int64,
)  # fmt: skip
UNKNOWN, NONE = 0, -1


class Search(NamedTuple):
    """Columns of the search; ``period_ms`` is ``UNKNOWN`` while it goes on and ``NONE`` when it was in vain."""

    ring: NDArray[Any]
    filled: NDArray[Any]
    step_ms: Ints
    at: Ints
    last_ms: Ints
    total: Floats
    samples: NDArray[Any]
    origin: Floats
    period_ms: Ints


_DTYPES = (np.float32, np.int16, np.int64, np.int64, np.int64, np.float64, np.int32, np.float64, np.int64)


def search_columns(*, wanted: bool) -> list[Column]:
    """Memory of the search; what is there if none is wanted is small and in no snapshot."""
    names = zip(Search._fields, _DTYPES, strict=True)
    columns = [Column(f"search_{name}", dtype, derived=not wanted) for name, dtype in names]
    columns[0] = columns[0]._replace(width=RING if wanted else 1)
    return columns


def search_of(state: Table) -> Search:
    """The columns of a table."""
    return Search(*(state[f"search_{name}"] for name in Search._fields))


@njit(cache=True)
def restart(search: Search, row: int) -> None:
    """Forget what was sought, for values of another kind."""
    search.filled[row] = 0
    search.samples[row] = 0
    search.step_ms[row] = search.last_ms[row] = search.at[row] = 0
    search.total[row] = 0.0
    search.period_ms[row] = UNKNOWN


@njit(cache=True)
def seek(search: Search, row: int, time_ms: int, value: float, longest_ms: int) -> None:
    """Follow a sample while the period is unknown."""
    if search.period_ms[row] != UNKNOWN:
        return
    if search.step_ms[row] == 0:
        if not _pace(search, row, time_ms, value):
            return
        search.at[row] = time_ms // search.step_ms[row]
    at = time_ms // search.step_ms[row]
    if at != search.at[row]:
        _close(search, row, at - search.at[row])
        search.at[row] = at
        if search.filled[row] >= RING:
            _look(search, row, longest_ms)
            search.at[row] = time_ms // search.step_ms[row]
    search.total[row] += value - search.origin[row]
    search.samples[row] += 1


@njit(cache=True)
def _pace(search: Search, row: int, time_ms: int, value: float) -> bool:
    """Learn from a sample how long a step is; gives whether that is known."""
    if search.last_ms[row] == 0:
        search.origin[row] = value
    else:
        search.ring[row, search.filled[row]] = np.float32(time_ms - search.last_ms[row])
        search.filled[row] += 1
    search.last_ms[row] = max(time_ms, 1)
    if search.filled[row] < PAUSES:
        return False
    pauses = np.sort(search.ring[row, :PAUSES])
    search.step_ms[row] = max(np.int64(1), np.int64(pauses[PAUSES // 2]))
    search.filled[row] = 0
    return True


@njit(cache=True)
def _close(search: Search, row: int, steps: int) -> None:
    """End the step of the ring that is being filled, and repeat it over a short gap."""
    mean = np.float32(search.total[row] / max(1, search.samples[row]))
    if search.samples[row] == 0:
        steps = 0
    search.total[row] = 0.0
    search.samples[row] = 0
    if steps > GAP_STEPS:
        search.filled[row] = 0
        return
    for _ in range(steps):
        if search.filled[row] < RING:
            search.ring[row, search.filled[row]] = mean
            search.filled[row] += 1


@njit(cache=True)
def _look(search: Search, row: int, longest_ms: int) -> None:
    """Search a full ring; without a period double the step, and end where the longest was tried."""
    lag = find_lag(search.ring[row])
    if lag > 0.0:
        search.period_ms[row] = snap(lag * search.step_ms[row])
        return
    if LONGEST_LAG * search.step_ms[row] > longest_ms:
        search.period_ms[row] = NONE
        return
    half = RING // 2
    for j in range(half):
        search.ring[row, j] = np.float32(0.5) * (search.ring[row, 2 * j] + search.ring[row, 2 * j + 1])
    search.filled[row] = half
    search.step_ms[row] *= 2


@njit(cache=True)
def find_lag(ring: NDArray[Any]) -> float:
    """Period of these values in steps, interpolated; 0 if there is none."""
    x = _detrended(ring)
    lags = 2 * LONGEST_LAG + 1
    r = np.zeros(lags)
    energy = 0.0
    for j in range(x.shape[0]):
        energy += x[j] * x[j]
    if not energy > 0.0:
        return 0.0
    for lag in range(1, lags):
        for j in range(x.shape[0] - lag):
            r[lag] += x[j] * x[j + lag]
        r[lag] *= x.shape[0] / (energy * (x.shape[0] - lag))
    trough, best = 1.0, 0
    for lag in range(2, LONGEST_LAG + 1):
        trough = min(trough, r[lag])
        peak = r[lag] >= r[lag - 1] and r[lag] > r[lag + 1]
        high = lag >= SHORTEST_LAG and r[lag] >= PEAK and r[lag] - trough >= RISE
        if peak and high and _again(r, lag) and (best == 0 or r[lag] > r[best] + BETTER):
            best = lag
    if best == 0:
        return 0.0
    bend = r[best - 1] - 2.0 * r[best] + r[best + 1]
    return best + (0.5 * (r[best - 1] - r[best + 1]) / bend if bend < 0.0 else 0.0)


@njit(cache=True)
def _again(r: Floats, lag: int) -> bool:
    """Whether the autocorrelation is high at twice the lag, give or take a step."""
    return max(r[2 * lag - 1], r[2 * lag], r[min(2 * lag + 1, r.shape[0] - 1)]) >= AGAIN


@njit(cache=True)
def _detrended(ring: NDArray[Any]) -> Floats:
    """Values without mean and linear trend."""
    n = ring.shape[0]
    middle = 0.5 * (n - 1)
    mean = slope = squares = 0.0
    for j in range(n):
        mean += np.float64(ring[j]) / n
    for j in range(n):
        slope += (j - middle) * (np.float64(ring[j]) - mean)
        squares += (j - middle) * (j - middle)
    x = np.empty(n)
    for j in range(n):
        x[j] = np.float64(ring[j]) - mean - slope / squares * (j - middle)
    return x


@njit(cache=True)
def snap(period_ms: float) -> int:
    """A usual period if one is near, else the nearest millisecond."""
    for j in range(USUAL_MS.shape[0]):
        if abs(period_ms - USUAL_MS[j]) <= SNAP * USUAL_MS[j]:
            return USUAL_MS[j]
    return math.floor(period_ms + 0.5)
