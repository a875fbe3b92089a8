"""Which detectors want which series, for many of both at a time.

Each selector has *homes*: values of one label, or beginnings of values, that every series of its choice must have
(``homes``). So most pairs of selector and series are never looked at. The remaining matchers are tried once per value
of a label, not once per series (``label_columns``).
"""

from __future__ import annotations

from collections import Counter
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
PLACE_BITS, PLACE_MASK = 32, (1 << 32) - 1
Tests = tuple[Matcher, ...]


class Flat:
    """What one selector asks of who lives at its address, and the detectors that have it: their numbers and roles."""

    __slots__ = ("_high", "address", "addresses", "keys")

    def __init__(self, address: Address, addresses: tuple[Address, ...]) -> None:
        self.address, self.addresses = address, addresses
        self.keys: dict[tuple[int, int], None] = {}
        self._high: Ints | None = None

    def add(self, key: tuple[int, int]) -> None:
        """One more asks."""
        self.keys[key] = None
        self._high = None

    def remove(self, key: tuple[int, int]) -> None:
        """One asks no more."""
        del self.keys[key]
        self._high = None

    @property
    def high(self) -> Ints:
        """Numbers of the detectors in the high half of a pair."""
        if self._high is None:
            self._high = np.array([number for number, _ in self.keys], np.int64) << PLACE_BITS
        return self._high

    @property
    def names(self) -> set[str]:
        """Labels that the selector looks at."""
        return {self.address.street.name, *(matcher.name for matcher in self.address.tests)} - {EVERYONE}


Home = dict[int, Flat]
"""By the identity of the addresses: equal selectors have the same (``flows.homes``), and to hash them takes long."""


class Wanted(NamedTuple):
    """Pairs of a detector's number and the place of a series that it watches, ascending, each once; (n,) both."""

    numbers: Ints
    places: Ints

    @classmethod
    def of(cls, parts: list[Ints]) -> Wanted:
        """Of pairs that hold the number in their high half, in any order."""
        pairs = np.unique(np.concatenate(parts)) if parts else NOBODY
        return cls(pairs >> PLACE_BITS, pairs & PLACE_MASK)


class Matching:
    """Detectors of one tenant, by number."""

    def __init__(self) -> None:
        self._streets: dict[Street, dict[str, Home]] = {}
        self._flats: dict[int, Flat] = {}
        """by the identity of a selector's addresses, which flats keep: who has the selector of another is soon added"""
        self._places: dict[int, list[Flat]] = {}
        """by the number of a detector, one for each role"""
        self._names: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def numbers(self) -> Iterable[int]:
        """Of the detectors that are there."""
        return self._places.keys()

    @property
    def names(self) -> Iterable[str]:
        """Labels that matchers look at."""
        return self._names.keys()

    def add(self, number: int, detector: CompiledDetector) -> None:
        """Let the series that this detector watches be found under its number."""
        mine: list[Flat] = []
        for role, addresses in enumerate(detector.addresses):
            flat = self._flats.get(id(addresses))
            if flat is None:
                flat = self._settle(addresses)
            flat.add((number, role))
            mine.append(flat)
        self._places[number] = mine

    def _settle(self, addresses: tuple[Address, ...]) -> Flat:
        """A flat for a selector that nobody has yet."""
        address = addresses[0] if len(addresses) == 1 else self._quietest(addresses)
        flat = self._flats[id(addresses)] = Flat(address, addresses)
        homes = self._streets.setdefault(address.street, {})
        for text in address.texts:
            homes.setdefault(text, {})[id(addresses)] = flat
        self._names.update(flat.names)
        return flat

    def remove(self, number: int) -> None:
        """Forget a detector."""
        for role, flat in enumerate(self._places.pop(number)):
            flat.remove((number, role))
            if not flat.keys:
                self._leave(flat)

    def _leave(self, flat: Flat) -> None:
        """Nobody has its selector any more."""
        del self._flats[id(flat.addresses)]
        homes = self._streets[flat.address.street]
        for text in flat.address.texts:
            del homes[text][id(flat.addresses)]
            if not homes[text]:
                del homes[text]
        if not homes:
            del self._streets[flat.address.street]
        self._names.subtract(flat.names)
        for name in flat.names:
            if not self._names[name]:
                del self._names[name]

    def wanted(self, columns: LabelColumns) -> Wanted:
        """Who watches which of these series."""
        found: list[Ints] = []
        for home, places in self._occupied(columns):
            choices = _tried(home, columns, places) if len(places) <= FEW else _chosen_by(home, columns, places)
            found += [(flat.high[:, None] | chosen).ravel() for flat, chosen in choices]
        return Wanted.of(found)

    def wanted_by(self, numbers: Iterable[int], columns: LabelColumns) -> Wanted:
        """The same for these detectors, where they are few."""
        mine: list[int] = []
        found: list[Ints] = []
        for number in sorted(numbers):
            first, *others = self._places[number]
            chosen = _chosen_of(first, columns)
            if others:
                chosen = np.unique(np.concatenate([chosen, *(_chosen_of(other, columns) for other in others)]))
            if len(chosen):
                mine.append(number)
                found.append(chosen)
        if not found:
            return Wanted(NOBODY, NOBODY)
        return Wanted(np.repeat(mine, [len(chosen) for chosen in found]), np.concatenate(found))

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


def _chosen_of(flat: Flat, columns: LabelColumns) -> Ints:
    """Series of its homes that fulfil its conditions, ascending."""
    chosen = columns.choices.get(flat.addresses)
    if chosen is None:
        street, texts, tests = flat.address
        found = [_chosen(tests, columns, _living(street, text, columns)) for text in texts]
        chosen = found[0] if len(found) == 1 else np.unique(np.concatenate(found))
        columns.choices.keep(flat.addresses, chosen)
    return chosen


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


def _tried(home: Home, columns: LabelColumns, places: Ints) -> Iterator[tuple[Flat, Ints]]:
    """Which of these few series fulfil the conditions of each flat, one by one."""
    for at in places.tolist():
        labels, alone = columns.labels(at), np.array([at])
        for flat in home.values():
            if all(matcher.matches(labels.get(matcher.name, "")) for matcher in flat.address.tests):
                yield flat, alone


def _chosen_by(home: Home, columns: LabelColumns, places: Ints) -> Iterator[tuple[Flat, Ints]]:
    """The same of many."""
    for flat in home.values():
        chosen = _chosen(flat.address.tests, columns, places)
        if len(chosen):
            yield flat, chosen


def _chosen(tests: Tests, columns: LabelColumns, places: Ints) -> Ints:
    """Which of these series fulfil all conditions."""
    for matcher in tests:
        if not len(places):
            break
        places = columns[matcher.name].choose(matcher, places)
    return places
