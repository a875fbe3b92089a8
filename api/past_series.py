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


def named(series: Iterable[PastSeries]) -> tuple[list[PastSeries], int]:
    """Those that can be series of samples; how many cannot: without a name, or with the labels of one before."""
    kept, seen, left_out = list[PastSeries](), set[frozenset[tuple[str, str]]](), 0
    for one in series:
        labels = frozenset(one.labels.items())
        if not one.labels.get(NAME_LABEL) or labels in seen:
            left_out += 1
            continue
        seen.add(labels)
        kept.append(one)
    return kept, left_out
