from __future__ import annotations

import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.codec.encode import encode_labels, encode_write_request
from connectors.codec.limits import MAX_EMPTY, MAX_FAMILIES, MAX_FAMILY_BYTES, MAX_LABELS, RECORD_BYTES, LabelLimits
from connectors.codec.remote_write import Split, Version, split_request
from connectors.codec.runs import Runs
from connectors.codec.series_hash import tenant_seed
from connectors.codec.told import family_name
from connectors.errors import Rejected, TooLarge
from connectors.messages import MetricType
from tests import wire
from tests.examples import examples

SEED = tenant_seed("anonymous")
EXPANDED = 1 << 24

name = st.one_of(st.sampled_from([b"__name__", b"job", b"instance", b"a", b""]), st.binary(max_size=12))
text = st.one_of(st.text(max_size=8).map(str.encode), st.binary(max_size=8), st.just(b"x" * 200))
value_bits = st.one_of(
    st.floats().map(wire.bits), st.sampled_from([wire.STALE_BITS, wire.QUIET_NAN_BITS, 0xFFF0000000000123])
)
time_ms = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**41))
start_ms = st.one_of(st.just(0), st.integers(1, 2**41))


MEMORIES = Runs(3), Runs(10_000)
"""Shared by all tests: they know what other tests, or earlier examples, have sent."""
LARGE_BYTES = 100_000


def memories(body: bytes, version: Version) -> tuple[Runs, ...]:
    """With which memories of label runs to split once more; 2.0 does without, large bodies take long uncompiled."""
    if version is Version.V2:
        return ()
    return MEMORIES[1:] if len(body) > LARGE_BYTES else (*MEMORIES, *MEMORIES)


def split(body: bytes, version: Version, partitions: int = 4) -> Split:
    """The request split without a memory of label runs; with one, also at the second time, the same must come."""
    try:
        expected = split_request(body, version, SEED, partitions, EXPANDED, Runs(0))
    except Rejected as error:
        for known in memories(body, version):
            with pytest.raises(type(error), match=re.escape(str(error))):
                split_request(body, version, SEED, partitions, EXPANDED, known)
        raise
    for known in memories(body, version):
        assert split_request(body, version, SEED, partitions, EXPANDED, known) == expected
    return expected


@st.composite
def histograms(draw: st.DrawFn, kind: Any) -> Any:
    """Good ones, and ones with one number changed."""
    positive = draw(st.lists(st.integers(0, 5), max_size=4))
    negative = draw(st.lists(st.integers(0, 5), max_size=3))
    zero = draw(st.integers(0, 3))
    histogram = kind(timestamp=draw(time_ms), sum=draw(value_bits), schema=draw(st.sampled_from([0, 3, -4])))
    count = sum(positive) + sum(negative) + zero
    if draw(st.booleans()):
        histogram.count_float, histogram.zero_count_float = wire.bits(float(count)), wire.bits(float(zero))
        histogram.positive_counts.extend(wire.bits(float(c)) for c in positive)
        histogram.negative_counts.extend(wire.bits(float(c)) for c in negative)
    else:
        histogram.count_int, histogram.zero_count_int = count, zero
        histogram.positive_deltas.extend(b - a for a, b in zip([0, *positive], positive, strict=False))
        histogram.negative_deltas.extend(b - a for a, b in zip([0, *negative], negative, strict=False))
    if positive:
        histogram.positive_spans.add(offset=draw(st.integers(-3, 3)), length=len(positive))
    if negative:
        histogram.negative_spans.add(offset=0, length=len(negative))
    if draw(st.booleans()):
        histogram.start_timestamp = draw(start_ms)
    match draw(st.integers(0, 9)):
        case 0:
            histogram.count_int = draw(st.integers(0, 2**64 - 1))
        case 1:
            histogram.schema = draw(st.integers(-60, 60))
        case 2:
            histogram.positive_spans.add(offset=draw(st.integers(-2, 2)), length=draw(st.integers(0, 2)))
        case 3:
            histogram.schema = -53
            histogram.custom_values.extend(wire.bits(b) for b in draw(st.lists(st.floats(), max_size=6)))
            histogram.ClearField("negative_spans")
            histogram.ClearField("negative_deltas")
            histogram.ClearField("negative_counts")
        case 4:
            histogram.positive_deltas.append(draw(st.integers(-10, 10)))
    return histogram


