"""A remote-write request, already decompressed, to record bodies per partition. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from connectors.codec import bench, histogram, spans, split, totals
from connectors.codec.gather import gather
from connectors.codec.labels import lenient_labels
from connectors.codec.limits import MAX_FIELD_BYTES, USUAL_LIMITS, LabelLimits
from connectors.codec.runs import Runs
from connectors.codec.symbols import mark_clean, read_symbols
from connectors.codec.told import Family, as_named, family_name, read_told
from connectors.errors import Rejected, TooLarge

ARENA_BYTES = 4096
FIRST_ROWS = 1024
SHOWN_CHARACTERS = 300
"""A series is named in an error message up to this length."""

REASONS: dict[int, tuple[str, str]] = {
    spans.NO_LABELS: ("no_labels", "it has no labels; a series needs at least __name__"),
    spans.NO_NAME: ("no_name", "it has no __name__ label"),
    spans.DUPLICATE: ("duplicate_label", "a label name stands twice"),
    spans.EMPTY_NAME: ("empty_label_name", "a label has an empty name"),
    bench.BAD_UTF8: ("invalid_utf8", "a label is not UTF-8"),
    spans.TOO_MANY_LABELS: ("too_many_labels", "it has more than {0.labels} labels (TOCSIN_INGEST_MAX_LABELS)"),
    spans.NAME_TOO_LONG: (
        "label_name_too_long",
        "a label name has more than {0.name_bytes} bytes (TOCSIN_INGEST_MAX_LABEL_NAME_BYTES)",
    ),
    spans.VALUE_TOO_LONG: (
        "label_value_too_long",
        "a label value has more than {0.value_bytes} bytes (TOCSIN_INGEST_MAX_LABEL_VALUE_BYTES)",
    ),
    spans.LABELS_TOO_LARGE: (
        "labels_too_large",
        "its labels have more than {0.series_bytes} bytes (TOCSIN_INGEST_MAX_SERIES_LABEL_BYTES)",
    ),
    bench.FIELD_TOO_LARGE: ("too_large", f"one sample, histogram or exemplar has over {MAX_FIELD_BYTES} bytes"),
    bench.BAD_REFS: ("bad_reference", "a reference is outside the symbol table, or name without value"),
    histogram.BAD_COUNT: ("histogram_count", "the histogram's count is not the sum of its buckets"),
    histogram.BAD_SPANS: ("histogram_spans", "the histogram's spans and buckets do not fit together"),
    histogram.NEGATIVE_BUCKET: ("histogram_bucket", "the histogram has a negative bucket or count"),
    histogram.BAD_SCHEMA: ("histogram_schema", "the histogram's schema is neither exponential nor -53"),
    histogram.BAD_BOUNDS: ("histogram_bounds", "the histogram's custom bounds do not fit its schema or buckets"),
}
"""Code of a series' verdict to the word that is counted and the text that is answered, with the limits put in."""


class Version(IntEnum):
    """Protocol of a request."""

    V1 = 1
    V2 = 2


@dataclass(frozen=True, slots=True)
class Part:
    """One record to be: its partition and value."""

    partition: int
    value: memoryview
    """bytes of a buffer that all parts of the request share"""


