"""Labels of many series of one tenant as columns, of those labels that matchers ask for.

Of each label the distinct values, and which of them each series has: a matcher is then tried once per value, and not
once per series. What is read here was read by ``parse_labels`` before, so it is known to be well-formed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from connectors.codec.series_hash import hash_bytes, xxh64
from connectors.codec.varint import kernel, read_length, read_tag
from flows.detectors.base import Ints
from flows.selector import Matcher, Op

_NAME, _VALUE = 0x0A, 0x12
_NO_CODE, _UNKNOWN = -1, -1
FEW_VALUES = 16
MAX_CHOSEN, CHOICE_PLACES = 1 << 20, 32
"""Places that are remembered for selectors that come again, 8 MB; each choice counts as so many more."""
MAX_VERDICTS, VERDICT_VALUES = 1 << 23, 256
"""Values of labels of which it is remembered whether they match, a byte each; a condition counts as so many more."""
_EQUALITY = (Op.EQUAL, Op.NOT_EQUAL)
Codes = NDArray[np.int64]


class Verdicts:
    """Which values of labels fulfil which conditions, as far as they were tried; at most ``MAX_VERDICTS``."""

    def __init__(self) -> None:
        self._known: dict[Matcher, NDArray[np.int8]] = {}
        self.size_bytes = 0

    def of(self, matcher: Matcher, values: int) -> NDArray[np.int8]:
        """Of each of so many values: 1 or 0, or −1 where it was not tried; (values,), to be written to."""
        known = self._known.get(matcher)
        if known is None:
            cost = values + VERDICT_VALUES
            if self.size_bytes + cost > MAX_VERDICTS:
                self._known.clear()
                self.size_bytes = 0
            self.size_bytes += cost
            known = self._known[matcher] = np.full(values, _UNKNOWN, np.int8)
        return known


class LabelColumn:
    """One label on ``n`` series: each value once, "" for none, and ``codes`` (n,), which of them each series has."""

    def __init__(self, values: Sequence[str], codes: Codes, verdicts: Verdicts) -> None:
        self.values, self.codes = values, codes
        self._verdicts = verdicts

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Code by value."""
        return {value: code for code, value in enumerate(self.values)}

    def places(self, code: int) -> Ints:
        """Index of the series that have this value, ascending."""
        order, starts = self._by_code
        return order[starts[code] : starts[code + 1]]

    def places_of(self, codes: Sequence[int]) -> Ints:
        """The same for several values."""
        if len(codes) == 1:
            return self.places(codes[0])
        return np.sort(np.concatenate([self.places(code) for code in codes]))

    def beginning_with(self, text: str) -> list[int]:
        """Codes of the values that begin with a text."""
        values, codes = self._sorted
        first = last = bisect_left(values, text)
        while last < len(values) and values[last].startswith(text):
            last += 1
        return codes[first:last]

    def choose(self, matcher: Matcher, places: Ints) -> Ints:
        """Those of the series at ``places`` whose value fulfils the condition."""
        codes = self.codes[places]
        if matcher.op in _EQUALITY:
            same = codes == self.numbers.get(matcher.value, _NO_CODE)
            kept: Ints = places[same if matcher.op is Op.EQUAL else ~same]
            return kept
        verdicts = self._verdicts.of(matcher, len(self.values))
        if len(self.values) > FEW_VALUES:
            unknown = codes[verdicts[codes] == _UNKNOWN]
            for code in np.unique(unknown).tolist() if len(unknown) else ():
                verdicts[code] = matcher.matches(self.values[code])
        elif verdicts[0] == _UNKNOWN:  # to try all of a few is quicker than to look which are asked for
            verdicts[:] = [matcher.matches(value) for value in self.values]
        chosen: Ints = places[verdicts[codes] == 1]
        return chosen

    @cached_property
    def size_bytes(self) -> int:
        """Memory of the codes, and of the values as far as their texts go."""
        return self.codes.nbytes + sum(map(len, self.values))

    @cached_property
    def _sorted(self) -> tuple[list[str], list[int]]:
        codes = sorted(range(len(self.values)), key=self.values.__getitem__)
        return [self.values[code] for code in codes], codes

    @cached_property
    def _by_code(self) -> tuple[Ints, list[int]]:
        ends = np.cumsum(np.bincount(self.codes, minlength=len(self.values)))
        return np.argsort(self.codes, kind="stable"), [0, *ends.tolist()]


