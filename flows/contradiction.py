"""Matchers of one label that no text fulfils together, as far as that can be told without building automata.

Told is: where the few texts that one matcher allows can be listed (``=``, ``=~"a|b"``, ``!~".*"``, ``!~".+"``), that
none of them fulfils the others; and that two expressions begin differently (``=~"a.*"`` and ``=~"b.*"``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Protocol, TypeVar

from flows.pattern import Home

MAX_PAIRED = 8
"""Matchers of one label among which the two that exclude each other are searched for; else all are named."""
MAX_HOMES = 64
"""Begins of texts of one expression that are compared with those of another."""


class Matcher(Protocol):
    """One condition on one label."""

    @property
    def name(self) -> str: ...  # noqa: D102 - as in ``flows.selector``

    def matches(self, text: str) -> bool: ...  # noqa: D102

    def texts(self) -> Sequence[str] | None:
        """All texts that may fulfil it; None where they cannot be listed."""
        ...

    def homes(self) -> Sequence[Home]:
        """Texts, or begins of texts, that fulfil it; none where that cannot be told."""
        ...


M = TypeVar("M", bound=Matcher)


def contradiction(matchers: Sequence[M]) -> Sequence[M]:
    """Matchers that no series can fulfil together, one or two if they suffice; none if nothing speaks against them."""
    for name in dict.fromkeys(matcher.name for matcher in matchers):
        of_label = [matcher for matcher in matchers if matcher.name == name]
        if _impossible(of_label):
            return _fewest(of_label)
    return ()


def _fewest(matchers: Sequence[M]) -> Sequence[M]:
    paired = matchers if len(matchers) <= MAX_PAIRED else ()
    fewer = (*combinations(matchers, 1), *combinations(paired, 2))
    return next((together for together in fewer if _impossible(together)), matchers)


def _impossible(matchers: Sequence[Matcher]) -> bool:
    """Whether no text fulfils all of these matchers of one label."""
    listed = next((texts for matcher in matchers if (texts := matcher.texts()) is not None), None)
    if listed is not None:
        return not any(all(matcher.matches(text) for matcher in matchers) for text in listed)
    return any(_apart(one.homes(), other.homes()) for one, other in combinations(matchers, 2))


def _apart(some: Sequence[Home], others: Sequence[Home]) -> bool:
    """Whether nobody can be at home in one of ``some`` and in one of ``others``."""
    if not 0 < len(some) <= MAX_HOMES or not 0 < len(others) <= MAX_HOMES:
        return False
    return not any(a.text.startswith(b.text) or b.text.startswith(a.text) for a in some for b in others)
