"""Which parts of the api got better or worse since the last look: what comes on the WebSocket's topic ``system``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping

from api.socket_messages import ComponentChange
from connectors.probes import Component, Status

log = logging.getLogger(__name__)


class ComponentChanges:
    """Remembers how each part was. A reason that changes while the status stays is none: it may hold a number."""

    def __init__(self) -> None:
        self._before: dict[str, Status] = {}
        self._failing = False

    def look(self, components: Mapping[str, Component], now_ms: int) -> Iterator[ComponentChange]:
        """Each part whose status is another than at the last look, with those heard of for the first time."""
        for name, found in components.items():
            before = self._before.get(name)
            if found.status is not before:
                self._before[name] = found.status
                yield ComponentChange(
                    component=name, status=found.status, reason=found.reason, before=before, time_ms=now_ms
                )

    def try_to_look(
        self, ask: Callable[[], Mapping[str, Component]], now_ms: int, failed: Callable[[], None]
    ) -> list[ComponentChange]:
        """The same of what ``ask`` gives. Should it raise, ``failed`` is called, and the next look may be better."""
        try:
            found = list(self.look(ask(), now_ms))
        except Exception:  # whatever it is, who watches must go on watching
            failed()
            if not self._failing:  # once, not every second
                log.exception("the parts of the api cannot be looked at")
            self._failing = True
            return []
        self._failing = False
        return found
