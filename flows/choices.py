"""Which series flats chose (``flows.matching``), for those who choose alike: equal selectors come again and again."""

from __future__ import annotations

import numpy as np

from connectors.codec.compiled import njit
from flows.detectors.base import Column, Ints, Table

MAX_CHOSEN, CHOICE_PLACES = 1 << 20, 32
"""Places that are remembered for selectors that come again, 8 MB; each choice counts as so many more."""


class Choices:
    """Places by the number of a flat; at most ``MAX_CHOSEN``."""

    def __init__(self) -> None:
        self._flats = Table((Column("known", np.bool_), Column("first", np.int64), Column("places", np.int64)))
        self._places = Table((Column("place", np.int64),))
        self._used = 0
        self.cost = 0

    def unknown(self, flats: Ints) -> Ints:
        """Those of these flats of which it is not known what they chose, ascending, each once.

        These are all where too much was known of others, which is forgotten.
        """
        self._flats.reserve(int(flats.max(initial=-1)) + 1)
        if self.cost > MAX_CHOSEN:
            self.forget_all()
        return np.unique(flats[~self._flats["known"][flats]])

    def keep(self, flats: Ints, found: Ints, places: Ints) -> None:
        """Remember what these flats chose: ``found`` (n,) flats among them, ascending, and ``places`` (n,)."""
        first, self._used = self._used, self._used + len(places)
        self._places.reserve(self._used)
        self._places["place"][first : self._used] = places
        starts = np.searchsorted(found, flats)
        self._flats["known"][flats] = True
        self._flats["first"][flats] = first + starts
        self._flats["places"][flats] = np.searchsorted(found, flats, "right") - starts
        self.cost += len(places) + CHOICE_PLACES * len(flats)

    def of(self, flats: Ints) -> tuple[Ints, Ints]:
        """How many places each of these flats chose, which must be known, and the places, flat by flat."""
        sizes = self._flats["places"][flats]
        return sizes, _gathered(self._flats["first"][flats], sizes, self._places["place"])

    def forget(self, flat: int) -> None:
        """A flat is gone: its number may be that of another."""
        if flat < self._flats.rows:
            self._flats["known"][flat] = False

    def forget_all(self) -> None:
        """Begin anew."""
        self._flats["known"][:] = False
        self._used = self.cost = 0

    @property
    def size_bytes(self) -> int:
        """Memory of all."""
        return self._flats.size_bytes + self._places.size_bytes


@njit(cache=True)
def _gathered(firsts: Ints, sizes: Ints, places: Ints) -> Ints:
    """The spans of ``places`` that begin at ``firsts``, one after the other."""
    found, n = np.empty(sizes.sum(), np.int64), 0
    for i in range(firsts.shape[0]):
        for at in range(firsts[i], firsts[i] + sizes[i]):
            found[n] = places[at]
            n += 1
    return found
