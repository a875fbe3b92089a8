"""Remote write by google.protobuf and plain Python: the slow, obvious twin of ``connectors.codec``.

The message classes are built at run time, so no compiler is needed. Labels are ``bytes`` and doubles ``fixed64`` here:
the twin must see what is not UTF-8, and every bit of a NaN.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import xxhash
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

STALE_BITS = 0x7FF0000000000002
QUIET_NAN_BITS = 0x7FF8000000000001
BYTES, GROUP = 2, 3
_F = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "bytes": _F.TYPE_BYTES, "fixed64": _F.TYPE_FIXED64, "int64": _F.TYPE_INT64, "int32": _F.TYPE_INT32,
    "uint32": _F.TYPE_UINT32, "uint64": _F.TYPE_UINT64, "sint32": _F.TYPE_SINT32, "sint64": _F.TYPE_SINT64,
}  # fmt: skip

_HISTOGRAM = """
1 count_int uint64 count|2 count_float fixed64 count|3 sum fixed64|4 schema sint32|5 zero_threshold fixed64
6 zero_count_int uint64 zero|7 zero_count_float fixed64 zero|8 negative_spans *BucketSpan|9 negative_deltas *sint64
10 negative_counts *fixed64|11 positive_spans *BucketSpan|12 positive_deltas *sint64|13 positive_counts *fixed64
14 reset_hint int32|15 timestamp int64|16 custom_values *fixed64|17 start_timestamp int64
"""
_SHARED = {
    "Label": "1 name bytes|2 value bytes",
    "Sample": "1 value fixed64|2 timestamp int64|3 start_timestamp int64",
    "BucketSpan": "1 offset sint32|2 length uint32",
    "Histogram": _HISTOGRAM.strip().replace("\n", "|"),
}
_V1 = {
    **_SHARED,
    "Exemplar": "1 labels *Label|2 value fixed64|3 timestamp int64",
    "TimeSeries": "1 labels *Label|2 samples *Sample|3 exemplars *Exemplar|4 histograms *Histogram",
    "Metadata": "1 type int32|2 family bytes|4 help bytes|5 unit bytes",
    "Request": "1 timeseries *TimeSeries|3 metadata *Metadata",
}
_V2 = {
    **_SHARED,
    "Exemplar": "1 labels_refs *uint32|2 value fixed64|3 timestamp int64",
    "Metadata": "1 type int32|3 help_ref uint32|4 unit_ref uint32",
    "TimeSeries": "1 labels_refs *uint32|2 samples *Sample|3 histograms *Histogram|4 exemplars *Exemplar"
    "|5 metadata Metadata|6 created_timestamp int64",
    "Request": "4 symbols *bytes|5 timeseries *TimeSeries",
}
_RECORD = {
    "Label": _SHARED["Label"],
    "Sample": _SHARED["Sample"],
    "TimeSeries": "1 labels *Label|2 samples *Sample|4 histograms *bytes",
    "Request": "1 timeseries *TimeSeries",
}


def classes(package: str, messages: dict[str, str]) -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for text in fields.split("|"):
            number, field_name, kind, *oneof = text.split()
            entry = message.field.add(name=field_name, number=int(number), label=_F.LABEL_OPTIONAL)
            if kind.startswith("*"):
                entry.label, kind = _F.LABEL_REPEATED, kind[1:]
            if kind in _TYPES:
                entry.type = _TYPES[kind]
            else:
                entry.type, entry.type_name = _F.TYPE_MESSAGE, f".{package}.{kind}"
            if oneof:
                names = [declared.name for declared in message.oneof_decl]
                if oneof[0] not in names:
                    message.oneof_decl.add(name=oneof[0])
                    names.append(oneof[0])
                entry.oneof_index = names.index(oneof[0])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


V1 = classes("twin1", _V1)
V2 = classes("twin2", _V2)
RECORD = classes("twinrecord", _RECORD)


class Malformed(Exception):  # noqa: N818 - a verdict
    """No such protobuf message, or one with groups, which nobody writes and we refuse."""


class OtherVersion(Malformed):
    """A message of the other version of remote write."""


def parse(kind: Any, body: bytes) -> Any:
    message = kind()
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise Malformed from error
    _refuse_groups(message)
    return message


def _refuse_groups(message: Message) -> None:
    if any(unknown.wire_type == GROUP for unknown in UnknownFieldSet(message)):
        raise Malformed
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for part in value if descriptor.is_repeated else [value]:
                _refuse_groups(part)


def bits(value: float) -> int:
    return int.from_bytes(struct.pack("<d", value), "little")


def number(value_bits: int) -> float:
    return float(struct.unpack("<d", value_bits.to_bytes(8, "little"))[0])


@dataclass
class Series:
    """A series as it must stand in a record."""

    labels: tuple[tuple[bytes, bytes], ...]
    samples: list[tuple[int, int, int]] = field(default_factory=list)
    """time, bits of the value, start"""
    histograms: list[bytes] = field(default_factory=list)
    exemplars: list[tuple[tuple[tuple[bytes, bytes], ...], int, int]] = field(default_factory=list)

    def label_bytes(self) -> bytes:
        message = V1["TimeSeries"]()
        for name, value in self.labels:
            message.labels.add(name=name, value=value)
        return bytes(message.SerializeToString())

    def hash(self, seed: int) -> int:
        return xxhash.xxh64(self.label_bytes(), seed=seed).intdigest()


@dataclass
class Twin:
    """What must come of a request: series by number with what is wrong with them (a set of reasons), and families."""

    series: list[tuple[Series, set[str]]]
    families: list[tuple[bytes, int, bytes, bytes]]

    def good(self) -> Iterator[Series]:
        for series, problems in self.series:
            if not problems and (series.samples or series.histograms or series.exemplars):
                yield series


def _refuse_other_version(request: Message, numbers: set[int]) -> None:
    if any(field.field_number in numbers and field.wire_type == BYTES for field in UnknownFieldSet(request)):
        raise OtherVersion


def split_1(body: bytes) -> Twin:
    request = parse(V1["Request"], body)
    _refuse_other_version(request, {4, 5})
    series = []
    for given in request.timeseries:
        pairs = [(label.name, label.value) for label in given.labels]
        exemplars = [
            (tuple((label.name, label.value) for label in e.labels), e.value, e.timestamp) for e in given.exemplars
        ]
        series.append(_series(pairs, given, exemplars, 0))
    families = [(m.family, m.type, m.unit, m.help) for m in request.metadata]
    return Twin(series, families)


def split_2(body: bytes) -> Twin:
    request = parse(V2["Request"], body)
    _refuse_other_version(request, {1, 3})
    symbols = list(request.symbols)
    series, families = [], []
    for given in request.timeseries:
        problems: set[str] = set()
        pairs = _pairs(given.labels_refs, symbols, problems)
        exemplars = [(_pairs(e.labels_refs, symbols, problems), e.value, e.timestamp) for e in given.exemplars]
        meta = given.metadata
        if given.HasField("metadata") and max(meta.help_ref, meta.unit_ref) >= max(1, len(symbols)):
            problems.add("bad_reference")
        made, more = _series(list(pairs), given, exemplars, given.created_timestamp)
        series.append((made, problems | more))
        if given.HasField("metadata") and symbols and not (problems | more):
            text = (dict(made.labels)[b"__name__"], meta.type, symbols[meta.unit_ref], symbols[meta.help_ref])
            families += [text] if any(text[1:]) else []
    return Twin(series, families)


def _pairs(refs: Sequence[int], symbols: list[bytes], problems: set[str]) -> tuple[tuple[bytes, bytes], ...]:
    if len(refs) % 2 or any(ref >= len(symbols) for ref in refs):
        problems.add("bad_reference")
    known = [symbols[ref] if ref < len(symbols) else None for ref in refs]
    if any(symbol is not None and not _is_utf8(symbol) for symbol in known):
        problems.add("invalid_utf8")
    return tuple((n, v) for n, v in zip(known[::2], known[1::2], strict=False) if n is not None and v is not None)


def _series(pairs: list[tuple[bytes, bytes]], given: Any, exemplars: Any, start: int) -> tuple[Series, set[str]]:
    kept = sorted(pair for pair in pairs if pair[1])
    names = [name for name, _ in kept]
    empty = {name for name, value in pairs if not value}
    problems = {
        reason
        for reason, found in {
            "no_labels": not kept,
            "no_name": bool(kept) and b"__name__" not in names,
            "duplicate_label": len(set(names)) < len(names) or not empty.isdisjoint(names),
            "empty_label_name": b"" in names,
            "invalid_utf8": not all(_is_utf8(part) for pair in kept for part in pair)
            or not all(_is_utf8(part) for labels, _, _ in exemplars for pair in labels for part in pair),
            "too_many_labels": len(kept) > 256,
        }.items()
        if found
    }
    histograms = []
    for histogram in given.histograms:
        problem = histogram_problem(histogram)
        if problem:
            problems.add(problem)
        histograms.append(canonical(histogram, start))
    samples = [(s.timestamp, s.value, s.start_timestamp or start) for s in given.samples]
    return Series(tuple(kept), samples, histograms, exemplars), problems


def canonical(histogram: Any, start: int) -> bytes:
    """One form of a histogram for comparing: with the series' start if it has none, nothing unknown, no start of 0."""
    made = V1["Histogram"]()
    made.ParseFromString(histogram.SerializeToString())
    made.start_timestamp = made.start_timestamp or start
    if not made.start_timestamp:
        made.ClearField("start_timestamp")
    made.DiscardUnknownFields()
    return bytes(made.SerializeToString(deterministic=True))


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def histogram_problem(h: Any) -> str:
    """The first rule that a native histogram breaks, written from the documentation of the format."""
    floating = h.WhichOneof("count") == "count_float"
    zero = number(h.zero_count_float) if floating else h.zero_count_int
    some_zero = number(h.zero_count_float) or h.zero_count_int
    if h.schema == -53:
        bounds = [number(bound) for bound in h.custom_values]
        falling = any(not a < b for a, b in pairwise(bounds))
        infinite = any(not bound < math.inf for bound in bounds)
        reach = sum(span.offset + span.length for span in h.positive_spans)
        negative = len(h.negative_spans) + len(h.negative_deltas) + len(h.negative_counts)
        if falling or infinite or negative or some_zero or number(h.zero_threshold) or reach > len(bounds) + 1:
            return "histogram_bounds"
    elif h.custom_values:
        return "histogram_bounds"
    elif not -9 <= h.schema <= 52:
        return "histogram_schema"
    sides = [
        (h.positive_spans, h.positive_counts if floating else h.positive_deltas),
        (h.negative_spans, h.negative_counts if floating else h.negative_deltas),
    ]
    for spans, buckets in sides:
        if any(span.offset < 0 for span in spans[1:]) or sum(span.length for span in spans) != len(buckets):
            return "histogram_spans"
    if floating:
        return _float_problem(h, zero)
    return _integer_problem(h, zero)


