"""Which pattern each masked line belongs to, for those that were met lately."""

from __future__ import annotations

UNKNOWN = -1
"""In the place of a pattern for which there was no room."""


class KnownLines:
    """A bounded map from the hash of a masked line to the number of its pattern."""

    def __init__(self, most: int) -> None:
        self.patterns: dict[int, int] = {}
        self.seen: dict[int, int] = {}
        """step of the line's last coming"""
        self.refused = 0
        self._most = most

    def __len__(self) -> int:
        return len(self.patterns)

    def find(self, line: int, step: int) -> int:
        """The pattern of a line that comes in this step; UNKNOWN if it is not known, or has none."""
        number = self.patterns.get(line, UNKNOWN)
        if number != UNKNOWN:
            self.seen[line] = step
        return number

    def add(self, line: int, number: int, step: int) -> None:
        """Remember a line, if there is room."""
        if len(self.patterns) >= self._most:
            self.refused += 1
            return
        self.patterns[line] = number
        self.seen[line] = step

    def forget_before(self, step: int) -> None:
        """Let go those that did not come since; who reads tells them anew before they come again."""
        self._keep([line for line, seen in self.seen.items() if seen >= step])

    def forget_patterns(self, gone: set[int]) -> None:
        """Let go the lines of these patterns."""
        self._keep([line for line, number in self.patterns.items() if number not in gone])

    def _keep(self, lines: list[int]) -> None:
        self.patterns = {line: self.patterns[line] for line in lines}
        self.seen = {line: self.seen[line] for line in lines}
