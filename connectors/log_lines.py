"""Lines of the log, written once for each turn of an event loop: who serves much tells hundreds of them a second."""

from __future__ import annotations

import asyncio
import logging
from typing import TextIO

MOST = 256
"""Lines that wait; with one more all are written."""


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes at once what comes from outside a loop, and whatever is a warning or worse, with all that waits."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line now, or when the loop has done what it is at."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler: what cannot be written stops nothing
            self.handleError(record)
            return
        self._lines.append(line + self.terminator)
        if record.levelno >= logging.WARNING or len(self._lines) > MOST or not self._flush_later():
            self.flush()

    def flush(self) -> None:
        """Write what waits; where nothing can be written, nobody can be told either."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("".join(lines))
            super().flush()
        except (OSError, ValueError):
            pass
        finally:
            self.release()

    def _flush_later(self) -> bool:
        """Whether there is a loop that will do it; the first line that waits asks it to."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if len(self._lines) == 1:
            loop.call_soon(self.flush)
        return True
