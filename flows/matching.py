"""Which detectors want which series, for many of both at a time.

Each selector has *homes*: values of one label, or beginnings of values, that every series of its choice must have
(``homes``). So most pairs of selector and series are never looked at. What it asks besides of who lives at its address
is a *flat*; detectors with equal selectors share one. Flats are tried many at a time (``conditions``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from connectors.codec.compiled import njit
from flows.choices import Choices
from flows.conditions import Conditions, Visits
from flows.config import CompiledDetector
from flows.detectors.base import Column, Ints, Table
from flows.homes import EVERYONE, Address
from flows.homes import Street as StreetName
from flows.label_columns import LabelColumn, LabelColumns, Site

NOBODY = np.zeros(0, np.int64)
PLACE_BITS, PLACE_MASK = 32, (1 << 32) - 1
Addresses = tuple[Address, ...]


class Asking(NamedTuple):
    """What detectors that come together ask for; the same for the blocks of all partitions.

    Selectors by the identities of their addresses: equal ones have the same (``flows.homes``), and to hash them takes
    long.
    """

    first: tuple[int, ...]
    """of the first role of each detector"""
    others: tuple[tuple[int, tuple[int, ...]], ...]
    """which of the detectors have further roles, and of these"""
    selectors: dict[int, Addresses]

    @classmethod
    def of(cls, detectors: Sequence[CompiledDetector]) -> Asking:
        """Of these detectors, in their order."""
        asked = [detector.addresses for detector in detectors]
        others = ((at, tuple(map(id, mine[1:]))) for at, mine in enumerate(asked) if len(mine) > 1)
        selectors = {id(addresses): addresses for mine in asked for addresses in mine}
        return cls(tuple(id(mine[0]) for mine in asked), tuple(others), selectors)


class Home:
    """Where flats are: one value of a label, or one beginning of values."""

    __slots__ = ("_column", "flats")

    def __init__(self) -> None:
        self.flats: dict[int, None] = {}
        self._column: Ints | None = None

    def add(self, flat: int) -> None:
        """One more."""
        self.flats[flat] = None
        self._column = None

    def remove(self, flat: int) -> None:
        """One less."""
        del self.flats[flat]
        self._column = None

    @property
    def column(self) -> Ints:
        """Its flats."""
        if self._column is None:
            self._column = np.fromiter(self.flats, np.int64, len(self.flats))
        return self._column


Street = dict[str, Home]


class Wanted(NamedTuple):
    """Pairs of a detector's number and the place of a series that it watches, ascending, each once; (n,) both."""

    numbers: Ints
    places: Ints

    @classmethod
    def of(cls, pairs: Ints) -> Wanted:
        """Of pairs that hold the number in their high half, in any order."""
        pairs = np.unique(pairs)
        return cls(pairs >> PLACE_BITS, pairs & PLACE_MASK)