@st.composite
def requests_1(draw: st.DrawFn) -> bytes:
    request = wire.V1["Request"]()
    for _ in range(draw(st.integers(0, 4))):
        series = request.timeseries.add()
        labels = draw(st.lists(st.tuples(name, text), max_size=5))
        if draw(st.booleans()):
            labels = sorted({b"__name__": b"up", **{n: v for n, v in labels if n}}.items())
        for label_name, value in labels:
            series.labels.add(name=label_name, value=value)
        for _ in range(draw(st.integers(0, 2))):
            series.samples.add(value=draw(value_bits), timestamp=draw(time_ms), start_timestamp=draw(start_ms))
        if draw(st.integers(0, 3)) == 0:
            series.histograms.append(draw(histograms(wire.V1["Histogram"])))
        if draw(st.integers(0, 3)) == 0:
            exemplar = series.exemplars.add(value=draw(value_bits), timestamp=draw(time_ms))
            exemplar.labels.add(name=b"trace_id", value=draw(text))
    if draw(st.booleans()):
        request.metadata.add(type=draw(st.integers(-1, 9)), family=b"up", help=draw(text), unit=b"s")
    return bytes(request.SerializeToString())


@st.composite
def requests_2(draw: st.DrawFn) -> bytes:
    symbols = [b"", b"__name__", b"up", *draw(st.lists(st.one_of(name, text), max_size=6))]
    refs = st.integers(0, len(symbols) - 1)
    request = wire.V2["Request"](symbols=symbols)
    for _ in range(draw(st.integers(0, 4))):
        series = request.timeseries.add(created_timestamp=draw(start_ms))
        series.labels_refs.extend([1, 2] if draw(st.integers(0, 3)) else [])
        series.labels_refs.extend(draw(st.lists(refs, max_size=4)))
        if draw(st.integers(0, 9)) == 0:
            series.labels_refs.append(draw(st.integers(0, 2**32 - 1)))
        for _ in range(draw(st.integers(0, 2))):
            series.samples.add(value=draw(value_bits), timestamp=draw(time_ms), start_timestamp=draw(start_ms))
        if draw(st.integers(0, 3)) == 0:
            series.histograms.append(draw(histograms(wire.V2["Histogram"])))
        if draw(st.integers(0, 3)) == 0:
            exemplar = series.exemplars.add(value=draw(value_bits), timestamp=draw(time_ms))
            exemplar.labels_refs.extend(draw(st.lists(refs, max_size=4)))
        if draw(st.integers(0, 3)) == 0:
            series.metadata.type = draw(st.integers(0, 9))
            series.metadata.help_ref, series.metadata.unit_ref = draw(refs), draw(refs)
    return bytes(request.SerializeToString())


def check_against_twin(body: bytes, version: Version) -> None:
    twin_split = wire.split_1 if version is Version.V1 else wire.split_2
    try:
        twin = twin_split(body)
    except wire.Malformed:
        with pytest.raises(Rejected):
            split(body, version)
        return
    found = split(body, version)
    refused = [number for number, (_, problems) in enumerate(twin.series) if problems]
    assert sum(found.refused.values()) == len(refused)
    assert (found.complaint is None) == (not refused)
    if found.complaint is not None:
        assert found.complaint.text.startswith(f"series {refused[0]} of the request")
        assert found.complaint.reason in twin.series[refused[0]][1]
    assert set(found.refused) <= set().union(*(problems for _, problems in twin.series))
    by_partition: dict[int, list[wire.Series]] = {}
    for series in twin.good():
        by_partition.setdefault(series.hash(SEED) % 4, []).append(series)
    assert {part.partition: wire.read_record(part.value) for part in found.parts} == by_partition
    assert found.samples == sum(len(series.samples) for series in twin.good())
    assert found.histograms == sum(len(series.histograms) for series in twin.good())
    assert found.exemplars == sum(len(series.exemplars) for series in twin.good())
    assert found.series == len(twin.series)


