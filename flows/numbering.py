"""Small numbers for names that come and go: a number is used again when nothing bears its name any more."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Generic, TypeVar

N = TypeVar("N")


class Numbering(Generic[N]):
    """Names by number, and how many members bear each."""

    def __init__(self) -> None:
        self.names: list[N] = []
        """by number; what stands at a number that is free is meaningless"""
        self._numbers: dict[N, int] = {}
        self._sizes: list[int] = []
        self._free: list[int] = []
        """a heap: the lowest is used first, so that numbers stay small"""

    def __len__(self) -> int:
        return len(self._numbers)

    def join(self, name: N) -> int:
        """The number of this name, for one member more."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = self._take(name)
        self._sizes[number] += 1
        return number

    def _take(self, name: N) -> int:
        if not self._free:
            self.names.append(name)
            self._sizes.append(0)
            return len(self._sizes) - 1
        number = heappop(self._free)
        self.names[number] = name
        return number

    def leave(self, number: int) -> None:
        """A member with this number is gone."""
        self._sizes[number] -= 1
        if not self._sizes[number]:
            del self._numbers[self.names[number]]
            heappush(self._free, number)
