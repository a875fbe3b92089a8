"""Is the embedded broker full? Its supervisor says so in a small file."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import BaseModel, ValidationError

from connectors.errors import Overloaded

REREAD_S = 1.0
RETRY_AFTER_S = 30
_log = logging.getLogger(__name__)


class BrokerStatus(BaseModel):
    """Content of the file."""

    full: bool
    message: str


class BrokerGate:
    """Refuses writes while the file says full; reads it at most once a second. No file means no bound."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read_at_s = float("-inf")
        self._status = BrokerStatus(full=False, message="")

    def check(self, now_s: float) -> None:
        """Raise ``Overloaded`` with the file's message while the broker is full; ``now_s`` is a monotonic clock."""
        if self._status_at(now_s).full:
            raise Overloaded(self._status.message, retry_after_s=RETRY_AFTER_S)

    def full_reason(self, now_s: float) -> str:
        """The file's message while the broker is full, else empty."""
        status = self._status_at(now_s)
        return status.message if status.full else ""

    def _status_at(self, now_s: float) -> BrokerStatus:
        if self._path is not None and now_s - self._read_at_s >= REREAD_S:
            self._read_at_s = now_s
            self._status = self._read(self._path)
        return self._status

    def _read(self, path: Path) -> BrokerStatus:
        try:
            return BrokerStatus.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return BrokerStatus(full=False, message="")
        except (OSError, ValidationError) as error:
            _log.warning("TOCSIN_BROKER_STATUS_FILE %s: keeping the last status: %s", path, error)
            return self._status
