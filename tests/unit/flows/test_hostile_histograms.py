"""Whatever ingest accepts as a native histogram can be read, added and asked for quantiles; nothing kills the flow."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.codec.encode import encode_varint
from connectors.codec.native import is_stale, read_histogram
from connectors.codec.remote_write import Version, split_request
from connectors.codec.runs import Runs
from connectors.codec.series_hash import tenant_seed
from connectors.detector import Shape
from connectors.errors import Rejected
from flows.shape.native import add, change, native_quantile
from flows.shown import Shown
from tests.examples import examples
from tests.groups import histogram_record

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LABELS = {"__name__": "h"}


def field(number: int, wire_type: int, content: bytes | int) -> bytes:
    tag = encode_varint(number << 3 | wire_type)
    if isinstance(content, int):
        return tag + encode_varint(content)
    return tag + (encode_varint(len(content)) if wire_type == BYTES else b"") + content


def accepts(raw: bytes) -> bool:
    """Whether ingest takes a histogram."""
    body, seed = histogram_record(LABELS, raw), tenant_seed("t")
    try:
        split = split_request(body, Version.V1, seed, 1, expanded_bytes=1 << 20, known=Runs(0))
    except Rejected:
        return False
    return split.histograms == 1


def zigzag(value: int) -> int:
    return (value << 1) ^ (value >> 63) if value >= 0 else -2 * value - 1


numbers = st.sampled_from([0, 1, 2, 3, 1 << 32, 1 << 33, (1 << 33) | 1, (1 << 64) - 1, zigzag(-53), zigzag(-10)])
doubles = st.sampled_from([0.0, 1.0, -1.0, 1e300, float("inf"), float("nan")]).map(lambda x: struct.pack("<d", x))
spans = st.tuples(numbers, numbers).map(lambda pair: field(1, VARINT, pair[0]) + field(2, VARINT, pair[1]))
contents = {
    VARINT: numbers,
    FIXED64: doubles,
    BYTES: st.one_of(st.binary(max_size=9), spans, st.lists(doubles, max_size=2).map(b"".join)),
    FIXED32: st.binary(min_size=4, max_size=4),
}
fields = st.sampled_from(sorted(contents)).flatmap(
    lambda wire_type: st.builds(field, st.integers(1, 18), st.just(wire_type), contents[wire_type])
)
FITTING = field(1, VARINT, 1) + field(11, BYTES, field(2, VARINT, 1)) + field(12, VARINT, zigzag(1))
histograms = st.tuples(st.sampled_from([b"", FITTING]), st.lists(fields, max_size=4)).map(
    lambda parts: parts[0] + b"".join(parts[1]) + field(15, VARINT, 1000)
)


@examples(150)
@given(histograms)
def test_what_ingest_accepts_can_be_used(raw: bytes) -> None:
    if not accepts(raw):
        with suppress(Rejected):
            read_histogram(raw)
        return
    read, plain = read_histogram(raw), read_histogram(FITTING)
    is_stale(raw)
    for q in (0.0, 0.5, 1.0):
        native_quantile(q, read)
    for pair in ((read, plain), (plain, read)):
        add(*pair)
        change(list(enumerate(pair)), 10, 10, counter=True, per_second=True)


@pytest.mark.parametrize(
    "extra",
    [
        field(3, VARINT, 5), field(3, BYTES, b"abc"), field(2, BYTES, b"abc"), field(4, BYTES, b"ab"),
        field(11, VARINT, 5), field(5, FIXED32, b"abcd"), field(14, BYTES, b"a"), field(4, VARINT, 1 << 33),
    ],
)  # fmt: skip
def test_fields_of_another_wire_type_are_passed_over(extra: bytes) -> None:
    raw = field(1, VARINT, 0) + extra + field(15, VARINT, 1000)
    assert accepts(raw)
    shown = Shown(Shape.RAW, 15_000, 60_000)
    shown.waiting = [(0, 1000, raw)]
    assert shown.absorb(2000, 0) == 1000
    assert shown.unreadable == 0
    assert read_histogram(raw) == read_histogram(field(1, VARINT, 0) + field(15, VARINT, 1000))


@pytest.mark.parametrize("offset", [-10, -1])
def test_custom_buckets_below_the_first_are_refused(offset: int) -> None:
    raw = (
        field(1, VARINT, 1) + field(4, VARINT, zigzag(-53))
        + field(11, BYTES, field(1, VARINT, zigzag(offset)) + field(2, VARINT, 1)) + field(12, VARINT, zigzag(1))
        + field(16, FIXED64, struct.pack("<d", 1.0)) + field(15, VARINT, 1000)
    )  # fmt: skip
    assert not accepts(raw)
    with pytest.raises(Rejected, match="but bounds for 0 to 1"):
        read_histogram(raw)


def test_an_unreadable_one_of_another_writer_is_counted() -> None:
    shown = Shown(Shape.RAW, 15_000, 60_000)
    shown.waiting = [(0, 1000, field(4, VARINT, zigzag(-100)))]
    shown.absorb(2000, 0)
    assert shown.unreadable == 1
    assert not accepts(field(4, VARINT, zigzag(-100)))


def test_a_plain_one_is_accepted() -> None:
    """Else the property above would hold for want of anything accepted."""
    assert accepts(FITTING + field(15, VARINT, 1000))
