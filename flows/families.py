"""Types of metric families, as far as they say more than a name does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from connectors.messages import MetricType
from flows.shape.counter import COUNTER_NAMES, families_of, is_counter

MAX_FAMILIES = 100_000
"""Families remembered by one block; types of more are counted and not believed."""

NONE = np.zeros(0, np.bool_)


class Families:
    """Type by tenant and family.

    A type that only says what the name says already is not kept: of most exporters nothing is, and it costs nothing.
    """

    def __init__(self, known: Iterable[tuple[str, str, str]] = ()) -> None:
        self._types = {(tenant, family): MetricType(kind) for tenant, family, kind in known}
        self._counters: dict[tuple[str, str], bool] = {}
        self._columns: dict[str, tuple[Sequence[str], NDArray[np.bool_]]] = {}
        """By tenant: the names that were asked about last, and which are counters."""
        self.refused = 0

    def __len__(self) -> int:
        return len(self._types)

    def learn(self, tenant: str, types: Iterable[tuple[str, MetricType]]) -> dict[str, MetricType | None]:
        """Take in types; gives the families of which another thing is known now, with what was known before."""
        changed: dict[str, MetricType | None] = {}
        for family, kind in types:
            key = (tenant, family)
            news = kind if _says_more(family, kind) else None
            before = self._types.get(key)
            if before is news:
                continue
            if news is None:
                del self._types[key]
            elif len(self._types) >= MAX_FAMILIES and key not in self._types:
                self.refused += 1
                continue
            else:
                self._types[key] = news
            changed.setdefault(family, before)
        if changed:
            self._counters.clear()
            self._columns.clear()
        return changed

    def is_counter(self, tenant: str, metric: str) -> bool:
        """Whether a series with this name only grows."""
        known = self._counters.get((tenant, metric))
        if known is None:
            if len(self._counters) >= MAX_FAMILIES:
                self._counters.clear()
            known = self._counters[tenant, metric] = is_counter(metric, lambda one: self._types.get((tenant, one)))
        return known

    def turned(self, tenant: str, before: Mapping[str, MetricType | None], metric: str) -> bool:
        """Whether a series with this name is a counter now and was none ``before`` (as ``learn`` gives), or was one."""
        if before.keys().isdisjoint(families_of(metric)):
            return False
        was = is_counter(metric, lambda one: before[one] if one in before else self._types.get((tenant, one)))
        return was is not self.is_counter(tenant, metric)

    def counters(self, tenant: str, metrics: Sequence[str]) -> NDArray[np.bool_]:
        """The same of many names, (metrics,); asked again about the very same sequence it remembers."""
        asked, known = self._columns.get(tenant, ((), NONE))
        if asked is not metrics:
            known = np.array([self.is_counter(tenant, metric) for metric in metrics], np.bool_)
            self._columns[tenant] = metrics, known
        return known

    def saved(self) -> list[tuple[str, str, str]]:
        """What the constructor takes."""
        return [(tenant, family, str(kind)) for (tenant, family), kind in self._types.items()]


def _says_more(family: str, kind: MetricType) -> bool:
    """Whether a type tells of some series of the family what its name does not."""
    if kind is MetricType.UNKNOWN:
        return False
    if kind is MetricType.GAUGEHISTOGRAM:
        return True
    return (kind is MetricType.COUNTER) is not family.endswith(COUNTER_NAMES)
