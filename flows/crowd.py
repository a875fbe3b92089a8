"""Detectors that come together, and what blocks must know of them: worked out once for all partitions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from connectors.detector import DetectorRevision
from flows.config import Compile, CompiledDetector
from flows.detectors.base import Ints
from flows.matching import Asking
from flows.policy import POLICY, Policies
from flows.validator import ConfigError

MAX_CROWDS = 128
"""Crowds that are remembered for blocks that have not come so far: all detectors that there may be."""


class Crowd:
    """Facts of ``n`` detectors, in their order."""

    def __init__(self, detectors: Sequence[CompiledDetector]) -> None:
        self.detectors = tuple(detectors)
        self.ids = tuple(detector.source.id for detector in self.detectors)
        self.digests = tuple(detector.digest for detector in self.detectors)
        self.policies: Policies = np.frombuffer(b"".join([one.policy for one in self.detectors]), POLICY)
        self.singly = np.array([detector.singly for detector in self.detectors], np.bool_)
        self.programs = np.array([id(detector.programs) for detector in self.detectors], np.int64)
        """identities of the pairs of their programs' keys, which are the same for most; to compare keys takes long"""
        self.asked = tuple(asked for detector in self.detectors for asked in detector.asked)
        """their selectors as text"""
        self.planned = tuple(at for at, detector in enumerate(self.detectors) if detector.plan is not None)
        """which have groups"""
        self.budgeted = tuple(
            at for at, one in enumerate(self.detectors) if one.source.config.budget is not None and one.plan is None
        )
        self.tenants = tuple(self._by_tenant())
        """those that run, by tenant: which they are, and what they ask for"""

    def __len__(self) -> int:
        return len(self.detectors)

    def _by_tenant(self) -> list[tuple[str, Ints, Asking]]:
        running: dict[str, list[int]] = {}
        for at, detector in enumerate(self.detectors):
            config = detector.source.config
            if config.enabled:
                running.setdefault(config.tenant, []).append(at)
        return [
            (tenant, np.array(mine, np.int64), Asking.of([self.detectors[at] for at in mine]))
            for tenant, mine in running.items()
        ]


class Same:
    """A sequence that equals another if it holds the very same objects."""

    __slots__ = ("_identities", "objects")

    def __init__(self, objects: Sequence[object]) -> None:
        self.objects = objects
        self._identities = tuple(map(id, objects))

    def __hash__(self) -> int:
        return hash(self._identities)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self._identities == other._identities


def newcomers(revisions: Sequence[DetectorRevision | None], compiled: Compile) -> Crowd | None:
    """The detectors that these revisions make, if each makes one, and none is the twin of another.

    Whether a block takes them is for its table to say (``DetectorTable.put_new``).
    """
    return _newcomers(Same(revisions), compiled)


@lru_cache(maxsize=MAX_CROWDS)
def _newcomers(revisions: Same, compiled: Compile) -> Crowd | None:
    made: list[CompiledDetector] = []
    for revision in revisions.objects:
        if not isinstance(revision, DetectorRevision) or revision.base_revision or revision.detector is None:
            return None
        try:
            made.append(compiled(revision.detector))
        except ConfigError:
            return None
    crowd = Crowd(made)
    alone = len(set(crowd.ids)) == len(set(crowd.digests)) == len(crowd)
    return crowd if alone else None
