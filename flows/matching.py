"""Which detectors want which series, for many of both at a time.

Each selector has *homes*: values of one label, or beginnings of values, that every series of its choice must have
(``homes``). So most pairs of selector and series are never looked at. The remaining matchers are tried once per value
of a label, not once per series (``label_columns``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from flows.config import CompiledDetector
from flows.detectors.base import Ints
from flows.homes import EVERYONE, Address, Street
from flows.label_columns import LabelColumn, LabelColumns
from flows.selector import Matcher

FEW = 4
"""So few series are looked at one by one: columns pay for more."""
NOBODY = np.zeros(0, np.int64)
Tests = tuple[Matcher, ...]
Home = dict[tuple[int, int], Tests]
"""What is asked of who lives there, by number of the detector and of its selector."""


class Place(NamedTuple):
    """One home of one selector of a detector."""

    street: Street
    text: str
    tests: Tests
    key: tuple[int, int]


class Matching:
    """Detectors of one tenant, by number."""

    def __init__(self) -> None:
        self._streets: dict[Street, dict[str, Home]] = {}
        self._places: dict[int, list[Place]] = {}
        self._names: dict[str, int] = {}
        self._named: dict[int, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._places)

    @property
    def names(self) -> Iterable[str]:
        """Labels that matchers look at."""
        return self._names.keys()

    def add(self, number: int, detector: CompiledDetector) -> None:
        """Let the series that this detector watches be found under its number."""
        mine = self._places[number] = []
        for role, addresses in enumerate(detector.addresses):
            street, texts, tests = addresses[0] if len(addresses) == 1 else self._quietest(addresses)
            homes, key = self._streets.setdefault(street, {}), (number, role)
            for text in texts:
                homes.setdefault(text, {})[key] = tests
                mine.append(Place(street, text, tests, key))
        self._named[number] = detector.names
        for name in detector.names:
            self._names[name] = self._names.get(name, 0) + 1

    def remove(self, number: int) -> None:
        """Forget a detector."""
        for street, text, _, key in self._places.pop(number):
            homes = self._streets[street]
            del homes[text][key]
            if not homes[text]:
                del homes[text]
            if not homes:
                del self._streets[street]
        for name in self._named.pop(number):
            self._names[name] -= 1
            if not self._names[name]:
                del self._names[name]

    def wanted(self, columns: LabelColumns) -> dict[int, Ints]:
        """By number of the detector: which of the series it watches, ascending; detectors of none are left out."""
        found: dict[int, list[Ints]] = {}
        for home, places in self._occupied(columns):
            choices = _tried(home, columns, places) if len(places) <= FEW else _chosen_by(home, columns, places)
            for number, chosen in choices:
                found.setdefault(number, []).append(chosen)
        return {number: _union(parts) for number, parts in found.items()}

    def wanted_by(self, numbers: Iterable[int], columns: LabelColumns) -> dict[int, Ints]:
        """The same for these detectors, where they are few."""
        found: dict[int, Ints] = {}
        for number in numbers:
            parts = [
                chosen
                for street, text, tests, _ in self._places[number]
                if len(chosen := _chosen(tests, columns, _living(street, text, columns)))
            ]
            if parts:
                found[number] = _union(parts)
        return found

    def _quietest(self, addresses: tuple[Address, ...]) -> Address:
        """That with the fewest others in the home; each has one."""
        return min(addresses, key=lambda one: len(self._streets.get(one.street, {}).get(one.texts[0], ())))

    def _occupied(self, columns: LabelColumns) -> Iterator[tuple[Home, Ints]]:
        """Homes with the series that live there."""
        for street, homes in self._streets.items():
            if street.name == EVERYONE and EVERYONE in homes:
                yield homes[EVERYONE], np.arange(columns.size)
            column = columns[street.name]
            occupied = _exactly(homes, column) if street.exact else _beginning(homes, column)
            for text, places in occupied:
                yield homes[text], places


def _living(street: Street, text: str, columns: LabelColumns) -> Ints:
    """Series that live in a home."""
    if street.name == EVERYONE:
        return np.arange(columns.size)
    column = columns[street.name]
    if street.exact:
        code = column.numbers.get(text)
        return NOBODY if code is None or not text else column.places(code)
    codes = column.beginning_with(text)
    return column.places_of(codes) if codes else NOBODY


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


def _tried(home: Home, columns: LabelColumns, places: Ints) -> Iterator[tuple[int, Ints]]:
    """By number of the detector: which of these few series fulfil its conditions, one by one."""
    for at in places.tolist():
        labels, alone = columns.labels(at), np.array([at])
        for (number, _), tests in home.items():
            if all(matcher.matches(labels.get(matcher.name, "")) for matcher in tests):
                yield number, alone


def _chosen_by(home: Home, columns: LabelColumns, places: Ints) -> Iterator[tuple[int, Ints]]:
    """The same of many."""
    for (number, _), tests in home.items():
        chosen = _chosen(tests, columns, places)
        if len(chosen):
            yield number, chosen


def _chosen(tests: Tests, columns: LabelColumns, places: Ints) -> Ints:
    """Which of these series fulfil all conditions."""
    for matcher in tests:
        if not len(places):
            break
        places = columns[matcher.name].choose(matcher, places)
    return places


def _union(parts: list[Ints]) -> Ints:
    return parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))
