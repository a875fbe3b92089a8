"""Series of the past as they would have come live: what a collector sends, and what a training learns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from connectors.sources.decode import SourceSeries
from flows.detectors.base import Floats, Ints
from flows.selector import NAME_LABEL
from flows.transform import Transform, transformed


class PastSeries(NamedTuple):
    """Samples of one series as they came; (n,) each."""

    labels: Mapping[str, str]
    times_ms: Ints
    values: Floats


def as_live(
    found: Iterable[SourceSeries], transforms: Sequence[Transform], more: Mapping[str, str]
) -> list[PastSeries]:
    """What a source gives, transformed, with ``more`` labels, without what is no sample."""
    made = []
    for one in found:
        changed = transformed(transforms, dict(one.labels), one.values)
        if changed is not None:
            labels, values = changed
            there = values == values  # NaN is no sample
            made.append(PastSeries({**labels, **more}, one.times_ms[there], values[there]))
    return made


def distinct(series: Iterable[PastSeries]) -> list[PastSeries]:
    """Without those that have the labels of one before."""
    kept = dict[frozenset[tuple[str, str]], PastSeries]()
    for one in series:
        kept.setdefault(frozenset(one.labels.items()), one)
    return list(kept.values())


def named(series: Sequence[PastSeries]) -> tuple[list[PastSeries], int]:
    """Those that can be series of samples; how many cannot: without a name, or with the labels of one before."""
    kept = distinct(one for one in series if one.labels.get(NAME_LABEL))
    return kept, len(series) - len(kept)