def _integer_problem(h: Any, zero: int) -> str:
    total = zero
    for deltas in (h.positive_deltas, h.negative_deltas):
        at = 0
        for delta in deltas:
            at += delta
            if at < 0:
                return "histogram_bucket"
            total += at
    no_nan_seen = not math.isnan(number(h.sum))
    return "histogram_count" if total > h.count_int or (total != h.count_int and no_nan_seen) else ""


def _float_problem(h: Any, zero: float) -> str:
    counts = [number(count) for side in (h.positive_counts, h.negative_counts) for count in side]
    count = number(h.count_float)
    if any(value < 0 for value in (*counts, zero, count)):
        return "histogram_bucket"
    total = sum(counts) + zero
    slack = 1e-3 * max(total, count)
    no_nan_seen = not math.isnan(number(h.sum))
    return "histogram_count" if total > count + slack or (count > total + slack and no_nan_seen) else ""


def read_record(value: bytes | memoryview) -> list[Series]:
    """The series of a record of ``tocsin.metrics``, read by google.protobuf."""
    read = []
    for given in parse(V1["Request"], bytes(value)).timeseries:
        histograms = [canonical(histogram, 0) for histogram in given.histograms]
        read.append(
            Series(
                tuple((label.name, label.value) for label in given.labels),
                [(s.timestamp, s.value, s.start_timestamp) for s in given.samples],
                histograms,
                [(tuple((la.name, la.value) for la in e.labels), e.value, e.timestamp) for e in given.exemplars],
            )
        )
    return read
