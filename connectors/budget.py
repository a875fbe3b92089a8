"""Memory that requests may take: what their bytes cost is reserved before they are read, and given back once."""

from __future__ import annotations

import threading
from collections.abc import Callable

from connectors.errors import Overloaded


class Budget:
    """Bytes in flight with a limit. ``take`` and ``give`` may be called from any thread."""

    def __init__(self, limit_bytes: int) -> None:
        self._lock = threading.Lock()
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.arriving_bytes = 0
        """those of ``used_bytes`` whose body is not yet whole; only touched in the event loop"""

    def take(self, size: int) -> None:
        """Reserve; raises ``Overloaded`` when the limit does not allow it."""
        with self._lock:
            used_bytes = self.used_bytes
            if used_bytes + size <= self.limit_bytes:
                self.used_bytes += size
                return
        message = (
            f"{used_bytes} bytes are in flight: {self.arriving_bytes} of bodies that are still being sent, "
            f"the rest not yet confirmed by Kafka; with {size} more they would exceed {self.limit_bytes} "
            "(TOCSIN_INGEST_MAX_IN_FLIGHT_BYTES)"
        )
        raise Overloaded(message)

    def give(self, size: int) -> None:
        """Return what was reserved."""
        with self._lock:
            self.used_bytes -= size


class Held:
    """What one request has reserved of the budget, given back exactly once. One thread at a time touches it."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._size = 0
        self._arriving = 0
        self._handed_over = False

    def take(self, size: int) -> None:
        """Reserve more; raises ``Overloaded``."""
        self._budget.take(size)
        self._size += size

    def receive(self, size: int) -> None:
        """Reserve for what has arrived of a body that is not yet whole; raises ``Overloaded``."""
        self.take(size)
        self._arriving += size
        self._budget.arriving_bytes += size

    def whole(self) -> None:
        """All of the body has arrived, or no more of it is read."""
        self._budget.arriving_bytes -= self._arriving
        self._arriving = 0

    def hand_over(self) -> Callable[[], None]:
        """From now on another gives it back, by calling the function returned."""
        self._handed_over = True
        return self._give

    def let_go(self) -> None:
        """Give back unless it was handed over."""
        if not self._handed_over:
            self._give()

    def _give(self) -> None:
        self.whole()
        self._budget.give(self._size)
        self._size = 0
