"""Where the series that a selector chooses must be found: values of one label, or beginnings of values."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from flows.pattern import MAX_PATTERNS, homes_of
from flows.selector import Matcher, Op, Selector

EVERYONE = ""
"""The home of selectors that could choose any series."""
_ORDER = {Op.EQUAL: 0, Op.NOT_EQUAL: 1, Op.REGEX: 2, Op.NOT_REGEX: 3}


class Street(NamedTuple):
    """Homes in one label: by the text that a value is (``exact``), or begins with."""

    name: str
    exact: bool


class Address(NamedTuple):
    """Homes of a selector, and the matchers to be tried on who lives there."""

    street: Street
    texts: tuple[str, ...]
    tests: tuple[Matcher, ...]


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
