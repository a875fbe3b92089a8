"""Several signals of one entity as one: how surprising a step is, and which signals make it so.

A fault of a machine shows in several of its metrics at once, noise in one of them at a time. So each member of a group
is judged by itself, and the surprises of a step are added: the first decade of each counts ``FIRST``, every further one
``FURTHER``, and what is above 5, where ``auto`` grows steeper, as before it did. Their mean over the ``k`` members that
are scored, above the running mean of it and times √k, as means of noise shrink, climbs the ladder of ``auto``
(``flows.detectors.auto_ladder``). So the entity's surprise is one that its own past bears out, members may come and go,
and a fault that lasts surprises when it begins.

The two weights were chosen on the asd files of docs/quality.md, from eight; equal ones find as much with fewer false
alarms. It fails where a fault shows in one of many signals, and where they come at different times.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.auto_ladder import STEEP, STEEPER, begin_ladder, learn_rungs, steepened
from flows.detectors.auto_state import COUNT_LIMIT
from flows.detectors.base import BAND_SURPRISE, Column, Floats, Ints, Scored, Table
from flows.detectors.outlier import GROUP
from flows.detectors.river_vector import ENTITY, SERIES, TOP
from flows.detectors.rungs import RUNGS, height_of

FIRST, FURTHER = 4.0, 2.4
USUAL_RATE = 0.1
"""Weight of a step in the mean evidence: 0.05 was alike."""
COLUMNS = (
    Column(GROUP, np.int32, derived=True), Column(ENTITY, np.bool_, derived=True),
    Column(SERIES, np.uint64, derived=True), Column("rungs", np.float64, RUNGS), Column("usual_evidence", np.float64),
    Column("scored_steps", np.int32), Column("top", np.uint64, TOP), Column("top_value", np.float64, TOP),
)  # fmt: skip
"""Of a member: its group and its name. Of the entity, a row of its own: what it learned, and who led at last."""


def combine(table: Table, rows: Ints, times_ms: Ints, values: Floats, scored: Scored) -> tuple[Floats, Scored]:
    """Verdicts on entities from those on their members, for ``n`` rows of both: whole steps, none may be cut.

    A member that is not scored counts as the mean of the others. An entity's value, expected and band are those of the
    member that leads, all NaN where no member is scored; members get no verdict.
    """
    order = np.lexsort((table[SERIES][rows], table[GROUP][rows], times_ms))
    shown, out = values.copy(), Scored(*(np.full(len(rows), math.nan) for _ in range(4)))
    columns = (table[name] for name in ("rungs", "usual_evidence", "scored_steps", "top", "top_value"))
    combine_step(
        table[GROUP], table[ENTITY], table[SERIES], *columns, order, rows, times_ms, values, *scored, shown, *out
    )
    return shown, out


def needs(table: Table, rows: Ints, members: Ints, needed: Ints) -> Ints:
    """Steps until an entity in ``rows`` is scored: as many as the first of its group's ``members`` needs; (n,) int64.

    ``needed`` (m,) is what these need. It is 0 for members, which get no score. An entity may be without members, if
    none found room or the only one bears the group's own labels: it is not judged until one comes, so it needs one.
    """
    groups, never = table[GROUP], np.iinfo(np.int64).max
    least = np.full(1 + max(int(groups[some].max(initial=0)) for some in (members, rows)), never)
    np.minimum.at(least, groups[members], needed)
    least[least == never] = 1
    return np.where(table[ENTITY][rows], least[groups[rows]], 0)


@njit(cache=True)
def combine_step(
    groups: NDArray[Any], entity: NDArray[Any], series: NDArray[Any], rungs: Floats, usual: Floats,
    steps: NDArray[Any], top: NDArray[Any], top_value: Floats,
    order: Ints, rows: Ints, times_ms: Ints, values: Floats,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
    shown: Floats, out: Floats, out_expected: Floats, out_lower: Floats, out_upper: Floats,
) -> None:  # fmt: skip
    """Judge then learn; ``order`` sorts ``n`` rows by time, group and series."""
    n, first = order.shape[0], 0
    while first < n:
        head, last, total, known, at = order[first], first, 0.0, 0, -1
        leaders = np.full(TOP, -1)
        while last < n and times_ms[order[last]] == times_ms[head] and groups[rows[order[last]]] == groups[rows[head]]:
            one = order[last]
            last += 1
            if entity[rows[one]]:
                at = one
            elif not math.isnan(score[one]):
                total += evidence_of(score[one])
                known += 1
                _insert(leaders, one, score)
        first = last
        if at < 0:
            continue
        shown[at] = math.nan
        if known == 0:
            continue
        row, lead = rows[at], leaders[0]
        surprise = _climb(rungs[row], usual, steps, row, total / known, math.sqrt(known))
        shown[at], out[at] = values[lead], surprise
        out_expected[at], out_lower[at], out_upper[at] = expected[lead], lower[lead], upper[lead]
        if surprise >= BAND_SURPRISE:
            top[row, :], top_value[row, :] = 0, 0.0
            for place in range(TOP):
                if leaders[place] >= 0:
                    top[row, place], top_value[row, place] = series[rows[leaders[place]]], values[leaders[place]]


@njit(cache=True)
def _insert(leaders: Ints, one: int, score: Floats) -> None:
    """Keep the places with the highest scores, highest first; of equals the first that came."""
    for place in range(TOP):
        if leaders[place] < 0 or score[one] > score[leaders[place]]:
            one, leaders[place] = leaders[place], one
            if one < 0:
                return


@njit(cache=True)
def _climb(rungs: Floats, usual: Floats, steps: NDArray[Any], row: int, evidence: float, root: float) -> float:
    """Surprise of a mean evidence; then learns it."""
    seen = steps[row]
    if seen == 0:
        begin_ladder(rungs)
    height = height_of(rungs, max(evidence - usual[row], 0.0) * root)
    learn_rungs(rungs, height, np.float64(seen))
    usual[row] += max(USUAL_RATE, 1.0 / (seen + 1.0)) * (evidence - usual[row])
    steps[row] = min(seen + 1, COUNT_LIMIT)
    return steepened(height)


@njit(cache=True)
def evidence_of(surprise: float) -> float:
    """What a surprise counts."""
    over = max(surprise - STEEPER, 0.0)
    decades = min(surprise, STEEPER) + (math.sqrt(1.0 + 4.0 * STEEP * over) - 1.0) / (2.0 * STEEP)
    return FIRST * min(decades, 1.0) + FURTHER * max(decades - 1.0, 0.0)
