"""One series against the others of its group now: what it did before does not count.

It receives whole steps: all members with a value at the same time. ``mad``: distance from the median of the others
in robust standard deviations. How far members lie apart is known from the step itself and, as few members tell little
of it, from the steps before; where both are few, it is uncertain, so the distance is Student's t. ``density``: members
in a crowd of any shape are usual, those without near neighbours are not; distances between neighbours are exponential.

Source: ``mad`` as the kind of that name; the variance π/2 · σ²/p of a median and the efficiency 0.37 of the MAD: Huber
(1981), *Robust statistics*. ``density``: the core distance of Ester et al. (1996), *A density-based algorithm for
discovering clusters*, KDD, with the radius taken from the group itself.
Cost: n² / 2 moves for n members of a group (``mad``). Fails: where members differ by nature; among fewer than some ten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from connectors.codec.compiled import njit
from flows.detectors.base import BAND_SURPRISE, BAND_Z, SURPRISE_MAX, VALUE_LIMIT, Column, Floats, Ints, Scored, Table
from flows.detectors.gaussian import deviations, gaussian_surprise
from flows.detectors.mad import scale_of
from flows.detectors.ordered import median_of
from flows.detectors.student import gaussian_of, student_of
from flows.detectors.window import COUNT_LIMIT, samples_needed

MAD_EFFICIENCY = 0.37
"""Of the MAD against the standard deviation, for Gaussian values: Huber (1981)."""
HALF_PI = math.pi / 2.0
MEMORY = 100
"""Steps over which the spread of a group is followed."""
TRUSTED = 30.0
"""Degrees of freedom that the spread of former steps counts for, at most: a group of 80 members outweighs it."""
GROUP = "group"


class OutlierParams(BaseModel):
    """Parameters of ``outlier``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Annotated[
        Literal["mad", "density"], Field(description="mad: far from the median of the others; density: far from any")
    ] = "mad"
    min_members: Annotated[
        int, Field(ge=4, le=10_000, description="members with a value, without which a group is not judged")
    ] = 5
    neighbours: Annotated[int, Field(ge=1, le=100, description="how many others make a crowd, for density")] = 3
    reach: Annotated[
        float, Field(ge=1, le=1000, description="edge of the band in usual distances between neighbours, for density")
    ] = 20.0
    warmup: Annotated[int, Field(ge=0, le=100_000, description="steps for which a new member is not judged")] = 4
    floor_ratio: Annotated[
        float,
        Field(ge=0, le=1, description="spread believed of members that are all equal, as a share of their level"),
    ] = 1e-3


