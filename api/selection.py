"""Which detectors a list is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from api.problems import ApiError, Code
from connectors.messages import Detector


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

    def takes(self, detector: Detector) -> bool:
        """Whether it meets all of it."""
        config = detector.config
        return (
            (not self.text or self.text.casefold() in detector.read)  # first: of all it leaves the fewest
            and (self.state is None or config.enabled is (self.state is RunState.RUNNING))
            and (self.kind is None or config.kind == self.kind)
            and all(config.labels.get(name) == value for name, value in self.labels)
        )


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
