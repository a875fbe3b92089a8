"""Labels of many series of one tenant as columns, of those labels that matchers ask for.

Of each label the distinct values, and which of them each series has: a matcher is then tried once per value, and not
once per series. What is read here was read by ``parse_labels`` before, so it is known to be well-formed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.codec.series_hash import xxh64
from connectors.codec.varint import allocating, kernel, read_length, read_tag
from flows.detectors.base import Ints
from flows.hash_table import home_of
from flows.homes import EVERYONE, Street, text_hash
from flows.pattern import Plain
from flows.selector import Matcher

_NAME, _VALUE = 0x0A, 0x12
UNKNOWN = -1
FEW_VALUES = 4
"""So few are tried one by one."""
MAX_VERDICTS, VERDICT_VALUES = 1 << 23, 256
"""Values of labels of which it is remembered whether they match, a byte each; a condition counts as so many more."""
Codes = NDArray[np.int64]


class Verdicts:
    """Which values of labels fulfil which conditions, as far as they were tried; at most ``MAX_VERDICTS``."""

    def __init__(self) -> None:
        self._known: dict[str, NDArray[np.int8]] = {}
        self.size_bytes = 0

    def of(self, matcher: str) -> NDArray[np.int8] | None:
        """Of each value 1 or 0, or −1 where it was not tried; (values,), to be written to. None if it is new."""
        return self._known.get(matcher)

    def begin(self, matcher: str, values: int) -> NDArray[np.int8]:
        """The same of a new one, of which nothing was tried on any of so many values."""
        cost = values + VERDICT_VALUES
        if self.size_bytes + cost > MAX_VERDICTS:
            self._known.clear()
            self.size_bytes = 0
        self.size_bytes += cost
        known = self._known[matcher] = np.full(values, UNKNOWN, np.int8)
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

    def living_at(self, text: str) -> tuple[int, int]:
        """Where in ``by_code`` those begin and end that have this value, which must not be ""."""
        code = self.numbers.get(text) if text else None
        return (0, 0) if code is None else (self.starts[code], self.starts[code + 1])

    def living_below(self, text: str) -> tuple[int, int]:
        """Where in ``by_text`` those begin and end whose values begin with a text."""
        first, last = self._beginning_with(text)
        return self._starts_by_text[first], self._starts_by_text[last]

    def _beginning_with(self, text: str) -> tuple[int, int]:
        """Where in ``texts`` those are."""
        size = len(text)
        first = bisect_left(self.texts, text)
        return first, bisect_right(self.texts, text, first, key=lambda value: value[:size])

    @cached_property
    def by_code(self) -> Ints:
        """Index of all series by value, then ascending."""
        return np.argsort(self.codes, kind="stable")

    @cached_property
    def starts(self) -> list[int]:
        """Where in ``by_code`` the series of each value begin; one more at the end."""
        return [0, *np.cumsum(np.bincount(self.codes, minlength=len(self.values))).tolist()]

    @cached_property
    def texts(self) -> list[str]:
        """The values, sorted."""
        return sorted(self.values)

    @cached_property
    def _order(self) -> Codes:
        """Codes of the values in that order."""
        return np.array(list(map(self.numbers.__getitem__, self.texts)), np.int64)

    @cached_property
    def _ranks(self) -> Ints:
        """Of each series, where its value is in ``texts``."""
        ranks = np.empty(len(self.texts), np.int64)
        ranks[self._order] = np.arange(len(self.texts))
        found: Ints = ranks[self.codes]
        return found

    @cached_property
    def by_text(self) -> Ints:
        """Index of all series by value in the order of ``texts``, then ascending."""
        return np.argsort(self._ranks, kind="stable")

    @cached_property
    def _starts_by_text(self) -> list[int]:
        return [0, *np.cumsum(np.bincount(self._ranks, minlength=len(self.values))).tolist()]

    def verdicts(self, text: str, matcher: Matcher) -> NDArray[np.int8]:
        """Which of the values fulfil an expression, 1 or 0, or ``UNKNOWN`` where it was not tried; to be written to.

        ``text`` is that of the matcher.
        """
        found = self._verdicts.of(text)
        if found is None:
            found = self._verdicts.begin(text, len(self.values))
            beginnings, fulfils = matcher.beginnings()
            if len(found) > FEW_VALUES and beginnings is not None:
                found[:] = not fulfils
                for one in beginnings:
                    found[self._values_of(one)] = fulfils
        return found

    def _values_of(self, one: Plain) -> Codes:
        """Codes of the values of this form, which leaves nothing open before its text."""
        if one.after is None:
            code = self.numbers.get(one.text)
            return self._order[:0] if code is None else np.array([code])
        first, last = self._beginning_with(one.text)
        if one.after and first < last and self.texts[first] == one.text:  # more must follow
            first += 1
        return self._order[first:last]

    @cached_property
    def size_bytes(self) -> int:
        """Memory of the codes, and of the values as far as their texts go."""
        return self.codes.nbytes + sum(map(len, self.values))


class Site(NamedTuple):
    """A street on the ground of ``LabelColumns``."""

    start: int
    living: Callable[[str], tuple[int, int]]
    """where those who live in the home of this text begin and end, counted from the start"""


class LabelColumns:
    """The labels with these names of the series with these label bytes."""

    def __init__(self, raws: Sequence[bytes], names: Iterable[str]) -> None:
        self.size = len(raws)
        self.names: set[str] = set()
        """what was looked for"""
        self.name_hashes = np.zeros(0, np.uint64)
        self.hashes = np.zeros((0, self.size), np.uint64)
        """of the value of each of these labels on each of the series, 0 where it is missing or empty; (names, n)"""
        self.codes = np.zeros((1, self.size), np.int64)
        """of the values that the series have, the first of labels that no series has; (labels + 1, n)"""
        self._rows: dict[str, int] = {}
        self._verdicts = Verdicts()
        self._missing = LabelColumn([""], np.zeros(self.size, np.int64), self._verdicts)
        self._columns: dict[str, LabelColumn] = {}
        self._grounds: dict[Street, int] = {}
        self.ground: Ints = np.arange(self.size)
        """the places of the streets that were built on, one street after the other"""
        self.add(raws, names)

    def add(self, raws: Sequence[bytes], names: Iterable[str]) -> None:
        """Read more labels of the same series."""
        ordered = sorted(set(names) - self.names)
        self.names.update(ordered)
        hashes = np.array([text_hash(name) for name in ordered], np.uint64)
        shape = (len(ordered), self.size)
        found, starts, sizes = np.zeros(shape, np.uint64), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        joined = b"".join(raws)
        ends = np.cumsum(np.fromiter(map(len, raws), np.int64, self.size))
        with np.errstate(over="ignore"):  # the hash wraps around; numpy warns when the JIT is off
            _find(np.frombuffer(joined, np.uint8), ends, hashes, found, starts, sizes)
        for i, name in enumerate(ordered):
            if sizes[i].any():
                self._columns[name] = _column(joined, found[i], starts[i], sizes[i], self._verdicts)
                self._rows[name] = len(self._rows) + 1
        codes = [self._columns[name].codes for name in ordered if name in self._columns]
        self.codes = np.concatenate([self.codes, *(column[None] for column in codes)])
        self.name_hashes = np.concatenate([self.name_hashes, hashes])
        self.hashes = np.concatenate([self.hashes, found])

    def rows_of(self, names: Sequence[str]) -> list[int]:
        """Which rows of ``codes`` are of these labels."""
        return [self._rows.get(name, 0) for name in names]

    def site(self, street: Street) -> Site:
        """Where the places of a street begin in ``ground``, and who tells where from there those of a home do."""
        if street.name == EVERYONE:
            return Site(0, lambda text: (0, self.size) if text == EVERYONE else (0, 0))
        column, start = self[street.name], self._grounds.get(street)
        if start is None:
            start = self._grounds[street] = len(self.ground)
            self.ground = np.concatenate([self.ground, column.by_code if street.exact else column.by_text])
        return Site(start, column.living_at if street.exact else column.living_below)

    def __getitem__(self, name: str) -> LabelColumn:
        return self._columns.get(name, self._missing)

    def columns(self) -> Iterable[tuple[str, LabelColumn]]:
        """Labels that at least one of the series has."""
        return self._columns.items()

    @property
    def size_bytes(self) -> int:
        """Memory of the columns and of what is remembered of them."""
        columns = sum(column.size_bytes for column in list(self._columns.values()))  # the probes' thread asks, too
        kept = self.hashes.nbytes + self.codes.nbytes + self.ground.nbytes
        return columns + self._missing.size_bytes + self._verdicts.size_bytes + kept


def _column(
    joined: bytes, found: NDArray[np.uint64], starts: Ints, sizes: Ints, verdicts: Verdicts
) -> LabelColumn:  # fmt: skip
    at, codes = _number(found)
    spans = zip(starts[at].tolist(), sizes[at].tolist(), strict=True)
    return LabelColumn([joined[start : start + size].decode() for start, size in spans], codes, verdicts)


@allocating
def _number(found):  # type: ignore[no-untyped-def]
    """Where each of different hashes stands first, and which of these each of ``n`` >= 1 is; not by sorting."""
    capacity = 64
    while capacity < 2 * len(found):
        capacity *= 2
    table, mask = np.full(capacity, -1, np.int64), capacity - 1
    firsts, codes, n = np.empty(len(found), np.int64), np.empty(len(found), np.int64), 0
    for i in range(len(found)):
        at = home_of(found[i], mask)
        while table[at] >= 0 and found[firsts[table[at]]] != found[i]:
            at = (at + 1) & mask
        if table[at] < 0:
            table[at] = n
            firsts[n] = i
            n += 1
        codes[i] = table[at]
    return firsts[:n], codes


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
