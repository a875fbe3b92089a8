"""The past of the detectors that exist: their last revisions, as many as there is room for."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from connectors.detector import Detector

PER_DETECTOR = 100
IN_ALL = 50_000
"""About 35 MB, as each is kept as its JSON."""


class KeptRevisions:
    """Revisions that came to stand, in their order; ``dropped`` is called for each that has to make room."""

    def __init__(self, dropped: Callable[[], object], per_detector: int = PER_DETECTOR, in_all: int = IN_ALL) -> None:
        self._dropped = dropped
        self._per_detector = per_detector
        self._in_all = in_all
        self._texts: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._revisions: dict[str, deque[int]] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, detector: Detector) -> None:
        """Keep what came to stand; the oldest of this detector, or of all, makes room for it."""
        kept = self._revisions.setdefault(detector.id, deque())
        kept.append(detector.revision)
        self._texts[detector.id, detector.revision] = detector.text
        if len(kept) > self._per_detector:
            self._drop(detector.id)
        if len(self._texts) > self._in_all:
            self._drop(next(iter(self._texts))[0])

    def remove(self, detector_id: str) -> None:
        """Forget the past of a detector that was deleted."""
        for revision in self._revisions.pop(detector_id, ()):
            del self._texts[detector_id, revision]

    def before(self, detector_id: str, revision: int) -> list[int]:
        """The revisions of a detector that are kept from before one, newest first."""
        return [older for older in reversed(self._revisions.get(detector_id, ())) if older < revision]

    def text(self, detector_id: str, revision: int) -> str:
        """One that is kept, as JSON."""
        return self._texts[detector_id, revision]

    def get(self, detector_id: str, revision: int) -> Detector | None:
        """One revision, if it is kept."""
        text = self._texts.get((detector_id, revision))
        return None if text is None else Detector.model_validate_json(text)

    def _drop(self, detector_id: str) -> None:
        """Let the oldest revision of a detector go."""
        kept = self._revisions[detector_id]
        del self._texts[detector_id, kept.popleft()]
        if not kept:
            del self._revisions[detector_id]
        self._dropped()