@dataclass(frozen=True, slots=True)
class Outlier:
    """Distance of each member from the others."""

    params: OutlierParams

    def allocate(self, rows: int) -> Table:
        """Which group a member belongs to, written by whoever gives out rows; steps seen; what is known of the group.

        Each member carries the variance within its group and the steps behind it: that with the most steps is right.
        """
        columns = (Column("seen", np.int32), Column("steps", np.int32), Column("variance", np.float64))
        return Table((Column(GROUP, np.int32, derived=True), *columns), rows)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Score then learn whole steps: no step may be cut."""
        out = Scored.empty(len(rows))
        groups = state[GROUP][rows]
        order = np.lexsort((values, groups, times_ms))
        p = self.params
        density = p.method == "density"
        outlier_step(
            state["seen"], state["steps"], state["variance"], groups, order, rows, times_ms, values,
            density, p.min_members, p.neighbours, p.reach, p.warmup, p.floor_ratio, *out,
        )  # fmt: skip
        return out

    def derive(self, state: Table, rows: Ints) -> None:
        """Groups are written by whoever gives out rows."""

    def needs(self, state: Table, rows: Ints) -> Ints:
        """Steps until the first score."""
        return samples_needed(state, rows, self.params.warmup)


@njit(cache=True, nogil=True)
def outlier_step(
    seen: NDArray[Any], steps: NDArray[Any], variance: Floats,
    groups: NDArray[Any], order: Ints, rows: Ints, times_ms: Ints, values: Floats,
    density: bool, min_members: int, neighbours: int, reach: float, warmup: int, floor_ratio: float,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """Judge ``n`` values; ``order`` sorts them by time, group and value."""
    score[:] = expected[:] = lower[:] = upper[:] = math.nan
    n, first = order.shape[0], 0
    while first < n:
        head, last = order[first], first + 1
        while last < n and times_ms[order[last]] == times_ms[head] and groups[order[last]] == groups[head]:
            last += 1
        _judge_group(
            seen, steps, variance, order[first:last], rows, values, density, min_members, neighbours, reach, warmup,
            floor_ratio, score, expected, lower, upper,
        )  # fmt: skip
        first = last


@njit(cache=True)
def _judge_group(
    seen: NDArray[Any], steps: NDArray[Any], variance: Floats, order: Ints, rows: Ints, values: Floats,
    density: bool, min_members: int, neighbours: int, reach: float, warmup: int, floor_ratio: float,
    score: Floats, expected: Floats, lower: Floats, upper: Floats,
) -> None:  # fmt: skip
    """One group at one step; its values ascend along ``order``, NaN at the end."""
    known = order[np.abs(values[order]) <= VALUE_LIMIT]
    count = known.shape[0]
    line = values[known]
    enough = count >= min_members and count > neighbours
    radius = _radius(line, neighbours, reach, floor_ratio) if density and enough else 0.0
    others = line[1:].copy()
    before, behind = _known_before(steps, variance, rows, known)
    believed = min(TRUSTED, MAD_EFFICIENCY * (count - 1) * behind)
    for i in range(count):
        at = known[i]
        if enough and seen[rows[at]] >= warmup:
            if density:
                near = _crowd(line, i, neighbours)
                expected[at], half = near, radius
                score[at] = min(SURPRISE_MAX, BAND_SURPRISE * deviations(abs(line[i] - near), radius))
            else:
                peers = count - 1
                middle = median_of(others, peers)
                now = scale_of(others, peers, middle, 0.0, floor_ratio * abs(middle))
                freedom = MAD_EFFICIENCY * (peers - 1)
                both = (freedom * now * now + believed * before) / (freedom + believed)
                scale, freedom = math.sqrt(both * (1.0 + HALF_PI / peers)), freedom + believed
                expected[at], half = middle, student_of(BAND_Z, freedom) * scale
                score[at] = gaussian_surprise(gaussian_of(deviations(abs(line[i] - middle), scale), freedom))
            lower[at], upper[at] = expected[at] - half, expected[at] + half
        seen[rows[at]] = min(seen[rows[at]] + 1, COUNT_LIMIT)
        if i + 1 < count:
            others[i] = line[i]  # all but the next one
    if enough:
        middle = median_of(line, count)
        scale = scale_of(line, count, middle, 0.0, floor_ratio * abs(middle))
        after = before + max(1.0 / MEMORY, 1.0 / (behind + 1.0)) * (scale * scale - before)
        for at in known:
            steps[rows[at]], variance[rows[at]] = min(behind + 1, COUNT_LIMIT), after


@njit(cache=True)
def _known_before(steps: NDArray[Any], variance: Floats, rows: Ints, known: Ints) -> tuple[float, int]:
    """Variance within the group and the steps behind it, as the member knows that was there most often."""
    before, behind = 0.0, 0
    for at in known:
        if steps[rows[at]] > behind:
            before, behind = variance[rows[at]], steps[rows[at]]
    return before, behind


@njit(cache=True)
def _crowd(line: Floats, i: int, neighbours: int) -> float:
    """Value of the ``neighbours``-th nearest other one in a sorted line."""
    low, high = i, i
    for _ in range(neighbours):
        left = line[i] - line[low - 1] if low > 0 else math.inf
        right = line[high + 1] - line[i] if high + 1 < line.shape[0] else math.inf
        if left <= right:
            low -= 1
            nearest = line[low]
        else:
            high += 1
            nearest = line[high]
    return nearest


@njit(cache=True)
def _radius(line: Floats, neighbours: int, reach: float, floor_ratio: float) -> float:
    """How far the ``neighbours``-th nearest may be: so many times as far as it is of half of the members."""
    distances = np.empty(line.shape[0])
    for i in range(line.shape[0]):
        distances[i] = abs(line[i] - _crowd(line, i, neighbours))
    usual = np.median(distances)
    return reach * (usual if usual > 0.0 else floor_ratio * abs(np.median(line)))
