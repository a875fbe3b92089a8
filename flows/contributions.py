"""Which members of a group stand out at a step, and so most likely make it what it is.

Of each member its usual value is followed, and how far from it the member usually is: exponential means, of deviations
cut to what is notable, as in Huber (1964), *Robust estimation of a location parameter*. A member stands out that is
``NOTABLE`` times its usual deviation away: 3.2 standard deviations of a Gaussian. So in calm times hardly any is told,
and none where all members move a little: then nobody is to blame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from connectors.detector import Aggregate, Group
from flows.detectors.base import Column, Floats, Ints, Table
from flows.partial import Leader

TOP = 5
"""Members that are told of a group."""
MAX_LEADERS = 2_000
"""Members that a partition tells of a detector at a step: those farthest from usual, each in its own measure."""
MAX_GROUPS_KEPT = 20_000
NOTABLE, RATE, LEAST_KNOWN = 4.0, 0.05, 10
"""Usual values are those of some 20 steps; nobody stands out before the tenth."""
COLUMNS = (Column("usual", np.float64), Column("sway", np.float64), Column("known", np.int32))
BY_VALUE = {Aggregate.MAX: 1.0, Aggregate.MIN: -1.0}
NOT_TOLD = (Aggregate.COUNT, Aggregate.MEMBERS)
"""A count has no heavier member than another, and members are signals of their own."""


class Outstanding(NamedTuple):
    """Members that stand out, the farthest first: their places among those asked for, and their usual values; (n,)."""

    places: Ints
    usual: Floats


def tells(group: Group) -> bool:
    """Whether members of such a group can stand out; buckets of a histogram are no members."""
    return group.aggregate not in NOT_TOLD and group.histogram_quantile is None


def stand_out(members: Table, slots: Ints, values: Floats, series_of: Callable[[int], int]) -> Outstanding:
    """Which of the members in ``slots`` stand out by their ``values`` (n,), NaN for none; then learn these.

    ``series_of`` gives the hash of a slot's series, by which equals are ordered: slots change with a restart.
    """
    here = np.flatnonzero(np.isfinite(values))
    mine, now = slots[here], values[here]
    usual, sway, known = (members[name][mine] for name in ("usual", "sway", "known"))
    away = np.where(known > 0, now - usual, 0.0)
    notable = NOTABLE * sway
    out = (known >= LEAST_KNOWN) & (np.abs(away) > notable)
    series = np.array([series_of(slot) for slot in mine[out].tolist()], np.uint64)
    with np.errstate(divide="ignore", over="ignore"):  # who hardly ever moved may be beyond any measure
        farthest = np.lexsort((series, -np.abs(away[out]) / sway[out]))[:MAX_LEADERS]
    _learn(members, mine, now, away, notable)
    return Outstanding(here[out][farthest], usual[out][farthest])


def _learn(members: Table, slots: Ints, values: Floats, away: Floats, notable: Floats) -> None:
    known = members["known"][slots]
    rate = np.maximum(RATE, 1.0 / (known + 1.0))
    cut = np.where((known >= LEAST_KNOWN) & (notable > 0.0), np.clip(away, -notable, notable), away)
    members["usual"][slots] = np.where(known > 0, members["usual"][slots] + rate * cut, values)
    members["sway"][slots] += rate * (np.abs(cut) - members["sway"][slots])
    members["known"][slots] = np.minimum(known + 1, 1 << 30)


def heaviest(aggregate: Aggregate, leaders: Iterable[Leader]) -> tuple[Leader, ...]:
    """The members of a group that weigh most: of an extreme those nearest to it, else the farthest from usual."""
    sign = BY_VALUE.get(aggregate)

    def weight(leader: Leader) -> tuple[float, bytes]:
        heavy = abs(leader.value - leader.usual) if sign is None else sign * leader.value
        return -heavy, leader.labels

    return tuple(sorted(leaders, key=weight)[:TOP])


class Contributors:
    """What members stood out last, by their groups' label bytes; of the latest ``MAX_GROUPS_KEPT`` groups."""

    def __init__(self) -> None:
        self._latest: dict[bytes, tuple[int, tuple[Leader, ...]]] = {}

    def take(self, time_ms: int, aggregate: Aggregate, leaders: Iterable[Leader]) -> None:
        """Those of a step that ends at ``time_ms``, of all partitions."""
        by_group: dict[bytes, list[Leader]] = {}
        for leader in leaders:
            by_group.setdefault(leader.group, []).append(leader)
        for group, mine in by_group.items():
            self._latest.pop(group, None)
            self._latest[group] = time_ms, heaviest(aggregate, mine)
        while len(self._latest) > MAX_GROUPS_KEPT:
            del self._latest[next(iter(self._latest))]

    def of(self, group: bytes, since_ms: int) -> tuple[Leader, ...]:
        """Those that stood out last, if that was not before ``since_ms``."""
        time_ms, leaders = self._latest.get(group, (since_ms, ()))
        return leaders if time_ms >= since_ms else ()

    def save(self) -> list[tuple[int, list[Any]]]:
        """For the header of a snapshot."""
        return [(time_ms, save_leaders(leaders)) for time_ms, leaders in self._latest.values()]

    def load(self, saved: Iterable[tuple[int, list[Any]]]) -> None:
        """Put back what ``save`` gave."""
        for time_ms, leaders in saved:
            mine = load_leaders(leaders)
            self._latest[mine[0].group] = time_ms, mine


def save_leaders(leaders: Iterable[Leader]) -> list[Any]:
    """As JSON can hold them."""
    return [(one.group.decode("latin-1"), one.labels.decode("latin-1"), one.value, one.usual) for one in leaders]


def load_leaders(saved: Iterable[Any]) -> tuple[Leader, ...]:
    """What ``save_leaders`` gave."""
    return tuple(Leader(group.encode("latin-1"), labels.encode("latin-1"), *values) for group, labels, *values in saved)