class Choices:
    """Which series selectors chose: equal ones come again and again.

    By the identity of a selector's addresses (``flows.homes``), which are kept so that it stays theirs; at most
    ``MAX_CHOSEN`` places.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, Ints]] = {}
        self.places = 0

    def get(self, addresses: object) -> Ints | None:
        """What was chosen, None if it is not known."""
        known = self._known.get(id(addresses))
        return None if known is None else known[1]

    def keep(self, addresses: object, chosen: Ints) -> None:
        """Remember it, and forget all before where that would be too much."""
        cost = len(chosen) + CHOICE_PLACES
        if self.places + cost > MAX_CHOSEN:
            self._known.clear()
            self.places = 0
        self.places += cost
        self._known[id(addresses)] = addresses, chosen


class LabelColumns:
    """The labels with these names of the series with these label bytes."""

    def __init__(self, raws: Sequence[bytes], names: Iterable[str]) -> None:
        self.size = len(raws)
        self.choices = Choices()
        self.names: set[str] = set()
        """what was looked for"""
        self._verdicts = Verdicts()
        self._missing = LabelColumn([""], np.zeros(self.size, np.int64), self._verdicts)
        self._columns: dict[str, LabelColumn] = {}
        self.add(raws, names)

    def add(self, raws: Sequence[bytes], names: Iterable[str]) -> None:
        """Read more labels of the same series."""
        ordered = sorted(set(names))
        self.names.update(ordered)
        hashes = np.array([hash_bytes(name.encode(), 0) for name in ordered], np.uint64)
        shape = (len(ordered), self.size)
        found, starts, sizes = np.zeros(shape, np.uint64), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        joined = b"".join(raws)
        ends = np.cumsum(np.fromiter(map(len, raws), np.int64, self.size))
        with np.errstate(over="ignore"):  # the hash wraps around; numpy warns when the JIT is off
            _find(np.frombuffer(joined, np.uint8), ends, hashes, found, starts, sizes)
        for i, name in enumerate(ordered):
            if sizes[i].any():
                self._columns[name] = _column(joined, found[i], starts[i], sizes[i], self._verdicts)

    def __getitem__(self, name: str) -> LabelColumn:
        return self._columns.get(name, self._missing)

    def labels(self, at: int) -> dict[str, str]:
        """Those of the series at this place, "" for none."""
        return {name: column.values[column.codes[at]] for name, column in self._columns.items()}

    def columns(self) -> Iterable[tuple[str, LabelColumn]]:
        """Labels that at least one of the series has."""
        return self._columns.items()

    @property
    def size_bytes(self) -> int:
        """Memory of the columns and of what is remembered of them."""
        columns = sum(column.size_bytes for column in list(self._columns.values()))  # the probes' thread asks, too
        return columns + self._missing.size_bytes + 8 * self.choices.places + self._verdicts.size_bytes


def _column(
    joined: bytes, found: NDArray[np.uint64], starts: Ints, sizes: Ints, verdicts: Verdicts
) -> LabelColumn:  # fmt: skip
    if len(found) == 1:
        at, codes = np.zeros(1, np.int64), np.zeros(1, np.int64)
    else:
        _, at, codes = np.unique(found, return_index=True, return_inverse=True)
    spans = zip(starts[at].tolist(), sizes[at].tolist(), strict=True)
    return LabelColumn([joined[start : start + size].decode() for start, size in spans], codes, verdicts)


@kernel
def _find(buf, ends, names, found, starts, sizes):  # type: ignore[no-untyped-def]
    """Of every series, which ends at ``ends[i]``: hash, start and size of the values of labels with these name hashes.

    A label that is missing or empty is left at 0. Of a label that stands twice the last counts, as in ``parse_labels``.
    """
    pos = np.int64(0)
    for i in range(len(ends)):
        while pos >= 0 and pos < ends[i]:
            _, pos = read_tag(buf, pos, ends[i])
            start, pos = read_length(buf, pos, ends[i])
            name_from = name_to = value_from = value_to = start
            while start >= 0 and start < pos:
                tag, start = read_tag(buf, start, pos)
                begin, start = read_length(buf, start, pos)
                if tag == _NAME:
                    name_from, name_to = begin, start
                elif tag == _VALUE:
                    value_from, value_to = begin, start
            name = xxh64(buf, name_from, name_to, np.uint64(0))
            for k in range(len(names)):
                if names[k] == name:
                    starts[k, i] = value_from
                    sizes[k, i] = value_to - value_from
                    found[k, i] = (
                        xxh64(buf, value_from, value_to, np.uint64(0)) if value_to > value_from else np.uint64(0)
                    )
