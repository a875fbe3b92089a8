"""Which events a subscription is for, beside its topics."""

from __future__ import annotations

from dataclasses import dataclass

from api.backlog import Entry
from connectors.anomaly import Severity
from flows.selector import Selector


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an event of an anomaly must meet; what is not given takes all."""

    severities: frozenset[Severity] | None = None
    selector: Selector | None = None

    def takes(self, entry: Entry) -> bool:
        """Whether it meets all of it."""
        return (self.severities is None or entry.kept.severity in self.severities) and (
            self.selector is None or self.selector.matches(entry.labels)
        )


ALL = Wanted()
