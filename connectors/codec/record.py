"""Records of ``tocsin.metrics`` to columns: the flow's hot path. No Python object per sample."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import config

from connectors.codec import kernels
from connectors.codec.runs import Runs
from connectors.errors import Rejected

FIRST_SAMPLES, KEPT_SAMPLES = 16_400, 262_400
"""No powers of two: all columns would compete for the same sets of the processor's caches."""
SCAN = 7


class Decoded(NamedTuple):
    """Samples in the order of the records. All arrays have the shape (n,) of the samples."""

    series: npt.NDArray[np.uint64]
    """hash of the sample's series"""
    times_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    """bits as sent: stale markers and other NaN payloads survive until the first arithmetic"""
    starts_ms: npt.NDArray[np.int64] | None
    """created timestamps, 0 where a sample has none; None if no sample has one"""
    histograms: int
    """native histograms in the records; they are carried, not decoded"""


class Met(NamedTuple):
    """A series that was not known before, with its label bytes for ``parse_labels``."""

    series: int
    labels: bytes


class Columns:
    """Gathers the samples of neighbouring records in arrays that are used again and again. Of use to one thread."""

    def __init__(self, first: int = FIRST_SAMPLES, kept: int = KEPT_SAMPLES) -> None:
        """Begin with room for ``first`` samples, and after use give back any above ``kept``."""
        self._first, self._kept = first, kept
        self._table = _room(first)
        self._scan = np.zeros(SCAN, np.int64)

    def __len__(self) -> int:
        return int(self._scan[kernels.N])

    @property
    def histograms(self) -> int:
        """Native histograms met since the last ``take``."""
        return int(self._scan[kernels.HISTOGRAMS])

    @property
    def room(self) -> int:
        """Samples that fit without another allocation."""
        return int(self._table.shape[1])

    def add(self, value: bytes, seed: int, known: Runs) -> list[Met]:
        """Append the samples of a record whose tenant has ``seed``; gives the series that ``known`` had not met.

        Those are known from now on; with a memory that was full, one may be given twice. Raises
        ``Rejected(reason="poison")`` on malformed bytes, and nothing has changed then. Unknown fields are skipped. The
        hash is over the label bytes as they stand.
        """
        before, mark = self._scan.copy(), known.mark()
        self._scan[[kernels.POS, kernels.NOTED]] = 0
        status = self._read(np.frombuffer(value, np.uint8), np.uint64(seed), known)
        if status != kernels.OK:
            at = self._scan[kernels.POS]
            self._scan[:] = before
            known.forget_since(mark)
            message = f"record of {len(value)} bytes: {kernels.SCAN_ERRORS[status]} in the series at byte {at}"
            raise Rejected(reason="poison", message=message)
        noted = self._table[kernels.NEW_SERIES :, : self._scan[kernels.NOTED]]
        hashes, spans = noted[0].view(np.uint64).tolist(), noted[1:].T.tolist()
        return [Met(digest, value[start:end]) for digest, (start, end) in zip(hashes, spans, strict=True)]

    def take(self) -> Decoded:
        """All that was added since the last ``take``."""
        scan, columns = self._scan, self._table[:, : len(self)]
        taken = Decoded(
            series=columns[kernels.SERIES].view(np.uint64).copy(),
            times_ms=columns[kernels.TIME].copy(),
            values=columns[kernels.BITS].view(np.float64).copy(),
            starts_ms=columns[kernels.START].copy() if scan[kernels.STARTED] else None,
            histograms=int(scan[kernels.HISTOGRAMS]),
        )
        scan[:] = 0
        if self.room > self._kept:
            self._table = _room(self._first)
        return taken

    def _read(self, buf: npt.NDArray[np.uint8], seed: np.uint64, known: Runs) -> int:
        with np.errstate(over="ignore") if config.DISABLE_JIT else nullcontext():  # uncompiled, hashes warn of wrapping
            while True:
                memory: tuple[Any, ...] = known.runs, known.slots, known.arena, known.state
                status = int(kernels.scan_record(buf, seed, self._scan, self._table, *memory))
                if status == kernels.NO_ROOM:
                    self._widen()
                elif status == kernels.NOT_LEARNED:
                    known.make_room()
                else:
                    return status

    def _widen(self) -> None:
        wider = _room(2 * self.room)
        wider[:, : self.room] = self._table
        self._table = wider


def _room(samples: int) -> npt.NDArray[np.int64]:
    return np.empty((kernels.NEW_TO + 1, samples), np.int64)


def decode_record(value: bytes, seed: int) -> Decoded:
    """Columns of a single record; see ``Columns.add``."""
    columns = Columns()
    columns.add(value, seed, Runs(0))
    return columns.take()
