from __future__ import annotations

import math
import struct
from typing import Any

import pytest

from connectors.codec.encode import encode_write_request
from connectors.codec.labels import parse_labels
from connectors.codec.native import NativeHistogram, find_histograms, is_stale, read_histogram
from connectors.codec.series_hash import series_hash, tenant_seed
from connectors.errors import Rejected
from tests.groups import histogram_record
from tests.wire import V1, bits

TENANT = "t"


def _wire(value: Any) -> Any:
    """Doubles travel as their bits here."""
    if isinstance(value, list):
        return [_wire(one) for one in value]
    return bits(value) if isinstance(value, float) else value


def message(**fields: Any) -> bytes:
    spans = {name: fields.pop(name, ()) for name in ("positive_spans", "negative_spans")}
    made = V1["Histogram"](**{name: _wire(value) for name, value in fields.items()})
    for name, pairs in spans.items():
        for offset, length in pairs:
            getattr(made, name).add(offset=offset, length=length)
    return bytes(made.SerializeToString())


def test_an_integer_histogram() -> None:
    raw = message(
        count_int=16, sum=18.5, schema=1, zero_threshold=0.001, zero_count_int=2, timestamp=5, start_timestamp=3,
        positive_spans=[(-2, 2), (1, 2)], positive_deltas=[3, -2, 3, 0], negative_spans=[(0, 1)], negative_deltas=[2],
    )  # fmt: skip
    read = read_histogram(raw)
    assert (read.schema, read.count, read.total, read.zero_threshold, read.zero_count) == (1, 16.0, 18.5, 0.001, 2.0)
    assert read.positive == {-2: 3.0, -1: 1.0, 1: 4.0, 2: 4.0}
    assert read.negative == {0: 2.0}
    assert (read.start_ms, read.gauge) == (3, False)


def test_a_float_histogram_and_one_with_own_bounds() -> None:
    read = read_histogram(message(
        count_float=2.5, sum=9.0, schema=-4, zero_count_float=0.5, positive_spans=[(0, 2)], positive_counts=[1.5, 0.5],
        reset_hint=3,
    ))  # fmt: skip
    assert (read.count, read.zero_count, read.positive, read.gauge) == (2.5, 0.5, {0: 1.5, 1: 0.5}, True)
    own = read_histogram(message(
        count_int=3, sum=1.0, schema=-53, positive_spans=[(1, 2)], positive_deltas=[1, 1], custom_values=[0.5, 2.0]
    ))  # fmt: skip
    assert own == NativeHistogram(schema=-53, count=3.0, total=1.0, positive={1: 1.0, 2: 2.0}, bounds=(0.5, 2.0))


def test_a_stale_marker_is_known_by_its_bits() -> None:
    (stale,) = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))
    raw = message(sum=1.0).replace(struct.pack("<d", 1.0), struct.pack("<Q", 0x7FF0000000000002))
    assert math.isnan(stale)
    assert is_stale(raw)
    assert not is_stale(message(sum=math.nan))
    assert not is_stale(message(sum=0.0))


def test_spans_that_do_not_fit_are_poison() -> None:
    with pytest.raises(Rejected, match="spans of 3 buckets, but 1 counts"):
        read_histogram(message(count_int=1, positive_spans=[(0, 3)], positive_deltas=[1]))
    with pytest.raises(Rejected):
        read_histogram(b"\x0a\x05\x01")


def test_histograms_are_found_among_samples() -> None:
    labels = [{"__name__": "h", "n": str(n)} for n in range(40)]
    value = b""
    for n, one in enumerate(labels):
        value += encode_write_request([({"__name__": "m", "n": str(n)}, [(1, 2.0)])])
        value += histogram_record(one, message(count_int=n, timestamp=1000 + n))
    found = find_histograms(value, tenant_seed(TENANT))
    spans = list(zip(found.labels_from.tolist(), found.labels_to.tolist(), strict=True))
    assert [parse_labels(value[a:b]) for a, b in spans] == labels
    assert found.series.tolist() == [series_hash(value[a:b], TENANT) for a, b in spans]
    assert found.times_ms.tolist() == [1000 + n for n in range(40)]
    raws = [value[a:b] for a, b in zip(found.starts.tolist(), found.ends.tolist(), strict=True)]
    assert [read_histogram(raw).count for raw in raws] == list(range(40))
