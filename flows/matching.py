"""Which detectors want which series, for many of both at a time.

Each selector has *homes*: values of one label, or beginnings of values, that every series of its choice must have. So
most pairs of selector and series are never looked at. The remaining matchers are tried once per value of a label, not
once per series (``label_columns``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from flows.config import CompiledDetector
from flows.detectors.base import Ints
from flows.label_columns import LabelColumn, LabelColumns
from flows.pattern import homes_of
from flows.selector import Matcher, Op, Selector

EVERYONE = ""
"""The home of selectors that could choose any series."""
_ORDER = {Op.EQUAL: 0, Op.NOT_EQUAL: 1, Op.REGEX: 2, Op.NOT_REGEX: 3}


class Wish(NamedTuple):
    """What one selector of a detector asks of the series in one of its homes."""

    number: int
    tests: tuple[Matcher, ...]


class Street(NamedTuple):
    """Homes in one label: by the text that a value is (``exact``), or begins with."""

    name: str
    exact: bool


Home = dict[tuple[int, int], Wish]
"""Wishes by number of the detector and of its selector."""


class Matching:
    """Detectors of one tenant, by number."""

    def __init__(self) -> None:
        self._streets: dict[Street, dict[str, Home]] = {}
        self._addresses: dict[int, list[tuple[Street, str, tuple[int, int]]]] = {}
        self._names: Counter[str] = Counter()
        self._named: dict[int, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._addresses)

    @property
    def names(self) -> Iterable[str]:
        """Labels that matchers look at."""
        return self._names.keys()

    def add(self, number: int, detector: CompiledDetector) -> None:
        """Let the series that this detector watches be found under its number."""
        self._addresses[number] = []
        for role, selector in enumerate(detector.watches):
            street, texts, tests = self._home(selector)
            for text in texts:
                home = self._streets.setdefault(street, {}).setdefault(text, {})
                home[number, role] = Wish(number, tests)
                self._addresses[number].append((street, text, (number, role)))
        self._named[number] = tuple(m.name for selector in detector.watches for m in selector.matchers)
        self._names.update(self._named[number])

    def remove(self, number: int) -> None:
        """Forget a detector."""
        for street, text, key in self._addresses.pop(number):
            homes = self._streets[street]
            del homes[text][key]
            if not homes[text]:
                del homes[text]
            if not homes:
                del self._streets[street]
        self._names -= Counter(self._named.pop(number))

    def wanted(self, columns: LabelColumns) -> dict[int, Ints]:
        """By number of the detector: which of the series it watches, ascending; detectors of none are left out."""
        found: dict[int, list[Ints]] = {}
        for home, places in self._occupied(columns):
            for wish in home.values():
                chosen = _chosen(wish.tests, columns, places)
                if len(chosen):
                    found.setdefault(wish.number, []).append(chosen)
        return {number: parts[0] if len(parts) == 1 else _union(parts) for number, parts in found.items()}

    def _home(self, selector: Selector) -> tuple[Street, tuple[str, ...], tuple[Matcher, ...]]:
        """Street and texts of the homes of a selector, and the matchers to be tried on who lives there."""
        equal = [m for m in selector.matchers if m.op is Op.EQUAL and m.value]
        if equal:
            least = min(equal, key=lambda m: len(self._streets.get(Street(m.name, True), {}).get(m.value, ())))
            return Street(least.name, True), (least.value,), _tests(selector, least)
        for matcher in selector.matchers:
            homes = homes_of(matcher.value) if matcher.op is Op.REGEX else ()
            if homes:
                exact = all(home.exact for home in homes)
                texts = tuple(dict.fromkeys(home.text for home in homes))
                return Street(matcher.name, exact), texts, _tests(selector, matcher if exact else None)
        return Street(EVERYONE, True), (EVERYONE,), _tests(selector, None)

    def _occupied(self, columns: LabelColumns) -> Iterator[tuple[Home, Ints]]:
        """Homes with the series that live there."""
        for street, homes in self._streets.items():
            if street.name == EVERYONE and EVERYONE in homes:
                yield homes[EVERYONE], np.arange(columns.size)
            column = columns[street.name]
            occupied = _exactly(homes, column) if street.exact else _beginning(homes, column)
            for text, places in occupied:
                yield homes[text], places


def _tests(selector: Selector, told: Matcher | None) -> tuple[Matcher, ...]:
    return tuple(sorted((m for m in selector.matchers if m is not told), key=lambda m: _ORDER[m.op]))


def _exactly(homes: Mapping[str, Home], column: LabelColumn) -> Iterator[tuple[str, Ints]]:
    numbers = column.numbers
    texts = homes if len(homes) < len(numbers) else numbers
    for text in texts:
        if text and text in homes and text in numbers:
            yield text, column.places(numbers[text])


def _beginning(homes: Mapping[str, Home], column: LabelColumn) -> Iterator[tuple[str, Ints]]:
    if len(homes) < len(column.values):
        for text in homes:
            codes = column.beginning_with(text)
            if codes:
                yield text, column.places_of(codes)
        return
    lengths = sorted({len(text) for text in homes})
    codes_of: dict[str, list[int]] = {}
    for value, code in column.numbers.items():
        for length in lengths:
            if length > len(value):
                break
            if value[:length] in homes:
                codes_of.setdefault(value[:length], []).append(code)
    for text, codes in codes_of.items():
        yield text, column.places_of(codes)


def _chosen(tests: Iterable[Matcher], columns: LabelColumns, places: Ints) -> Ints:
    """Which of these series fulfil all conditions."""
    for matcher in tests:
        if not len(places):
            break
        places = columns[matcher.name].choose(matcher, places)
    return places


def _union(parts: list[Ints]) -> Ints:
    return np.unique(np.concatenate(parts))
