"""Which series of a block its detectors watch: by tenant, for many of both at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.crowd import Crowd
from flows.detectors.base import Ints
from flows.families import Families
from flows.label_columns import LabelColumn, LabelColumns, Verdicts
from flows.matching import NOBODY, Matching, Wanted
from flows.selector import NAME_LABEL
from flows.series import SeriesTable


class Audience(NamedTuple):
    """Series of one tenant, (n,) rows, and which detectors watch which of them; places are indices of ``rows``."""

    tenant: str
    rows: Ints
    columns: LabelColumns
    wanted: Wanted

    def counters(self, families: Families, places: Ints) -> NDArray[np.bool_]:
        """Whether each of the series at these places only grows, (places,)."""
        names = self.columns[NAME_LABEL]
        return families.counters(self.tenant, names.values)[names.codes[places]]


class Audiences:
    """The detectors of a block that run, by tenant.

    While configs change, the columns of all series are kept: changes come in crowds. ``forget_idle`` frees them.
    """

    def __init__(self, series: SeriesTable) -> None:
        self._series = series
        self._matchings: dict[str, Matching] = {}
        self._tenants: dict[int, str] = {}
        self._all: dict[str, tuple[Ints, LabelColumns]] = {}
        self._used = False

    def add(self, numbers: Ints, crowd: Crowd) -> Iterator[Audience]:
        """Take in detectors with these numbers, and tell which of the present series they watch; stopped ones none."""
        for tenant, at, asking in crowd.tenants:
            mine = numbers[at]
            self._tenants.update(dict.fromkeys(mine.tolist(), tenant))
            if tenant not in self._matchings:
                self._matchings[tenant] = Matching()
            self._matchings[tenant].add_all(mine, asking)
        for tenant, at, _ in crowd.tenants:
            matching = self._matchings[tenant]
            rows, columns = self._present(tenant, matching)
            if len(rows):
                yield Audience(tenant, rows, columns, matching.wanted_by(numbers[at], columns))

    def remove(self, number: int) -> None:
        """Forget a detector."""
        tenant = self._tenants.pop(number, None)
        if tenant is not None:
            self._matchings[tenant].remove(number)
            if not len(self._matchings[tenant]):
                del self._matchings[tenant]

    def of_series(self, rows: Iterable[int]) -> Iterator[Audience]:
        """Who watches these new series."""
        self.forget()
        by_tenant: dict[str, list[int]] = {}
        for row in rows:
            by_tenant.setdefault(self._series.tenant(row), []).append(row)
        for tenant, mine in by_tenant.items():
            matching = self._matchings.get(tenant)
            if matching is not None:
                columns = self._columns(mine, matching)
                yield Audience(tenant, np.array(mine, np.int64), columns, matching.wanted(columns))

    def by_name(self, tenant: str) -> tuple[Ints, LabelColumn]:
        """The present series of a tenant, (n,) rows, and their names; none of a tenant without detectors."""
        matching = self._matchings.get(tenant)
        if matching is None:
            return NOBODY, LabelColumn([""], NOBODY, Verdicts())
        rows, columns = self._present(tenant, matching)
        return rows, columns[NAME_LABEL]

    def forget(self) -> None:
        """Series came or went."""
        if self._all:
            self._all.clear()
            for matching in self._matchings.values():
                matching.forget_choices()

    def forget_idle(self) -> None:
        """Free columns that were not used since this was last called: no output depends on whether they are kept."""
        if not self._used:
            self.forget()
        self._used = False

    @property
    def size_bytes(self) -> int:
        """Memory of the columns that are kept."""
        columns = sum(rows.nbytes + columns.size_bytes for rows, columns in list(self._all.values()))
        return columns + sum(matching.size_bytes for matching in list(self._matchings.values()))

    def _present(self, tenant: str, matching: Matching) -> tuple[Ints, LabelColumns]:
        self._used = True
        known = self._all.get(tenant)
        if known is None:
            tenants = self._series.tenants
            rows = np.array([row for row, one in enumerate(tenants) if one == tenant], np.int64)  # "" where free
            known = self._all[tenant] = rows, self._columns(rows.tolist(), matching)
        rows, columns = known
        missing = set(matching.names) - columns.names
        if missing:
            columns.add(self._raws(rows.tolist()), missing)
        return known

    def _columns(self, rows: list[int], matching: Matching) -> LabelColumns:
        return LabelColumns(self._raws(rows), {NAME_LABEL, *matching.names})

    def _raws(self, rows: list[int]) -> list[bytes]:
        labels = self._series.labels
        return [labels[row] or b"" for row in rows]
