"""Which parts of the api got better or worse since the last look: what comes on the WebSocket's topic ``system``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from api.socket_messages import ComponentChange
from connectors.probes import Component, Status


class ComponentChanges:
    """Remembers how each part was. A reason that changes while the status stays is none: it may hold a number."""

    def __init__(self) -> None:
        self._before: dict[str, Status] = {}

    def look(self, components: Mapping[str, Component], now_ms: int) -> Iterator[ComponentChange]:
        """Each part whose status is another than at the last look, with those heard of for the first time."""
        for name, found in components.items():
            before = self._before.get(name)
            if found.status is not before:
                self._before[name] = found.status
                yield ComponentChange(
                    component=name, status=found.status, reason=found.reason, before=before, time_ms=now_ms
                )
