"""What a block asks to be said in the log: once of each detector, and of a bounded number of them."""

from __future__ import annotations

MAX_NOTICES = 100
"""Detectors of which something is said; what it is about is counted for all."""


class Notices:
    """Sentences that wait to be logged."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._waiting: list[str] = []

    def add(self, detector: str, text: str) -> None:
        """Say this of a detector, unless something was said of it."""
        if detector not in self._told and len(self._told) < MAX_NOTICES:
            self._told.add(detector)
            self._waiting.append(f"detector {detector}: {text}")

    def take(self) -> list[str]:
        """What is to be said since the last call."""
        waiting, self._waiting = self._waiting, []
        return waiting
