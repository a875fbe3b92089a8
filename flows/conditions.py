"""What flats ask of the series at their homes (``flows.matching``), as columns: tried on many of both at a time.

Most matchers compare a value with a text: that is done by the hashes of both, in one compiled pass over all pairs of a
flat and a series at one of its homes. Regular expressions are tried on what is left, once per value of a label.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows.detectors.base import Column, Ints, Table
from flows.homes import EQUAL, TRIED, Address
from flows.label_columns import UNKNOWN, LabelColumns
from flows.numbering import Numbering
from flows.selector import MAX_MATCHERS, Matcher

_ASKED = -2
_FIRST_ROOM = 1024
Bytes = NDArray[np.int8]


class Visits(NamedTuple):
    """Flats that are to be tried on series: one after the other, spans of ``flats`` and of the columns' ``ground``."""

    flats: Ints
    spans: Ints
    """(visits, 4): where the flats of each visit begin and end, and where its places do"""


class Conditions:
    """Tests by the number of a flat."""

    def __init__(self) -> None:
        self._tests = Table((Column("name", np.uint64), Column("code", np.int8), Column("value", np.uint64)))
        self._flats = Table((Column("first", np.int64), Column("tests", np.int64), Column("tried", np.bool_)))
        self._used = 0
        self._free: dict[int, list[int]] = {}
        """places in ``_tests`` by how many tests were there"""
        self._tried: Numbering[str] = Numbering()
        """matchers that no kernel can do, as text: their numbers are the values of these tests"""
        self._matchers: list[Matcher] = []
        """by these numbers"""

    def put(self, flats: Sequence[int], addresses: Sequence[Address]) -> None:
        """Let flats ask what stands at these addresses."""
        sizes = np.array([len(address.tests) for address in addresses])
        firsts = self._room(sizes)
        self._tests.reserve(self._used)
        at = np.repeat(firsts - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        tests, values = [address.columns for address in addresses], self._tests["value"]
        self._tests["name"][at] = np.concatenate([one.names for one in tests])
        self._tests["code"][at] = np.concatenate([one.codes for one in tests])
        values[at] = np.concatenate([one.values for one in tests])
        for first, address in zip(firsts.tolist(), addresses, strict=True):
            for place, text, matcher in address.tried:
                values[first + place] = self._number(text, matcher)
        self._flats.reserve(max(flats) + 1)
        self._flats["first"][flats], self._flats["tests"][flats] = firsts, sizes
        self._flats["tried"][flats] = [bool(address.tried) for address in addresses]

    def _room(self, sizes: Ints) -> Ints:
        """Where so many tests of each of ``n`` flats find room in a row."""
        if not self._free:
            firsts = self._used + np.cumsum(sizes) - sizes
            self._used += int(sizes.sum())
            return firsts
        found: list[int] = []
        for size in sizes.tolist():
            free = self._free.get(size)
            if free:
                found.append(free.pop())
            else:
                found.append(self._used)
                self._used += size
        return np.array(found)

    def _number(self, text: str, matcher: Matcher) -> int:
        number = self._tried.join(text)
        if number == len(self._matchers):
            self._matchers.append(matcher)
        self._matchers[number] = matcher
        return number

    def drop(self, flat: int) -> None:
        """Forget a flat."""
        first, size = int(self._flats["first"][flat]), int(self._flats["tests"][flat])
        for at in range(first, first + size):
            if self._tests["code"][at] == TRIED:
                self._tried.leave(int(self._tests["value"][at]))
        self._free.setdefault(size, []).append(first)

    def fulfilled(self, columns: LabelColumns, visits: Visits) -> tuple[Ints, Ints]:
        """Pairs of a flat and the place of a series that fulfils all that it asks, visit by visit; (n,) both."""
        tests, flats = self._tests, self._flats
        found, place = _compare(
            visits.flats, visits.spans, columns.ground, flats["first"], flats["tests"],
            tests["name"], tests["code"], tests["value"], columns.name_hashes, columns.hashes,
        )  # fmt: skip
        tried = flats["tried"][found]
        if not tried.any():
            return found, place
        at = np.flatnonzero(tried)
        tried[at] = ~self._try(columns, found[at], place[at])
        return found[~tried], place[~tried]

    def _try(self, columns: LabelColumns, found: Ints, places: Ints) -> NDArray[np.bool_]:
        """Which of these pairs fulfil what is left to be tried; (n,)."""
        tests, flats = self._tests, self._flats
        seen = np.zeros(len(self._matchers), np.bool_)
        _look(found, flats["first"], flats["tests"], tests["code"], tests["value"], seen)
        numbers = np.flatnonzero(seen).tolist()
        matchers = [self._matchers[number] for number in numbers]
        asked_of = [columns[matcher.name] for matcher in matchers]
        asked_for = zip(asked_of, (self._tried.names[number] for number in numbers), matchers, strict=True)
        known = [column.verdicts(text, matcher) for column, text, matcher in asked_for]
        ends = np.cumsum([len(verdicts) for verdicts in known])
        firsts = [0, *ends[:-1].tolist()]
        of_number = np.zeros((2, len(seen)), np.int64)
        of_number[0, numbers], of_number[1, numbers] = firsts, columns.rows_of([matcher.name for matcher in matchers])
        verdicts, codes = np.concatenate(known), columns.codes
        arguments = (
            found, places, flats["first"], flats["tests"], tests["code"], tests["value"], of_number, codes, verdicts,
        )  # fmt: skip
        asked, kept = _judge(*arguments)
        if not len(asked):
            return kept
        touched: dict[int, None] = {}
        for at in asked.tolist():
            which = bisect_right(firsts, at) - 1
            verdicts[at] = matchers[which].matches(asked_of[which].values[at - firsts[which]])
            touched[which] = None
        for which in touched:
            known[which][:] = verdicts[firsts[which] : firsts[which] + len(known[which])]
        return _judge(*arguments)[1]


@njit(cache=True)
def _compare(
    flats: Ints, spans: Ints, ground: Ints, firsts: Ints, sizes: Ints, names: NDArray[np.uint64], codes: Bytes,
    values: NDArray[np.uint64], label_names: NDArray[np.uint64], hashes: NDArray[np.uint64],
) -> tuple[Ints, Ints]:  # fmt: skip
    """Pairs of flat and place that fulfil all comparisons."""
    found, places, n = np.empty(_FIRST_ROOM, np.int64), np.empty(_FIRST_ROOM, np.int64), 0
    rows, wanted = np.empty(MAX_MATCHERS, np.int64), np.empty(MAX_MATCHERS, np.uint64)
    equal = np.empty(MAX_MATCHERS, np.bool_)
    for visit in range(spans.shape[0]):
        begin, end = spans[visit, 2], spans[visit, 3]
        for at in range(spans[visit, 0], spans[visit, 1]):
            flat, tests = flats[at], 0
            possible = True
            for test in range(firsts[flat], firsts[flat] + sizes[flat]):
                if codes[test] == TRIED:
                    continue
                row = 0
                while row < label_names.shape[0] and label_names[row] != names[test]:
                    row += 1
                if row == label_names.shape[0]:  # no series has it
                    possible &= (values[test] == np.uint64(0)) == (codes[test] == EQUAL)
                    continue
                rows[tests], wanted[tests], equal[tests] = row, values[test], codes[test] == EQUAL
                tests += 1
            if not possible:
                continue
            for spot in range(begin, end):
                place = ground[spot]
                test = 0
                while test < tests and (hashes[rows[test], place] == wanted[test]) == equal[test]:
                    test += 1
                if test < tests:
                    continue
                if n == found.shape[0]:
                    more_found, more_places = np.empty(2 * n, np.int64), np.empty(2 * n, np.int64)
                    more_found[:n], more_places[:n] = found, places
                    found, places = more_found, more_places
                found[n], places[n] = flat, place
                n += 1
    return found[:n], places[:n]


@njit(cache=True)
def _look(
    found: Ints, firsts: Ints, sizes: Ints, codes: Bytes, values: NDArray[np.uint64], seen: NDArray[np.bool_]
) -> None:
    """Mark the numbers of the matchers that these flats want to be tried."""
    before = -1
    for i in range(found.shape[0]):
        if found[i] != before:
            before = found[i]
            for test in range(firsts[before], firsts[before] + sizes[before]):
                if codes[test] == TRIED:
                    seen[np.int64(values[test])] = True


@njit(cache=True)
def _judge(
    found: Ints, places: Ints, firsts: Ints, sizes: Ints, codes: Bytes, values: NDArray[np.uint64], of_number: Ints,
    label_codes: Any, verdicts: Bytes,
) -> tuple[Ints, NDArray[np.bool_]]:  # fmt: skip
    """Where verdicts are missing, which are marked as asked for; and which pairs fulfil what is known so far."""
    asked, n = np.empty(64, np.int64), 0
    kept = np.ones(found.shape[0], np.bool_)
    for i in range(found.shape[0]):
        flat = found[i]
        for test in range(firsts[flat], firsts[flat] + sizes[flat]):
            if codes[test] != TRIED:
                continue
            number = np.int64(values[test])
            at = of_number[0, number] + label_codes[of_number[1, number], places[i]]
            if verdicts[at] == UNKNOWN:
                verdicts[at] = _ASKED
                if n == asked.shape[0]:
                    more = np.empty(2 * n, np.int64)
                    more[:n] = asked
                    asked = more
                asked[n] = at
                n += 1
            elif verdicts[at] == 0:
                kept[i] = False
                break
    return asked[:n], kept
