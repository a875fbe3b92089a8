"""Which detectors a list is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from api.problems import ApiError, Code
from connectors.detector import Detector


class RunState(StrEnum):
    """Whether a detector is to run."""

    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Filter:
    """What a detector must meet; what is not given takes all."""

    state: RunState | None = None
    kind: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    text: str = ""

    def of(self, detectors: Iterable[Detector]) -> Iterator[Detector]:
        """Those that meet all of it; by one thing after the other, for each look at all has its price."""
        found = iter(detectors)
        if self.text:  # first: of all it leaves the fewest
            text = self.text.casefold()
            found = (one for one in found if text in one.read)
        if self.state is not None:
            runs = self.state is RunState.RUNNING
            found = (one for one in found if one.config.enabled is runs)
        if self.kind is not None:
            kind = self.kind
            found = (one for one in found if one.config.kind == kind)
        if self.labels:
            found = (one for one in found if all(one.config.labels.get(n) == value for n, value in self.labels))
        return found


def parse_labels(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Labels from ``name=value``, of one name several too; raises ``ApiError`` where there is no ``=``."""
    labels = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            message = f"label: {text[:100]!r}: expected name=value"
            raise ApiError(Code.BAD_REQUEST, message)
        labels.append((name, value))
    return tuple(labels)
