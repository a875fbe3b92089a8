"""What a reader wants to see of the history, and in which of six orders.

Each order is total (the id decides last), so a page begins exactly where the one before ended.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Column

from api.history_rows import detector_text, pair_of, severity_number
from api.recent import State
from api.store_tables import anomalies as table
from connectors.anomaly import Severity
from connectors.feedback import Verdict


class Sort(StrEnum):
    """Orders of a list; a minus puts the greatest first."""

    NEWEST = "-time"
    OLDEST = "time"
    WORST = "-severity"
    MILDEST = "severity"
    MOST_SURPRISING = "-surprise"
    LEAST_SURPRISING = "surprise"

    @property
    def descending(self) -> bool:
        """Whether the greatest comes first."""
        return self.value.startswith("-")

    @property
    def by_time(self) -> bool:
        """Whether time leads."""
        return self in (Sort.NEWEST, Sort.OLDEST)

    @property
    def by_severity(self) -> bool:
        """Whether severity leads, and time comes next."""
        return self in (Sort.WORST, Sort.MILDEST)

    @property
    def within_severity(self) -> Sort:
        """In which order by severity those of one severity stand."""
        return Sort.NEWEST if self.descending else Sort.OLDEST

    @property
    def columns(self) -> tuple[Column[Any], ...]:
        """What is compared, the id last; an index has them in this order."""
        by = self.value.lstrip("-")
        leading = {"time": ("time_ms",), "severity": ("severity", "time_ms"), "surprise": ("surprise",)}[by]
        return tuple(table.c[name] for name in (*leading, "id"))

    @property
    def index_name(self) -> str:
        """The index of this order."""
        return f"anomalies_by_{self.value.lstrip('-')}"


class Shape(NamedTuple):
    """Which conditions there are: all that the text of a statement depends on."""

    labels: int
    detector: bool
    severity: bool
    begins: bool
    ends: bool
    verdict: bool
    state: State | None
    acknowledged: bool | None

    @property
    def of_labels(self) -> bool:
        """Whether nothing is asked for that only the anomalies themselves tell, beside labels, time and feedback."""
        return not (self.detector or self.severity or self.state)


class Wanted(NamedTuple):
    """What a reader wants to see; None means all."""

    severity: Severity | None = None
    detector: str | None = None
    state: State | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    labels: tuple[tuple[str, str], ...] = ()
    acknowledged: bool | None = None
    verdict: Verdict | None = None

    @property
    def shape(self) -> Shape:
        """What is asked for, without the values."""
        return Shape(
            labels=len(self.labels),
            detector=self.detector is not None,
            severity=self.severity is not None,
            begins=self.from_ms is not None,
            ends=self.to_ms is not None,
            verdict=self.verdict is not None,
            state=self.state,
            acknowledged=self.acknowledged,
        )

    @property
    def values(self) -> dict[str, Any]:
        """The values, by the names that they have in a statement."""
        one = {
            "detector": None if self.detector is None else detector_text(self.detector),
            "severity": None if self.severity is None else severity_number(self.severity),
            "from_ms": self.from_ms,
            "to_ms": self.to_ms,
            "verdict": None if self.verdict is None else self.verdict.value,
        }
        pairs = {f"pair_{number}": pair_of(*label) for number, label in enumerate(self.labels)}
        return {**pairs, **{name: value for name, value in one.items() if value is not None}}
