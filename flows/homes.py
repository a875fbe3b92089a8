"""Where the series that a selector chooses must be found: values of one label, or beginnings of values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.codec.series_hash import hash_bytes
from flows.pattern import MAX_PATTERNS, homes_of
from flows.selector import Matcher, Op, Selector

EVERYONE = ""
"""The home of selectors that could choose any series."""
_ORDER = {Op.EQUAL: 0, Op.NOT_EQUAL: 1, Op.REGEX: 2, Op.NOT_REGEX: 3}


class Street(NamedTuple):
    """Homes in one label: by the text that a value is (``exact``), or begins with."""

    name: str
    exact: bool


EQUAL, NOT_EQUAL, TRIED = range(3)
"""What a test is to a kernel: two compare hashes, the others are left to Python."""
_CODES = {Op.EQUAL: EQUAL, Op.NOT_EQUAL: NOT_EQUAL, Op.REGEX: TRIED, Op.NOT_REGEX: TRIED}


class Tests(NamedTuple):
    """Matchers as columns, (n,) each: hash of the label's name, ``EQUAL`` and the like, hash of the value or 0."""

    names: NDArray[np.uint64]
    codes: NDArray[np.int8]
    values: NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Address:
    """Homes of a selector, and the matchers to be tried on who lives there."""

    street: Street
    texts: tuple[str, ...]
    tests: tuple[Matcher, ...]

    @cached_property
    def columns(self) -> Tests:
        """Its tests; worked out once for the blocks of all partitions."""
        codes = [_CODES[matcher.op] for matcher in self.tests]
        values = [0 if code == TRIED else text_hash(m.value) for m, code in zip(self.tests, codes, strict=True)]
        names = [text_hash(matcher.name) for matcher in self.tests]
        return Tests(np.array(names, np.uint64), np.array(codes, np.int8), np.array(values, np.uint64))

    @cached_property
    def tried(self) -> tuple[tuple[int, str, Matcher], ...]:
        """Those of its tests that no kernel can do: where they stand, and their text, by which equal ones are known."""
        return tuple((at, str(one), one) for at, one in enumerate(self.tests) if _CODES[one.op] == TRIED)

    @cached_property
    def names(self) -> frozenset[str]:
        """Labels that it looks at."""
        return frozenset({self.street.name, *(matcher.name for matcher in self.tests)} - {EVERYONE})

    def work_out(self) -> None:
        """Have ready what blocks will ask for."""
        _ = self.columns, self.tried, self.names


@lru_cache(maxsize=MAX_PATTERNS)
def text_hash(text: str) -> int:
    """By which values of labels are told apart (``flows.label_columns``): 0 of the empty one, as of one that lacks."""
    return hash_bytes(text.encode(), 0) if text else 0


@lru_cache(maxsize=MAX_PATTERNS)
def addresses_of(selector: Selector) -> tuple[Address, ...]:
    """Addresses of which each is enough to find all that a selector chooses; at least one.

    Equal selectors get the very same objects, by which ``flows.matching`` sees that they need to be tried only once.
    """
    equal = [m for m in selector.matchers if m.op is Op.EQUAL and m.value]
    if equal:
        return tuple(Address(Street(m.name, True), (m.value,), _tests(selector, m)) for m in equal)
    for matcher in selector.matchers:
        homes = homes_of(matcher.value) if matcher.op is Op.REGEX else ()
        if homes:
            exact = all(home.exact for home in homes)
            texts = tuple(dict.fromkeys(home.text for home in homes))
            return (Address(Street(matcher.name, exact), texts, _tests(selector, matcher if exact else None)),)
    return (Address(Street(EVERYONE, True), (EVERYONE,), _tests(selector, None)),)


def _tests(selector: Selector, told: Matcher | None) -> tuple[Matcher, ...]:
    return tuple(sorted((m for m in selector.matchers if m is not told), key=lambda m: _ORDER[m.op]))
