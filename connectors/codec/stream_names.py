"""Streams by their labels: what a record of theirs begins and ends with, and where it belongs. Remembered by text.

Senders repeat the labels of a stream with each batch of its lines, so what they were found to be once is kept, faults
too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from connectors.codec.encode import encode_field, encode_labels, encode_varint
from connectors.codec.limits import MAX_LABEL_BYTES, LabelLimits
from connectors.codec.series_hash import series_hash
from connectors.codec.stream import labels_text
from connectors.codec.stream_labels import LabelFault, Pairs, bad_name, is_label_name, read_labels

MAX_STREAMS_KNOWN = 20_000
"""Of so many streams what was found is kept, of those whose labels are short: some 20 MB, 100 MB at most."""
SHORT_TEXT_BYTES, FEW_PAIRS = 1024, 32
"""Longer ones are read each time; the latter of JSON, whose pairs are objects."""
MAX_TEXT_BYTES = 8 * MAX_LABEL_BYTES
"""Of labels as sent, escapes and spaces among them; larger ones are not even read."""
SHOWN_CHARACTERS, SHOWN_LABELS, SHOWN_NAME = 300, 60, 60
VALUE_LIMIT = "TOCSIN_INGEST_MAX_LABEL_VALUE_BYTES"


class Named(NamedTuple):
    """A stream: first and last bytes of its records, its hash and their partition."""

    head: bytes
    tail: bytes
    hash: int
    partition: int


class StreamNames:
    """The streams of all tenants. Of use to one thread."""

    def __init__(self, limits: LabelLimits, partitions: int, known: int = MAX_STREAMS_KNOWN) -> None:
        self._limits = limits
        self._partitions = partitions
        self._known = lru_cache(known)(self._find)

    @property
    def known(self) -> int:
        """Label texts that are remembered, at most ``known``."""
        return self._known.cache_info().currsize

    @property
    def read_total(self) -> int:
        """Label texts that had to be read because they were not remembered; of the short ones."""
        return self._known.cache_info().misses

    def of_text(self, tenant: str, text: bytes) -> Named | LabelFault:
        """The stream with these labels as protobuf has them."""
        if len(text) > MAX_TEXT_BYTES:
            return _too_large(self._limits)
        return self._known(tenant, text) if len(text) <= SHORT_TEXT_BYTES else self._find(tenant, text)

    def of_pairs(self, tenant: str, pairs: Pairs) -> Named | LabelFault:
        """The stream with these labels as JSON has them."""
        short = len(pairs) <= FEW_PAIRS and sum(len(name) + len(value) for name, value in pairs) <= SHORT_TEXT_BYTES
        return self._known(tenant, pairs) if short else self._find(tenant, pairs)

    def _find(self, tenant: str, given: bytes | Pairs) -> Named | LabelFault:
        pairs = read_labels(given) if isinstance(given, bytes) else given
        if isinstance(pairs, LabelFault):
            return pairs
        fault = _fault_of_names(pairs)
        labels = {name: value for name, value in pairs if value}
        label_bytes = b"" if fault else encode_labels(labels)
        fault = fault or _fault_of_sizes(labels, len(label_bytes), self._limits)
        return fault or self._named(tenant, labels, label_bytes)

    def _named(self, tenant: str, labels: dict[str, str], label_bytes: bytes) -> Named:
        digest = series_hash(label_bytes, tenant)
        head = encode_field(1, labels_text(labels).encode())
        return Named(head, b"\x18" + encode_varint(digest), digest, digest % self._partitions)


def shown_labels(given: bytes | Pairs) -> str:
    """Labels for an error message, cut; those of JSON may have values that are no strings."""
    if isinstance(given, bytes):
        shown = given[: 4 * SHOWN_CHARACTERS].decode(errors="replace")
    else:
        few = given[:SHOWN_LABELS]
        shown = labels_text({name: value[:SHOWN_CHARACTERS] if type(value) is str else "?" for name, value in few})
    return shown if len(shown) <= SHOWN_CHARACTERS else shown[:SHOWN_CHARACTERS] + "…"


def _fault_of_names(pairs: Pairs) -> LabelFault | None:
    names = [name for name, _ in pairs]
    wrong = next((name for name in names if not is_label_name(name)), None)
    if wrong is not None:
        return bad_name(wrong)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        return LabelFault("duplicate_label", f"label {twice[:SHOWN_NAME]}: stands twice")
    return None


def _fault_of_sizes(labels: dict[str, str], size_bytes: int, limits: LabelLimits) -> LabelFault | None:
    if not labels:
        return LabelFault("no_labels", "it has no labels; a stream needs at least one with a value")
    if len(labels) > limits.labels:
        text = f"labels: it has {len(labels)}, more than {limits.labels} (TOCSIN_INGEST_MAX_LABELS)"
        return LabelFault("too_many_labels", text)
    long = next((name for name in labels if len(name) > limits.name_bytes), None)
    if long is not None:
        text = f"label name {long[:40]!r}…: more than {limits.name_bytes} bytes (TOCSIN_INGEST_MAX_LABEL_NAME_BYTES)"
        return LabelFault("label_name_too_long", text)
    long = next((name for name, value in labels.items() if len(value.encode()) > limits.value_bytes), None)
    if long is not None:
        text = f"label {long[:SHOWN_NAME]}: its value has more than {limits.value_bytes} bytes ({VALUE_LIMIT})"
        return LabelFault("label_value_too_long", text)
    return _too_large(limits) if size_bytes > limits.series_bytes else None


def _too_large(limits: LabelLimits) -> LabelFault:
    text = f"labels: more than {limits.series_bytes} bytes (TOCSIN_INGEST_MAX_SERIES_LABEL_BYTES)"
    return LabelFault("labels_too_large", text)
