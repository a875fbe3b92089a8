"""Which events a subscription is for, beside its topics."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

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
Wish = frozenset[tuple[str, Wanted]]
"""All topics of a client, each with what is wanted of it."""
_WISHES: WeakValueDictionary[Wish, Wish] = WeakValueDictionary()


def wish_of(topics: Mapping[str, Wanted]) -> Wish:
    """The same object for the same topics: what a thousand clients wish is often one thing, and judged once."""
    wish = frozenset(topics.items())
    return _WISHES.setdefault(wish, wish)


def is_wished(wish: Wish, topics: Collection[str], entry: Entry) -> bool:
    """Whether an event, which is on these topics, is on one that is wished for, and meets what is wanted of it."""
    return any(topic in topics and wanted.takes(entry) for topic, wanted in wish)
