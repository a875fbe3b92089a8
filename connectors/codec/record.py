"""A record of ``tocsin.metrics`` to columns: the flow's hot path. No Python object per sample."""

from __future__ import annotations

from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import config

from connectors.codec.kernels import SCAN_ERRORS, scan_record
from connectors.errors import Rejected

TYPICAL_SERIES_BYTES = 128
"""First guess of the size of a series with one sample; the kernel grows its arrays when there are more."""


class Decoded(NamedTuple):
    """Samples of a record, in its order. All arrays have the shape (n,) of the samples."""

    series: npt.NDArray[np.uint64]
    """hash of the sample's series"""
    times_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    """bits as sent: stale markers and other NaN payloads survive until the first arithmetic"""
    starts_ms: npt.NDArray[np.int64] | None
    """created timestamps, 0 where a sample has none; None if no sample has one"""
    labels_from: npt.NDArray[np.int64]
    labels_to: npt.NDArray[np.int64]
    """span in the record of the label bytes of the sample's series, for ``parse_labels``"""
    histograms: int
    """native histograms in the record; they are carried, not decoded"""


def decode_record(value: bytes, seed: int) -> Decoded:
    """Columns of a record whose tenant has ``seed``; raises ``Rejected(reason="poison")`` on malformed bytes.

    Unknown fields are skipped. The hash is over the label bytes as they stand.
    """
    table = np.empty((6, 16 + len(value) // TYPICAL_SERIES_BYTES), np.int64)
    with (
        np.errstate(over="ignore") if config.DISABLE_JIT else nullcontext()
    ):  # uncompiled, numpy warns when hashes wrap
        status, at, n, histograms, started, table = scan_record(np.frombuffer(value, np.uint8), np.uint64(seed), table)
    if status:
        message = f"record of {len(value)} bytes: {SCAN_ERRORS[status]} in the series at byte {at}"
        raise Rejected(reason="poison", message=message)
    series, times_ms, bits, starts_ms, labels_from, labels_to = table[:, :n]
    return Decoded(
        series=series.view(np.uint64),
        times_ms=times_ms,
        values=bits.view(np.float64),
        starts_ms=starts_ms if started else None,
        labels_from=labels_from,
        labels_to=labels_to,
        histograms=int(histograms),
    )
