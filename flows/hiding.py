"""Which episodes of a block are kept from being told, by the rules that stand."""

from __future__ import annotations

from collections import Counter
from typing import Any

from connectors.anomaly import Direction
from flows.episode import CLOSED, OPENED
from flows.report import Watched, anomaly_id
from flows.rules import Rules

HIDDEN_BY = {False: "hidden_by_one_detector", True: "hidden_by_any_detector"}
"""How hidden episodes are counted: by whether their rule is of any detector. By rule there were ever more names."""


class Hiding:
    """An episode that a rule has hidden stays so until it ends, or the rule does: then it opens with its next event."""

    def __init__(self, rules: Rules, counts: Counter[str]) -> None:
        self._rules = rules
        self._counts = counts
        self.hidden: dict[str, str] = {}
        """ids of open episodes, and of the rule that hides each"""

    def __bool__(self) -> bool:
        return bool(self._rules or self.hidden)

    def told_as(self, watched: Watched, state: Any, kind: int) -> int | None:
        """What an event of an episode is told as; None if it is not told."""
        anomaly = _id_of(watched, state)
        if kind == OPENED:
            direction = Direction.UP if state["direction"] > 0 else Direction.DOWN
            source, start_ms = watched.detector.source, int(state["start_ms"])
            rule = self._rules.hiding(source.id, source.config.tenant, watched.signal.labels, direction, start_ms)
            if rule is None:
                return kind
            self.hidden[anomaly] = rule
            self._counts[HIDDEN_BY[self._rules.standing[rule].rule.detector is None]] += 1
            return None
        hiding = self.hidden.get(anomaly)
        if hiding is None:
            return kind
        over = hiding not in self._rules.standing
        if kind == CLOSED or over:
            del self.hidden[anomaly]
        return OPENED if over and kind != CLOSED else None

    def forget(self, watched: Watched, state: Any) -> bool:
        """Forget an episode that goes no further; whether it was hidden."""
        return self.hidden.pop(_id_of(watched, state), None) is not None


def _id_of(watched: Watched, state: Any) -> str:
    return anomaly_id(watched.detector.digest, watched, int(state["start_ms"]))