def changed(body: bytes, seed: int) -> bytes:
    """Truncated, or with a few bytes changed, put in or taken out."""
    chance = random.Random(seed)
    raw = bytearray(body)
    for _ in range(chance.randint(1, 3)):
        if not raw:
            break
        at = chance.randrange(len(raw))
        match chance.randrange(5):
            case 0:
                del raw[at:]
            case 1:
                raw[at] ^= 1 << chance.randrange(8)
            case 2:
                raw[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x12])
            case 3:
                raw.insert(at, chance.randrange(256))
            case 4:
                del raw[at]
    return bytes(raw)


@examples(100)
@given(requests_1())
def test_1_as_the_twin(body: bytes) -> None:
    check_against_twin(body, Version.V1)


@examples(100)
@given(requests_2())
def test_2_as_the_twin(body: bytes) -> None:
    check_against_twin(body, Version.V2)


@examples(200)
@given(requests_1(), st.integers(0, 2**32))
def test_1_damaged_as_the_twin(body: bytes, seed: int) -> None:
    check_against_twin(changed(body, seed), Version.V1)


@pytest.mark.long
@examples(200)
@given(requests_2(), st.integers(0, 2**32))
def test_2_damaged_as_the_twin(body: bytes, seed: int) -> None:
    damaged = changed(body, seed)
    try:
        symbols = wire.parse(wire.V2["Request"], damaged).symbols
    except wire.Malformed:
        symbols = []
    if symbols and symbols[0]:
        with pytest.raises(Rejected, match="first one must be"):
            split(damaged, Version.V2)
        return
    check_against_twin(damaged, Version.V2)


@examples(200)
@given(st.binary(max_size=60), st.sampled_from(list(Version)))
def test_any_bytes_as_the_twin(body: bytes, version: Version) -> None:
    if version is Version.V2:
        try:
            symbols = wire.parse(wire.V2["Request"], body).symbols
        except wire.Malformed:
            symbols = []
        if symbols and symbols[0]:
            return
    check_against_twin(body, version)


def test_a_usual_body_is_copied_as_it_stands() -> None:
    series = [({"__name__": "up", "n": str(n)}, [(n, float(n))]) for n in range(50)]
    parts = split(encode_write_request(series), Version.V1, partitions=1).parts
    assert [bytes(part.value) for part in parts] == [encode_write_request(series)]


