"""Which detectors want a new series: an index over the equality matchers, so that most selectors are never tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flows.config import CompiledDetector
from flows.selector import Op, Selector


class Matching:
    """Detectors by one (label, value) that their series must have; those without such a matcher are always tried."""

    def __init__(self) -> None:
        self._by_label: dict[tuple[str, str], dict[int, CompiledDetector]] = {}
        self._others: dict[int, CompiledDetector] = {}

    def add(self, number: int, detector: CompiledDetector) -> None:
        """Index a detector under its number in the block."""
        for selector in detector.watches:
            self._home(selector)[number] = detector

    def remove(self, number: int, detector: CompiledDetector) -> None:
        """Take it out."""
        for key in {_key(selector) for selector in detector.watches}:
            home = self._others if key is None else self._by_label[key]
            del home[number]
            if key is not None and not home:
                del self._by_label[key]

    @property
    def empty(self) -> bool:
        """Whether nothing is indexed."""
        return not (self._by_label or self._others)

    def wanted_by(self, tenant: str, labels: Mapping[str, str]) -> Iterator[int]:
        """Numbers of the detectors that watch a series of this tenant with these labels."""
        homes = (self._by_label[item] for item in labels.items() if item in self._by_label)
        told: set[int] = set()  # a detector with two selectors may have two homes
        for home in (*homes, self._others):
            for number, detector in home.items():
                if number not in told and wants(detector, tenant, labels):
                    if len(detector.watches) > 1:
                        told.add(number)
                    yield number

    def _home(self, selector: Selector) -> dict[int, CompiledDetector]:
        key = _key(selector)
        return self._others if key is None else self._by_label.setdefault(key, {})


def wants(detector: CompiledDetector, tenant: str, labels: Mapping[str, str]) -> bool:
    """Whether a detector watches a series."""
    config = detector.source.config
    chosen = any(selector.matches(labels) for selector in detector.watches)
    return config.enabled and config.tenant == tenant and chosen


def _key(selector: Selector) -> tuple[str, str] | None:
    matchers = (m for m in selector.matchers if m.op is Op.EQUAL and m.value)
    return next(((m.name, m.value) for m in matchers), None)
