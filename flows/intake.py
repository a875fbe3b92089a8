"""Which series and samples a block takes: within its bounds, neither late nor double, and of a believable time."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from connectors.codec.labels import parse_labels
from connectors.codec.plain_labels import are_plain
from connectors.errors import Rejected
from flows.chunks import NewSeries
from flows.detectors.base import Floats, Ints
from flows.hash_table import Hashes
from flows.labels_archive import LabelsArchive
from flows.limits import BlockLimits
from flows.series import DROPS, NEVER_MS, OBJECT_BYTES, SeriesTable, admit
from flows.watch import Watch

EVER_MS = (1 << 63) - 1


class Intake:
    """Lets series and samples in, and counts what it turns away."""

    def __init__(
        self, series: SeriesTable, archive: LabelsArchive, watch: Watch, limits: BlockLimits, counts: Counter[str]
    ) -> None:
        self._series, self._archive, self._watch = series, archive, watch
        self._limits, self._counts = limits, counts
        self._drops = np.zeros(len(DROPS) + 1, np.int64)

    def meet(self, announced: Sequence[NewSeries], log_ms: int) -> None:
        """Take in those that are new, as far as there is room."""
        if announced:
            known = self._series.index.find(np.array([new.series for new in announced], np.uint64))
            self._meet(list(itertools.compress(announced, (known < 0).tolist())), log_ms)

    def _meet(self, new: list[NewSeries], log_ms: int) -> None:
        """Give those a row that can be read and find room, in their order."""
        if not new:
            return
        readable = are_plain([one.labels for one in new])
        for at in np.flatnonzero(~readable).tolist():
            readable[at] = _can_be_read(new[at])
        total = sum(len(one.labels) for one in new)
        if len(self._series) + len(new) > self._limits.max_series or (
            self._series.label_bytes + total + OBJECT_BYTES * len(new) > self._limits.max_label_bytes
        ):
            met = self._squeeze(new, readable.tolist(), log_ms // 1000)
        else:
            if not readable.all():
                self._counts["labels_unreadable"] += len(new) - int(readable.sum())
            met = self._series.add_all(list(itertools.compress(new, readable.tolist())), log_ms // 1000)
        for row in met:
            self._archive.changed(row)
        if met:
            self._watch.add_series(met)

    def _squeeze(self, new: list[NewSeries], readable: list[bool], log_s: int) -> list[int]:
        """Rows of those of these series that find room, where not all may."""
        met: list[int] = []
        for one, can_be_read in zip(new, readable, strict=True):
            full = len(self._series) >= self._limits.max_series
            if full or self._series.label_bytes + len(one.labels) > self._limits.max_label_bytes:
                self._counts["series_refused"] += 1
                self._counts["labels_refused"] += not full
            elif can_be_read:
                met.append(self._series.add(one, log_s))
            else:
                self._counts["labels_unreadable"] += 1
        return met

    def _window_ms(self, log_ms: int) -> tuple[int, int]:
        """Sample times that are believed; everything until the first control record tells the time."""
        if not log_ms:
            return NEVER_MS, EVER_MS
        return log_ms - self._limits.too_old_ms, log_ms + self._limits.too_new_ms

    def admit(
        self, series: Hashes, times_ms: Ints, values: Floats, log_ms: int
    ) -> tuple[Ints, Ints, NDArray[np.float32]]:
        """Rows of ``n`` samples, the index of those that are neither late nor double, and the cadences of these."""
        table = self._series.table
        rows = self._series.index.find(series)
        kept, steps_s = admit(
            rows, times_ms, values, table["last_ms"], table["active_s"], table["step_s"],
            log_ms // 1000, *self._window_ms(log_ms), self._drops,
        )  # fmt: skip
        return rows, kept, steps_s

    def begin(self, time_ms: int) -> None:
        """What came before the time was known begins to wait now; times far away, never judged, are forgotten.

        So are cadences: between two times that nobody has checked the pause may be anything, beyond an int64 even.
        """
        table, last_ms = self._series.table, self._series.table["last_ms"]
        table["active_s"][:] = time_ms // 1000
        first_ms, latest_ms = self._window_ms(time_ms)
        last_ms[(last_ms > latest_ms) | (last_ms < first_ms)] = NEVER_MS
        table["step_s"][:] = 0.0

    def drops(self) -> dict[str, int]:
        """Samples not judged since the process started, by reason."""
        return dict(zip(DROPS, self._drops.tolist(), strict=False))

    @property
    def stale_markers(self) -> int:
        """Stale markers met since the process started."""
        return int(self._drops[-1])


def _can_be_read(new: NewSeries) -> bool:
    """Samples of a series whose labels cannot be read will be counted as unlabelled."""
    try:
        parse_labels(new.labels)
    except Rejected:
        return False
    return True