def test_labels_are_sorted_and_empty_ones_dropped() -> None:
    body = wire.V1["Request"]()
    series = body.timeseries.add()
    for label, value in [(b"z", b"1"), (b"empty", b""), (b"__name__", b"up"), (b"B", b"2")]:
        series.labels.add(name=label, value=value)
    series.samples.add(value=wire.STALE_BITS, timestamp=-5)
    (part,) = split(body.SerializeToString(), Version.V1).parts
    (read,) = wire.read_record(part.value)
    assert read.label_bytes() == encode_labels({"__name__": "up", "B": "2", "z": "1"})
    assert read.samples == [(-5, wire.STALE_BITS, 0)]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([], "no_labels"),
        ([(b"a", b"")], "no_labels"),
        ([(b"job", b"x")], "no_name"),
        ([(b"__name__", b"")], "no_labels"),
        ([(b"__name__", b"up"), (b"a", b"1"), (b"a", b"2")], "duplicate_label"),
        ([(b"a", b"1"), (b"__name__", b"up"), (b"a", b"1")], "duplicate_label"),
        ([(b"__name__", b"up"), (b"a", b"1"), (b"a", b"")], "duplicate_label"),
        ([(b"a", b""), (b"b", b"2"), (b"a", b"1"), (b"__name__", b"up")], "duplicate_label"),
        ([(b"", b"1"), (b"__name__", b"up")], "empty_label_name"),
        ([(b"__name__", b"up"), (b"a", b"\xff")], "invalid_utf8"),
        ([(b"__name__", b"up"), (b"a\xed\xa0\x80", b"x")], "invalid_utf8"),
        pytest.param(
            [(b"__name__", b"up"), *((f"l{n:03}".encode(), b"x") for n in range(MAX_LABELS))],
            "too_many_labels",
            marks=pytest.mark.long,
        ),
        pytest.param(
            [(b"__name__", b"up"), *((f"l{n}".encode(), b"x") for n in range(MAX_LABELS))],
            "too_many_labels",
            marks=pytest.mark.long,
        ),
        ([(b"__name__", b"up"), *((f"l{n}".encode(), b"") for n in range(MAX_EMPTY + 1))], "too_many_labels"),
        ([(b"__name__", b"up"), (b"n" * 1025, b"x")], "label_name_too_long"),
        ([(b"__name__", b"up"), (b"long", b"x" * 2049)], "label_value_too_long"),
        ([(b"__name__", b"up"), (b"long", b"x" * 60_000)], "label_value_too_long"),
        ([(b"__name__", b"up"), *((f"l{n}".encode(), b"x" * 2000) for n in range(17))], "labels_too_large"),
    ],
)
def test_one_bad_series_among_good_ones(labels: list[tuple[bytes, bytes]], reason: str) -> None:
    request = wire.V1["Request"]()
    for given_labels in ([(b"__name__", b"before")], labels, [(b"__name__", b"after")]):
        series = request.timeseries.add()
        for label, value in given_labels:
            series.labels.add(name=label, value=value)
        series.samples.add(value=0, timestamp=1)
    found = split(request.SerializeToString(), Version.V1, partitions=1)
    assert found.refused == {reason: 1}
    assert found.samples == 2
    assert found.complaint is not None
    assert found.complaint.reason == reason
    assert found.complaint.text.startswith("series 1 of the request")
    names = [dict(series.labels)[b"__name__"] for part in found.parts for series in wire.read_record(part.value)]
    assert names == [b"before", b"after"]


def with_labels(*all_labels: list[tuple[bytes, bytes]]) -> bytes:
    """A 1.0 request of series with one sample each."""
    request = wire.V1["Request"]()
    for labels in all_labels:
        series = request.timeseries.add()
        for label, value in labels:
            series.labels.add(name=label, value=value)
        series.samples.add(value=0, timestamp=1)
    return bytes(request.SerializeToString())


NAMED = (b"__name__", b"up")
BAD_LABELS = {
    "invalid_utf8": [NAMED, (b"a", b"\xff")],
    "duplicate_label": [NAMED, (b"a", b"1"), (b"a", b"2")],
    "no_name": [(b"a", b"1")],
    "no_labels": [],
}


@pytest.mark.parametrize("first", BAD_LABELS)
def test_the_complaint_is_about_the_first_bad_series(first: str) -> None:
    found = split(with_labels(BAD_LABELS[first], *BAD_LABELS.values()), Version.V1)
    assert found.complaint is not None
    assert found.complaint.reason == first
    assert found.complaint.text.startswith("series 0 of the request")


LIMITS = LabelLimits(labels=3, name_bytes=128, value_bytes=200, series_bytes=450)