class Complaint(NamedTuple):
    """What is wrong with the first bad series of a request."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Split:
    """A request, split. Counts are of what stands in ``parts``, bad series not among them."""

    parts: list[Part]
    families: list[Family]
    """what it tells of metric families, in its order"""
    untold: int
    """what it tells of others, left out: beyond ``MAX_FAMILIES``, or their names too long"""
    samples: int
    histograms: int
    exemplars: int
    series: int
    """series in the request, the refused ones among them"""
    refused: dict[str, int]
    """refused series by reason"""
    complaint: Complaint | None
    """about the first bad series; None if none is bad"""

    @property
    def size_bytes(self) -> int:
        """Bytes of all parts: references of 2.0 unfold to many times what came."""
        return sum(len(part.value) for part in self.parts)


def split_request(
    body: bytes | memoryview, version: Version, seed: int, partitions: int, expanded_bytes: int, known: Runs,
    limits: LabelLimits = USUAL_LIMITS,
) -> Split:  # fmt: skip
    """Split a request of the tenant with ``seed`` (see ``tenant_seed``) among ``partitions``.

    Labels come out sorted and without empty values, created timestamps at the sample or histogram, exemplars with
    their labels. Raises ``Rejected`` when the bytes are no such request (nothing of it may be written then), and
    ``TooLarge`` when the references of a 2.0 request unfold to more than ``expanded_bytes``. ``known`` remembers the
    labels that were found good, and changes nothing but the time that this takes; it serves one ``limits`` only.
    """
    buf = np.frombuffer(memoryview(body).toreadonly(), np.uint8)  # one type of array: kernels are compiled once
    total = np.zeros(totals.TOTALS, np.int64)
    rows = np.empty((FIRST_ROWS + len(buf) // 256, 4), np.int64)
    arena = np.empty(ARENA_BYTES if version is Version.V1 else ARENA_BYTES + 4 * len(buf), np.uint8)
    metadata = np.empty((64, 7), np.int64)
    with np.errstate(over="ignore"):  # hashes wrap around; numpy warns of it when the JIT is off
        symbol_spans, symbols_clean = _symbols(buf, version)
        status, rows, arena, metadata = split.scan_request(
            buf, int(version), np.uint64(seed), partitions, expanded_bytes, np.array(limits, np.int64),
            symbol_spans, symbols_clean, total, rows, arena, metadata,
            known.runs, known.slots, known.arena, known.state,
        )  # fmt: skip
    known.make_room()
    _refuse_whole(status, len(buf), expanded_bytes)
    _refuse_other_version(int(total[totals.N_FOREIGN]), version)
    out, records = gather(buf, arena, rows, total[totals.ROWS], partitions)
    view = out.data
    named = as_named if version is Version.V1 else family_name
    families, untold = read_told(body, metadata[: total[totals.METADATA]].tolist(), named)
    return Split(
        parts=[Part(partition, view[start:end]) for partition, start, end in records.tolist()],
        families=families,
        untold=untold + int(total[totals.N_UNTOLD]),
        samples=int(total[totals.N_SAMPLES]),
        histograms=int(total[totals.N_HISTOGRAMS]),
        exemplars=int(total[totals.N_EXEMPLARS]),
        series=int(total[totals.SERIES]),
        refused=_refused(total),
        complaint=_complaint(total, arena, limits),
    )


def _symbols(buf: npt.NDArray[np.uint8], version: Version) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Spans of the symbols in the body, and which of them are UTF-8; none for 1.0."""
    if version is Version.V1:
        return np.empty((0, 2), np.int64), np.empty(0, np.uint8)
    well_formed, n, found = read_symbols(buf, np.empty((256, 2), np.int64))
    _refuse_whole(split.FINE if well_formed else split.MALFORMED, len(buf), 0)
    if n > 0 and found[0, 1] > found[0, 0]:
        message = 'symbols: the first one must be ""'
        raise Rejected(reason="bad_symbols", message=message)
    clean = np.empty(n, np.uint8)
    mark_clean(buf, found, clean)
    return found[:n], clean


def _refuse_whole(status: int, size: int, expanded_bytes: int) -> None:
    if status == split.MALFORMED:
        message = f"body: {size} bytes after decompression are no remote-write request (malformed protobuf)"
        raise Rejected(reason="malformed_protobuf", message=message)
    if status == split.EXPANDED:
        message = f"body: its labels unfold to more than {expanded_bytes} bytes; send fewer series per request"
        raise TooLarge(reason="too_large", message=message)


def _refuse_other_version(foreign_fields: int, version: Version) -> None:
    if foreign_fields > 0:
        other = Version.V2 if version is Version.V1 else Version.V1
        proto = "prometheus.WriteRequest" if other is Version.V1 else "io.prometheus.write.v2.Request"
        message = (
            f"body: a remote-write {other}.0 request, but its Content-Type says {version}.0; send "
            f"application/x-protobuf;proto={proto}"
        )
        raise Rejected(reason="other_version", message=message)


def _refused(total: npt.NDArray[np.int64]) -> dict[str, int]:
    return {word: count for code, (word, _) in REASONS.items() if (count := int(total[totals.REFUSED + code])) > 0}


def _complaint(total: npt.NDArray[np.int64], arena: npt.NDArray[np.uint8], limits: LabelLimits) -> Complaint | None:
    code = int(total[totals.BAD_CODE])
    if code == spans.GOOD:
        return None
    labels = lenient_labels(arena[total[totals.BAD_FROM] : total[totals.BAD_TO]].tobytes())
    shown = "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"
    if len(shown) > SHOWN_CHARACTERS:
        shown = shown[:SHOWN_CHARACTERS] + "…"
    reason, problem = REASONS[code]
    return Complaint(reason, f"series {total[totals.BAD_SERIES]} of the request, {shown}: {problem.format(limits)}")
