"""What a record holds beside samples: native histograms, or the types of metric families."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.codec.families import read_types
from connectors.codec.native import FoundHistograms, find_histograms
from connectors.codec.series_hash import tenant_seed
from flows.chunks import Chunk, Histograms, NewSeries, Types


def others_of(tenant: str, value: bytes, histograms: int) -> Iterator[Chunk]:
    """Chunks of a record that was read without complaint and held so many ``histograms``, or no samples."""
    if histograms:
        found = find_histograms(value, tenant_seed(tenant))
        spans = zip(found.starts.tolist(), found.ends.tolist(), strict=True)
        raws = tuple(value[start:end] for start, end in spans)
        yield Histograms(found.series, found.times_ms, raws, tuple(_series_of(tenant, value, found)))
    elif value:
        yield Types(tenant, tuple(read_types(value)))


def _series_of(tenant: str, value: bytes, found: FoundHistograms) -> Iterator[NewSeries]:
    """Series of the histograms with their labels, each once; the block skips those that it knows."""
    labels = zip(found.series.tolist(), found.labels_from.tolist(), found.labels_to.tolist(), strict=True)
    for series, (start, end) in {series: (start, end) for series, start, end in labels}.items():
        yield NewSeries(series, tenant, value[start:end])