class Matching:
    """Detectors of one tenant, by number."""

    def __init__(self) -> None:
        self._streets: dict[StreetName, Street] = {}
        self._flats: dict[int, int] = {}
        """by the identity of a selector's addresses: who has the selector of another is soon added"""
        self._selectors: list[tuple[Addresses, Address]] = []
        """by flat: its addresses, which are kept so that their identity stays theirs, and that which it is at"""
        self._vacant: list[int] = []
        self._conditions = Conditions()
        self._asking = Table((Column("detectors", np.int64),))
        """by flat"""
        self._detectors = Table((Column("flat", np.int64),))
        """by number, one more than that of its first role, 0 for none"""
        self._others: dict[int, list[int]] = {}
        """by number, flats of further roles"""
        self._names: Counter[frozenset[str]] = Counter()
        self._size = 0
        self._residents: tuple[Ints, Ints] | None = None
        self._choices: tuple[LabelColumns | None, Choices] = None, Choices()

    def __len__(self) -> int:
        return self._size

    @property
    def numbers(self) -> Iterable[int]:
        """Of the detectors that are there."""
        return map(int, np.flatnonzero(self._detectors["flat"]))

    @property
    def names(self) -> Iterable[str]:
        """Labels that matchers look at."""
        return frozenset().union(*self._names)

    def add(self, number: int, detector: CompiledDetector) -> None:
        """Let the series that this detector watches be found under its number."""
        self.add_all(np.array([number]), Asking.of([detector]))

    def add_all(self, numbers: Ints, asking: Asking) -> None:
        """The same of many, (n,)."""
        known = self._flats
        new = [addresses for key, addresses in asking.selectors.items() if key not in known]
        if new:
            self._settle(new)
        flats = list(map(known.__getitem__, asking.first))
        self._detectors.reserve(int(numbers.max()) + 1)
        self._detectors["flat"][numbers] = np.array(flats) + 1
        for at, more in asking.others:
            mine = self._others[int(numbers[at])] = list(map(known.__getitem__, more))
            flats += mine
        np.add.at(self._asking["detectors"], flats, 1)
        self._size += len(numbers)
        self._residents = None

    def _settle(self, new: Sequence[Addresses]) -> None:
        """Flats for selectors that nobody has yet."""
        flats: list[int] = []
        chosen: list[Address] = []
        for addresses in new:
            address = addresses[0] if len(addresses) == 1 else self._quietest(addresses)
            if self._vacant:
                flat = self._vacant.pop()
                self._selectors[flat] = addresses, address
            else:
                flat = len(self._selectors)
                self._selectors.append((addresses, address))
            self._flats[id(addresses)] = flat
            self._move_in(flat, address)
            flats.append(flat)
            chosen.append(address)
        self._conditions.put(flats, chosen)
        self._names.update([address.names for address in chosen])
        self._asking.reserve(len(self._selectors))

    def _move_in(self, flat: int, address: Address) -> None:
        homes = self._streets.get(address.street)
        if homes is None:
            homes = self._streets[address.street] = {}
        for text in address.texts:
            home = homes.get(text)
            if home is None:
                home = homes[text] = Home()
            home.add(flat)

    def remove(self, number: int) -> None:
        """Forget a detector."""
        flats = self._detectors["flat"]
        if number >= len(flats) or not flats[number]:
            raise KeyError(number)
        for flat in (int(flats[number]) - 1, *self._others.pop(number, ())):
            self._asking["detectors"][flat] -= 1
            if not self._asking["detectors"][flat]:
                self._leave(flat)
        flats[number] = 0
        self._size -= 1
        self._residents = None

    def _leave(self, flat: int) -> None:
        """Nobody has its selector any more."""
        addresses, address = self._selectors[flat]
        del self._flats[id(addresses)]
        self._conditions.drop(flat)
        self._choices[1].forget(flat)
        homes = self._streets[address.street]
        for text in address.texts:
            homes[text].remove(flat)
            if not homes[text].flats:
                del homes[text]
        if not homes:
            del self._streets[address.street]
        self._names[address.names] -= 1
        if not self._names[address.names]:
            del self._names[address.names]
        self._vacant.append(flat)

    def wanted(self, columns: LabelColumns) -> Wanted:
        """Who watches which of these series."""
        flats: list[Ints] = []
        spans: list[tuple[int, int, int, int]] = []
        n = 0
        for home, begin, end in self._occupied(columns):
            mine = home.column
            flats.append(mine)
            spans.append((n, n + len(mine), begin, end))
            n += len(mine)
        if not spans:
            return Wanted(NOBODY, NOBODY)
        found, places = self._conditions.fulfilled(columns, Visits(np.concatenate(flats), np.array(spans)))
        return Wanted.of(_spread(found, places, *self._detectors_of_flats()))

    def _detectors_of_flats(self) -> tuple[Ints, Ints]:
        """Numbers of the detectors flat by flat, and where those of each flat begin; one more at the end."""
        if self._residents is None:
            numbers = np.flatnonzero(self._detectors["flat"])
            flats = self._detectors["flat"][numbers] - 1
            more = [(number, flat) for number, mine in self._others.items() for flat in mine]
            if more:
                numbers, flats = (np.concatenate(both) for both in zip((numbers, flats), np.array(more).T, strict=True))
            starts = np.concatenate([[0], np.cumsum(np.bincount(flats, minlength=len(self._selectors)))])
            self._residents = numbers[np.argsort(flats, kind="stable")], starts
        return self._residents

    def wanted_by(self, numbers: Iterable[int], columns: LabelColumns) -> Wanted:
        """The same for these detectors, where they are few."""
        mine = np.array(sorted(numbers), np.int64)
        flats = self._detectors["flat"][mine] - 1
        more = [(number, flat) for number in mine.tolist() for flat in self._others.get(number, ())]
        if more:
            mine, flats = (np.concatenate(both) for both in zip((mine, flats), np.array(more).T, strict=True))
        choices = self._choices_of(columns)
        unknown = choices.unknown(flats)
        if len(unknown):
            choices.keep(unknown, *self._chosen_by(unknown, columns))
        sizes, places = choices.of(flats)
        if more:  # a series may have several roles with a detector
            return Wanted.of(np.repeat(mine, sizes) << PLACE_BITS | places)
        return Wanted(np.repeat(mine, sizes), places)

    def _choices_of(self, columns: LabelColumns) -> Choices:
        if self._choices[0] is not columns:
            self._choices = columns, Choices()
        return self._choices[1]

    def forget_choices(self) -> None:
        """Free what is remembered of the series that were asked about last."""
        self._choices = None, Choices()

    @property
    def size_bytes(self) -> int:
        """Memory of what is remembered of them."""
        return self._choices[1].size_bytes

    def _chosen_by(self, flats: Ints, columns: LabelColumns) -> tuple[Ints, Ints]:
        """Pairs of one of these flats, ascending, and a place that it chooses, ascending, each once."""
        spans: list[tuple[int, int, int, int]] = []
        sites: dict[StreetName, Site] = {}
        for at, flat in enumerate(flats.tolist()):
            address = self._selectors[flat][1]
            site = sites.get(address.street)
            if site is None:
                site = sites[address.street] = columns.site(address.street)
            start, living = site
            for text in address.texts:
                begin, end = living(text)
                if end > begin:
                    spans.append((at, at + 1, start + begin, start + end))
        if not spans:
            return NOBODY, NOBODY
        found, places = self._conditions.fulfilled(columns, Visits(flats, np.array(spans)))
        chosen = Wanted.of(found << PLACE_BITS | places)
        return chosen.numbers, chosen.places

    def _quietest(self, addresses: Addresses) -> Address:
        """That with the fewest others in the home; each has one."""
        return min(addresses, key=lambda one: self._neighbours(one.street, one.texts[0]))

    def _neighbours(self, street: StreetName, text: str) -> int:
        home = self._streets.get(street, {}).get(text)
        return 0 if home is None else len(home.flats)

    def _occupied(self, columns: LabelColumns) -> Iterator[tuple[Home, int, int]]:
        """Homes with the series that live there: where these begin and end in the ground of the columns."""
        for street, homes in self._streets.items():
            start, living = columns.site(street)
            for text in _inhabited(street, homes, columns[street.name]):
                begin, end = living(text)
                if end > begin:
                    yield homes[text], start + begin, start + end


def _inhabited(street: StreetName, homes: Mapping[str, Home], column: LabelColumn) -> Iterable[str]:
    """Homes of a street where somebody may live: looked for from whichever side is smaller."""
    if street.name == EVERYONE or len(homes) < len(column.values):
        return list(homes)
    if street.exact:
        return [text for text in column.values if text in homes]
    lengths = sorted({len(text) for text in homes})
    return {value[:length] for value in column.values for length in lengths if value[:length] in homes}


@njit(cache=True)
def _spread(flats: Ints, places: Ints, numbers: Ints, starts: Ints) -> Ints:
    """Pairs of flat and place to pairs of a detector's number, in the high half, and place."""
    n = 0
    for i in range(flats.shape[0]):
        n += starts[flats[i] + 1] - starts[flats[i]]
    pairs = np.empty(n, np.int64)
    n = 0
    for i in range(flats.shape[0]):
        for at in range(starts[flats[i]], starts[flats[i] + 1]):
            pairs[n] = numbers[at] << PLACE_BITS | places[i]
            n += 1
    return pairs