def of_labels(labels: list[tuple[bytes, bytes]], version: Version) -> bytes:
    """A request of one series with one sample."""
    if version is Version.V1:
        return with_labels(labels)
    request = wire.V2["Request"](symbols=[b"", *(part for label in labels for part in label)])
    request.timeseries.add(labels_refs=range(1, 1 + 2 * len(labels))).samples.add(value=0, timestamp=1)
    return bytes(request.SerializeToString())


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize(
    ("labels", "reason", "told"),
    [
        ([NAMED, (b"a", b"1"), (b"b", b"2")], None, ""),
        ([NAMED, (b"a", b"1"), (b"b", b"2"), (b"c", b"3")], "too_many_labels", "3 labels (TOCSIN_INGEST_MAX_LABELS)"),
        ([NAMED, (b"a", b"1"), (b"b", b"2"), (b"c", b"")], None, ""),
        ([NAMED, (b"n" * 128, b"x")], None, ""),
        ([NAMED, (b"n" * 129, b"x")], "label_name_too_long", "128 bytes (TOCSIN_INGEST_MAX_LABEL_NAME_BYTES)"),
        ([NAMED, (b"a", b"x" * 200)], None, ""),
        ([NAMED, (b"a", b"x" * 201)], "label_value_too_long", "200 bytes (TOCSIN_INGEST_MAX_LABEL_VALUE_BYTES)"),
        ([NAMED, (b"n" * 128, b"x" * 127), (b"o" * 128, b"x" * 35)], None, ""),
        ([NAMED, (b"n" * 100, b"x" * 120), (b"o" * 100, b"x" * 120)], "labels_too_large", "more than 450 bytes"),
        ([NAMED, (b"a", b"x" * 200), (b"b", b"x" * 200), (b"c" * 40, b"")], None, ""),
    ],
)  # fmt: skip
def test_the_limits_of_labels(
    labels: list[tuple[bytes, bytes]], reason: str | None, told: str, version: Version
) -> None:
    found = split_request(of_labels(labels, version), version, SEED, 1, EXPANDED, Runs(10), LIMITS)
    assert found.refused == ({reason: 1} if reason else {})
    assert told in (found.complaint.text if found.complaint else "")
    assert found.samples == (0 if reason else 1)


@pytest.mark.parametrize("version", Version)
def test_labels_are_counted_without_the_empty_ones(version: Version) -> None:
    empty = [(f"l{n:03}".encode(), b"") for n in range(2 * MAX_LABELS)]
    if version is Version.V1:
        body = with_labels([*empty, NAMED, *empty])
    else:
        request = wire.V2["Request"](symbols=[b"", NAMED[0], NAMED[1], *(name for name, _ in empty)])
        refs = [ref for n in range(len(empty)) for ref in (3 + n, 0)]
        request.timeseries.add(labels_refs=[*refs, 1, 2, *refs]).samples.add(value=0, timestamp=1)
        body = request.SerializeToString()
    (part,) = split(body, version).parts
    (read,) = wire.read_record(part.value)
    assert read.labels == (NAMED,)


@pytest.mark.long
@pytest.mark.parametrize(
    "labels",
    [
        [NAMED, (b"job", b"api"), *((f"l{n:03}".encode(), b"x" * 2000) for n in range(17))],
        [NAMED, (b"job", b"api"), *((f"l{n:03}".encode(), b"x" * 400) for n in range(MAX_LABELS - 2))],
    ],
)
def test_a_series_with_too_large_labels_is_named_by_the_first_of_them(labels: list[tuple[bytes, bytes]]) -> None:
    found = split(with_labels(labels), Version.V1)
    assert found.complaint is not None
    assert found.complaint.reason == "labels_too_large"
    assert '{__name__="up", job="api", l' in found.complaint.text
    assert "xxx…: " in found.complaint.text
    assert len(found.complaint.text) < 500


