"""The rules that stand: the log of feedback, reduced. Every reader reduces alike, so all agree on what is hidden."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from connectors.anomaly import Direction
from connectors.feedback import Feedback, FeedbackKind, Rule

MOST_RULES = 1_000
"""At a time. Each is looked at when an episode opens, some 0.3 ms for all of them."""
MARK = b'"kind":"rule_'
"""What stands in a record of a rule, and (but for an unlikely comment) in no other."""


class RuleOutcome(StrEnum):
    """What a record did."""

    APPLIED = "applied"
    UNKNOWN = "unknown"
    """a rule is removed that does not stand"""
    LIMIT = "limit"


class Standing(NamedTuple):
    """A rule, and who added it."""

    id: str
    anomaly_id: str
    author: str
    time_ms: int
    rule: Rule


class Rules:
    """Those that stand by id, in the order in which they came."""

    def __init__(self) -> None:
        self.standing: dict[str, Standing] = {}
        self._of: dict[str, tuple[Standing, ...]] = {}
        """those of detectors that were asked for, until one comes or goes"""

    def __len__(self) -> int:
        return len(self.standing)

    def apply(self, record: Feedback) -> RuleOutcome | None:
        """Apply one record of the log; None if it is of no rule."""
        self._of.clear()
        if record.kind is FeedbackKind.RULE_REMOVED:
            gone = self.standing.pop(record.rule_id or "", None)
            return RuleOutcome.APPLIED if gone is not None else RuleOutcome.UNKNOWN
        if record.kind is not FeedbackKind.RULE_ADDED or record.rule is None:
            return None
        if len(self.standing) >= MOST_RULES:
            self.expire(record.time_ms)
        if len(self.standing) >= MOST_RULES:
            return RuleOutcome.LIMIT
        self.standing[record.id] = Standing(record.id, record.anomaly_id, record.author, record.time_ms, record.rule)
        return RuleOutcome.APPLIED

    def expire(self, log_ms: int) -> None:
        """Forget those whose time is over."""
        for over in [one.id for one in self.standing.values() if one.rule.expires_ms <= log_ms]:
            del self.standing[over]
            self._of.clear()

    def hiding(
        self, detector: str, tenant: str, labels: Mapping[str, str], direction: Direction, start_ms: int
    ) -> str | None:
        """Id of the first rule that fits an episode."""
        fit = (one.id for one in self.of(detector) if one.rule.hides(detector, tenant, labels, direction, start_ms))
        return next(fit, None)

    def of(self, detector: str) -> tuple[Standing, ...]:
        """Those that may fit episodes of a detector."""
        known = self._of.get(detector)
        if known is None:
            known = tuple(one for one in self.standing.values() if one.rule.detector in (None, detector))
            self._of[detector] = known
        return known

    def replace(self, standing: Iterable[Standing]) -> None:
        """Let just these stand."""
        self.standing = {one.id: one for one in standing}
        self._of.clear()

    def saved(self) -> list[Any]:
        """As JSON has it."""
        return save_standing(self.standing.values())


def save_standing(standing: Iterable[Standing]) -> list[Any]:
    """Rules as JSON has them."""
    return [[*one[:-1], one.rule.model_dump(mode="json")] for one in standing]


def load_standing(saved: Sequence[Any]) -> tuple[Standing, ...]:
    """The same again."""
    return tuple(Standing._make([*plain, Rule.model_validate(rule)]) for *plain, rule in saved)
