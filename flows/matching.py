"""Which detectors want a new series: an index over the equality matchers, so that most selectors are never tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flows.config import CompiledDetector
from flows.selector import Op


class Matching:
    """Detectors by one (label, value) that their series must have; those without such a matcher are always tried."""

    def __init__(self) -> None:
        self._by_label: dict[tuple[str, str], dict[int, CompiledDetector]] = {}
        self._others: dict[int, CompiledDetector] = {}

    def add(self, number: int, detector: CompiledDetector) -> None:
        """Index a detector under its number in the block."""
        self._home(detector)[number] = detector

    def remove(self, number: int, detector: CompiledDetector) -> None:
        """Take it out."""
        home = self._home(detector)
        del home[number]
        if not home and home is not self._others:
            del self._by_label[_key(detector) or ("", "")]

    @property
    def empty(self) -> bool:
        """Whether nothing is indexed."""
        return not (self._by_label or self._others)

    def wanted_by(self, tenant: str, labels: Mapping[str, str]) -> Iterator[int]:
        """Numbers of the detectors that watch a series of this tenant with these labels."""
        homes = (self._by_label[item] for item in labels.items() if item in self._by_label)
        for home in (*homes, self._others):
            yield from (number for number, detector in home.items() if wants(detector, tenant, labels))

    def _home(self, detector: CompiledDetector) -> dict[int, CompiledDetector]:
        key = _key(detector)
        return self._others if key is None else self._by_label.setdefault(key, {})


def wants(detector: CompiledDetector, tenant: str, labels: Mapping[str, str]) -> bool:
    """Whether a detector watches a series."""
    config = detector.source.config
    return config.enabled and config.tenant == tenant and detector.selector.matches(labels)


def _key(detector: CompiledDetector) -> tuple[str, str] | None:
    matchers = (m for m in detector.selector.matchers if m.op is Op.EQUAL and m.value)
    return next(((m.name, m.value) for m in matchers), None)