@pytest.mark.parametrize(
    ("body", "version", "right"),
    [
        (wire.V2["Request"](symbols=[b""]).SerializeToString(), Version.V1, "io.prometheus.write.v2.Request"),
        (with_labels([NAMED]), Version.V2, "prometheus.WriteRequest"),
        (b"\x1a\x02\x08\x01", Version.V2, "prometheus.WriteRequest"),
    ],
)
def test_a_request_of_the_other_version_is_refused(body: bytes, version: Version, right: str) -> None:
    with pytest.raises(Rejected, match=f"proto={right}$") as refused:
        split(body, version)
    assert refused.value.reason == "other_version"


@pytest.mark.long
def test_a_series_larger_than_a_record_is_cut() -> None:
    samples = [(time, float(time)) for time in range(100_000)]
    found = split(encode_write_request([({"__name__": "up", "a": "b"}, samples)]), Version.V1)
    assert len(found.parts) > 1
    assert all(len(part.value) <= RECORD_BYTES + 64 for part in found.parts)
    assert len({part.partition for part in found.parts}) == 1
    read = [series for part in found.parts for series in wire.read_record(part.value)]
    assert {series.label_bytes() for series in read} == {encode_labels({"__name__": "up", "a": "b"})}
    assert [sample[0] for series in read for sample in series.samples] == list(range(100_000))


@pytest.mark.long
def test_records_end_at_their_bound_and_keep_the_order() -> None:
    series = [({"__name__": "up", "n": str(n), "pad": "x" * 500}, [(n, 0.0)]) for n in range(3_000)]
    found = split(encode_write_request(series), Version.V1, partitions=1)
    assert len(found.parts) == 4
    assert all(len(part.value) <= RECORD_BYTES for part in found.parts)
    assert b"".join(part.value for part in found.parts) == encode_write_request(series)


@pytest.mark.long
def test_references_that_unfold_too_far() -> None:
    request = wire.V2["Request"](symbols=[b"", b"__name__", b"x" * 60_000])
    for _ in range(1_000):
        request.timeseries.add(labels_refs=[1, 2]).samples.add(value=0, timestamp=1)
    with pytest.raises(TooLarge, match="unfold"):
        split_request(
            request.SerializeToString(), Version.V2, SEED, 4, EXPANDED, Runs(0), LabelLimits(64, 128, 60_000, 1 << 16)
        )


def test_a_field_that_fits_into_no_record() -> None:
    request = wire.V1["Request"]()
    series = request.timeseries.add()
    series.labels.add(name=b"__name__", value=b"up")
    series.exemplars.add().labels.add(name=b"trace_id", value=b"x" * RECORD_BYTES)
    assert split(request.SerializeToString(), Version.V1).refused == {"too_large": 1}


def test_the_first_symbol_must_be_empty() -> None:
    body = wire.V2["Request"](symbols=[b"x"]).SerializeToString()
    with pytest.raises(Rejected, match='first one must be ""'):
        split(body, Version.V2)


@pytest.mark.parametrize("where", ["series", "sample", "both"])
def test_the_three_places_of_a_start(where: str) -> None:
    request = wire.V2["Request"](symbols=[b"", b"__name__", b"up"])
    series = request.timeseries.add(labels_refs=[1, 2])
    sample, histogram = series.samples.add(value=0, timestamp=9), series.histograms.add(timestamp=9)
    if where != "sample":
        series.created_timestamp = 5
    if where != "series":
        sample.start_timestamp = histogram.start_timestamp = 7
    (part,) = split(request.SerializeToString(), Version.V2).parts
    (read,) = wire.read_record(part.value)
    expected = 5 if where == "series" else 7
    assert read.samples == [(9, 0, expected)]
    assert wire.parse(wire.V1["Histogram"], read.histograms[0]).start_timestamp == expected


