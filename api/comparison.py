"""What a config changes of the episodes that another tells. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Annotated, NamedTuple

from pydantic import Field

from connectors.anomaly import Anomaly
from connectors.messages import Message

Signal = frozenset[tuple[str, str]]


class Comparison(Message):
    """What another config changes. Episodes on the same signal that overlap in time are one."""

    adds: Annotated[list[str], Field(description="ids of anomalies that the other detector did not tell")]
    removes: Annotated[list[str], Field(description="ids of that detector's anomalies that are not told any more")]
    keeps: Annotated[int, Field(description="anomalies that both tell")]
    hides: Annotated[
        list[str] | None,
        Field(
            description="ids of anomalies of the history, told by that detector in this time and acknowledged, that "
            "would not be told any more; null: the history does not answer"
        ),
    ] = None


class _Lane(NamedTuple):
    """The episodes of one signal: when each starts, ascending, and when the last of those up to it ends."""

    starts_ms: list[int]
    ended_ms: list[int]


class _Episodes:
    """Told apart by signal, so that one that overlaps is looked up and not looked for."""

    def __init__(self, anomalies: Iterable[Anomaly]) -> None:
        times_ms = defaultdict[Signal, list[tuple[int, int]]](list)
        for one in anomalies:
            times_ms[_signal_of(one)].append((one.start_ms, one.time_ms))
        self._lanes = {signal: _lane_of(sorted(found)) for signal, found in times_ms.items()}

    def has(self, anomaly: Anomaly) -> bool:
        """Whether one of them overlaps with it."""
        lane = self._lanes.get(_signal_of(anomaly))
        begun = 0 if lane is None else bisect_right(lane.starts_ms, anomaly.time_ms)
        return lane is not None and begun > 0 and lane.ended_ms[begun - 1] >= anomaly.start_ms


def compare(
    before: Sequence[Anomaly], after: Sequence[Anomaly], confirmed: Sequence[Anomaly] | None = None
) -> Comparison:
    """What ``after`` tells that ``before`` did not, and the other way round, and what of the ``confirmed`` it hides."""
    told, tells = _Episodes(before), _Episodes(after)
    kept = [told.has(one) for one in after]
    return Comparison(
        hides=None if confirmed is None else [one.id for one in confirmed if not tells.has(one)],
        adds=[one.id for one, known in zip(after, kept, strict=True) if not known],
        removes=[one.id for one in before if not tells.has(one)],
        keeps=sum(kept),
    )


def _signal_of(anomaly: Anomaly) -> Signal:
    return frozenset(anomaly.signal.labels.items())


def _lane_of(times_ms: Sequence[tuple[int, int]]) -> _Lane:
    return _Lane([start_ms for start_ms, _ in times_ms], list(accumulate((end_ms for _, end_ms in times_ms), max)))
