"""Which series and samples a block takes: within its bounds, neither late nor double, and of a believable time."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from connectors.codec.labels import parse_labels
from connectors.errors import Rejected
from flows.chunks import NewSeries
from flows.detectors.base import Floats, Ints
from flows.hash_table import Hashes
from flows.labels_archive import LabelsArchive
from flows.limits import BlockLimits
from flows.series import DROPS, NEVER_MS, SeriesTable, admit
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
            met = [
                row for new in itertools.compress(announced, known < 0) if (row := self._meet(new, log_ms)) is not None
            ]
            if met:
                self._watch.add_series(met)

    def _meet(self, new: NewSeries, log_ms: int) -> int | None:
        """The row of a new series; None if it gets none."""
        full = len(self._series) >= self._limits.max_series
        if full or self._series.label_bytes + len(new.labels) > self._limits.max_label_bytes:
            self._counts["series_refused"] += 1
            self._counts["labels_refused"] += not full
            return None
        try:
            parse_labels(new.labels)
        except Rejected:  # its samples will be counted as unlabelled
            self._counts["labels_unreadable"] += 1
            return None
        row = self._series.add(new, log_ms // 1000)
        self._archive.changed(row)
        return row

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