def test_metadata_of_both_versions() -> None:
    one = wire.V1["Request"]()
    one.metadata.add(type=1, family=b"http_requests_total", help=b"Requests.", unit=b"")
    (family,) = split(one.SerializeToString(), Version.V1).families
    assert (family.name, family.type, family.help) == ("http_requests_total", MetricType.COUNTER, "Requests.")
    two = wire.V2["Request"](symbols=[b"", b"__name__", b"wait_seconds_bucket", b"le", b"1", b"2", b"Waits.", b"s"])
    for bound in (4, 5):
        series = two.timeseries.add(labels_refs=[1, 2, 3, bound])
        series.metadata.type, series.metadata.help_ref, series.metadata.unit_ref = 3, 6, 7
    (family,) = split(two.SerializeToString(), Version.V2).families
    assert (family.name, family.type, family.unit) == ("wait_seconds", MetricType.HISTOGRAM, "s")


@pytest.mark.long
@pytest.mark.parametrize("version", list(Version))
def test_metadata_is_taken_of_so_many_families_only(version: Version) -> None:
    """Two names in turn, each with one large help: a kilobyte on the wire."""
    if version is Version.V1:
        body = encode_families([(f"f{n % 2}", "") for n in range(MAX_FAMILIES + 7)])
    else:
        request = wire.V2["Request"](symbols=[b"", b"__name__", b"a", b"b", b"h" * 20_000])
        for n in range(MAX_FAMILIES + 7):
            series = request.timeseries.add(labels_refs=[1, 2 + n % 2])
            series.metadata.help_ref = 4
        body = bytes(request.SerializeToString())
    found = split_request(body, version, SEED, 4, EXPANDED, Runs(0))
    assert (len(found.families), found.untold) == (
        MAX_FAMILIES,
        7 if version is Version.V1 else 4,
    )  # 2.0's b is the last one taken
    assert len({id(family.help) for family in found.families}) == 1


def encode_families(families: list[tuple[str, str]]) -> bytes:
    """A 1.0 request that tells names and helps."""
    request = wire.V1["Request"]()
    for family, about in families:
        request.metadata.add(type=1, family=family.encode(), help=about.encode())
    return bytes(request.SerializeToString())


def test_metadata_of_families_with_too_long_a_name_is_left_out() -> None:
    names = ["a" * MAX_FAMILY_BYTES, "b" * (MAX_FAMILY_BYTES + 1), "c"]
    found = split(encode_families([(name, "h") for name in names]), Version.V1)
    assert [family.name for family in found.families] == [names[0], "c"]
    assert found.untold == 1


@pytest.mark.parametrize(
    ("metric", "kind", "family"),
    [
        ("a_bucket", MetricType.HISTOGRAM, "a"),
        ("a_sum", MetricType.SUMMARY, "a"),
        ("a_total", MetricType.COUNTER, "a_total"),
        ("a_bucket", MetricType.GAUGE, "a_bucket"),
        ("a_gsum", MetricType.GAUGEHISTOGRAM, "a"),
    ],
)
def test_family_name(metric: str, kind: MetricType, family: str) -> None:
    assert family_name(metric, kind) == family


def test_what_comes_as_before_is_neither_checked_nor_hashed() -> None:
    """The guess itself: had it not been used, the altered hash would not choose the partition."""
    known = Runs(10)
    body = encode_write_request([({"__name__": "up", "n": str(n)}, [(1, 1.0)]) for n in range(3)])
    for _ in range(3):
        split_request(body, Version.V1, SEED, 4, EXPANDED, known)
    known.runs[1:4, 1] = 2
    parts = split_request(body, Version.V1, SEED, 4, EXPANDED, known).parts
    assert [(part.partition, bytes(part.value)) for part in parts] == [(2, body)]


@pytest.mark.long
def test_a_known_series_that_is_too_large_for_a_record_is_cut_as_ever() -> None:
    samples = [(time, 1.0) for time in range(1, RECORD_BYTES // 12)]
    for many in (samples[:1], samples):
        found = split(encode_write_request([({"__name__": "up", "large": "x"}, many)]), Version.V1)
    assert len(found.parts) == 2
