"""Small numbers for names that come and go: a number is used again when nothing bears its name any more."""

from __future__ import annotations

from typing import Generic, TypeVar

N = TypeVar("N")


class Numbering(Generic[N]):
    """Names by number, and how many members bear each."""

    def __init__(self) -> None:
        self.names: list[N] = []
        """by number; what stands at a number that is free is meaningless"""
        self._numbers: dict[N, int] = {}
        self._sizes: list[int] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def join(self, name: N) -> int:
        """The number of this name, for one member more."""
        number = self._numbers.get(name)
        if number is None:
            number = self._sizes.index(0) if 0 in self._sizes else len(self._sizes)
            if number == len(self._sizes):
                self.names.append(name)
                self._sizes.append(0)
            self.names[number] = name
            self._numbers[name] = number
        self._sizes[number] += 1
        return number

    def leave(self, number: int) -> None:
        """A member with this number is gone."""
        self._sizes[number] -= 1
        if not self._sizes[number]:
            del self._numbers[self.names[number]]
