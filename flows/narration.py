"""The episodes of a block told as events: on which signal, by which members, and whether a rule hides them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from connectors.anomaly import ClosedBy
from connectors.codec.labels import parse_labels
from connectors.detector import Shape
from connectors.messages import OutRecord
from flows.contributions import Contributors
from flows.episode import CLOSED, OPENED
from flows.episodes import Events
from flows.hiding import Hiding
from flows.report import EVENT, Member, Reports, Watched, signal_of
from flows.rules import Rules
from flows.series import SeriesTable
from flows.watch import Watch


class Narration:
    """Tells what happens to episodes; ``opened`` is called with the number of a detector that opens one."""

    def __init__(
        self,
        topic: str,
        series: SeriesTable,
        watch: Watch,
        rules: Rules,
        counts: Counter[str],
        opened: Callable[[int], None],
    ) -> None:
        self.contributors = Contributors()
        """members of groups that stood out, in the step that judges groups"""
        self.signal: tuple[Shape, str] | None = None
        """What all series here are, in the step that judges groups: their shape and their PromQL expression."""
        self.hiding = Hiding(rules, counts)
        self._reports = Reports(topic)
        self._series, self._watch, self._counts, self._opened = series, watch, counts, opened

    def tell(self, events: Events, out: list[OutRecord]) -> None:
        """What happened to episodes as samples came."""
        for state, kind in events:
            self.record(state, kind, ClosedBy.QUIET, out)

    def record(self, state: Any, kind: int, closed_by: ClosedBy, out: list[OutRecord]) -> None:
        """One event of an episode, unless a rule hides it."""
        watched = self._watched(int(state["lane"]), int(state["start_ms"]))
        if self.hiding:
            told_as = self.hiding.told_as(watched, state, kind)
            if told_as is None:
                return
            kind = told_as
        self._counts[f"events_{EVENT[kind]}"] += 1
        if kind == OPENED:
            self._opened(int(self._watch.routes.lanes["detector"][state["lane"]]))
        out.append(self._reports.record(watched, state, kind, closed_by))

    def _watched(self, lane: int, start_ms: int) -> Watched:
        routes = self._watch.routes
        row = int(routes.entries["row"][routes.lanes["entry"][lane]])
        detector = self._watch.detector(int(routes.lanes["detector"][lane]))
        shape, expression = self.signal or (self._watch.key_of_lane(lane).shape, None)
        raw_labels = self._series.labels[row] or b""
        return Watched(
            detector, self._series.tenant(row), raw_labels, signal_of(raw_labels, shape, expression),
            tuple(self._members(lane, row, start_ms)), self._watch.learned_of_lane(lane),
        )  # fmt: skip

    def _members(self, lane: int, row: int, start_ms: int) -> Iterator[Member]:
        """Those that weigh most in an episode on a signal of several."""
        for led, value in self._watch.leaders_of_lane(lane):
            yield Member(self._series.labels_of(led), value)
        for leader in self.contributors.of(self._series.labels[row] or b"", start_ms):
            yield Member(parse_labels(leader.labels), leader.value, leader.usual)

    def end_forgotten(self, watched: Watched, state: Any, out: list[OutRecord]) -> None:
        """The end of an episode of which nothing but this is known any more."""
        state["sequence"] += 1
        if self.hiding.forget(watched, state):
            return
        self._counts[f"events_{EVENT[CLOSED]}"] += 1
        out.append(self._reports.record(watched, state, CLOSED, ClosedBy.DETECTOR))
