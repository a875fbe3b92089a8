"""A program: one computation (kind, parameters, shape) on all series of a block that some detector wants it on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.codec.compiled import njit
from flows import entity
from flows.calibration import allocate_tails, calibrate
from flows.config import ProgramKey
from flows.detectors.base import VALUE_LIMIT, Column, Floats, Ints, Learned, Scored, Silences, Silent, Table
from flows.detectors.models import Modelled
from flows.detectors.outlier import GROUP
from flows.detectors.river_vector import ENTITY, SERIES, RiverVector
from flows.peers import Peers
from flows.policy import UNLIMITED
from flows.shape.rate import CHANGES, allocate_rates, rates

SEEN_LIMIT = 1 << 30
MODEL_BYTES = 50_000
"""Of a model in a snapshot: HalfSpaceTrees, docs/detectors.md."""


class Judged(NamedTuple):
    """The signal's values at ``n`` samples, the verdicts on them, and how many samples each rests on; (n,) each."""

    values: Floats
    scored: Scored
    seen: NDArray[Any]


class Program:
    """State of one computation: a dense row, called slot, per series, in tables for its state, rates and tails."""

    def __init__(self, key: ProgramKey) -> None:
        self.key = key
        self.detector = key.make()
        self._silent = self.detector if isinstance(self.detector, Silent) else None  # asking a protocol takes 100 µs
        self._learned = self.detector if isinstance(self.detector, Learned) else None
        self._vectors = self.detector if isinstance(self.detector, RiverVector) else None
        self.state = self.detector.allocate(0)
        changes = key.shape in CHANGES and not self.silent  # pauses are those between samples, not between rates
        self.rates: Table | None = allocate_rates(0) if changes else None
        self.tails: Table | None = allocate_tails(0) if key.calibrated else None
        self.counts = Table((Column("known", np.int32),))
        self.max_models = self.detector.max_models if isinstance(self.detector, Modelled) else None
        self.peers = Peers(key.peers) if key.peers else None
        alone = self.peers is not None and GROUP not in self.state.arrays
        self.combined: Table | None = Table(entity.COLUMNS) if alone else None
        """of kinds that judge each member of a group by itself: what makes one of them"""
        self.used = 0
        self._free: list[int] = []

    def __len__(self) -> int:
        return self.used - len(self._free)

    def take_slot(self) -> int:
        """An empty slot."""
        if self._free:
            return self._free.pop()
        self.used += 1
        for table in self.tables():
            table.reserve(self.used)
        return self.used - 1

    def join(self, slot: int, labels: Mapping[str, str], series: int) -> None:
        """Tell which series an empty slot is for, where those of a group are judged together."""
        if self.peers is None:
            return
        table = self._grouped
        table[GROUP][slot] = self.peers.join(slot, labels)
        if ENTITY in table.arrays:
            table[ENTITY][slot], table[SERIES][slot] = self.peers.is_entity(labels), series

    @property
    def _grouped(self) -> Table:
        """Where it stands which series belong together."""
        return self.state if self.combined is None else self.combined

    def is_entity(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels stands for its group, and its members tell nothing themselves."""
        return self.peers is not None and ENTITY in self._grouped.arrays and self.peers.is_entity(labels)

    def wants_model(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels would get a Python object: of vectors entities, else what is none."""
        return self.max_models is not None and self.is_entity(labels) == (self._vectors is not None)

    def take_slots(self, n: int) -> Ints:
        """``n`` empty slots."""
        kept = max(0, len(self._free) - n)
        reused, self._free = self._free[kept:], self._free[:kept]
        first, self.used = self.used, self.used + n - len(reused)
        for table in self.tables():
            table.reserve(self.used)
        return np.concatenate([np.array(reused, np.int64), np.arange(first, self.used)])

    def free_slots(self, slots: Ints) -> None:
        """Give slots back, emptied."""
        for table in self.tables():
            table.clear(slots)
        if self.peers is not None:
            for slot in slots.tolist():
                self.peers.leave(slot)
        self._free += slots.tolist()

    def tables(self) -> list[Table]:
        """All memory, rows are slots."""
        return [
            table for table in (self.state, self.rates, self.tails, self.counts, self.combined) if table is not None
        ]

    def step(self, slots: Ints, times_ms: Ints, values: Floats, starts_ms: Ints | None) -> Judged:
        """Shape and judge ``n`` samples."""
        if self.rates is not None:
            values = rates(self.rates, slots, times_ms, values, starts_ms, self.key.shape)
        if self._silent is not None:
            _, pauses_s, scored = self._silent.hear(self.state, slots, times_ms, values)
            return Judged(pauses_s, scored, unlimited(len(slots)))
        if self._vectors is not None:
            values, scored = self._vectors.judge(self.state, slots, times_ms, values)
        else:
            if self.combined is not None:
                values = np.where(self.combined[ENTITY][slots], math.nan, values)
            scored = self.detector.step(self.state, slots, times_ms, values)
        scored = scored if self.tails is None else calibrate(self.tails, slots, values, scored)
        if self.combined is not None:
            values, scored = entity.combine(self.combined, slots, times_ms, values, scored)
        seen = np.empty(len(slots), np.int32)
        count(self.counts["known"], slots, values, seen)
        return Judged(values, scored, seen)

    @property
    def entities(self) -> Ints:
        """Slots that stand for groups, where these are judged."""
        known = self.peers is not None and ENTITY in self._grouped.arrays
        return np.flatnonzero(self._grouped[ENTITY][: self.used]) if known else np.zeros(0, np.int64)

    def leaders(self, slot: int) -> list[tuple[int, float]]:
        """Of an entity: series hashes and values of the members that led when it surprised at last."""
        if "top" not in self._grouped.arrays:
            return []
        series, values = self._grouped["top"][slot].tolist(), self._grouped["top_value"][slot].tolist()
        return [(one, value) for one, value in zip(series, values, strict=True) if one]

    def note(self) -> None:
        """Note what kinds of signals these are, if the kind of detector knows."""
        if self._learned is not None:
            self._learned.note(self.state, np.arange(self.used))

    def learned(self, slot: int) -> str | None:
        """What was noted of a signal, in words."""
        return self._learned.learned(self.state, slot) if self._learned is not None else None

    @property
    def models(self) -> int:
        """Python objects among its memory."""
        if self.max_models is None:
            return 0
        entities = len(self.entities)
        return entities if self._vectors is not None else len(self) - entities

    @property
    def faults(self) -> int:
        """Times that models failed and began anew."""
        return int(self.state["faults"].sum()) if self.max_models is not None else 0

    @property
    def silent(self) -> bool:
        """Whether silence is judged."""
        return self._silent is not None

    def advance(self, slots: Ints, until_ms: int) -> Silences:
        """Judge the silence of these slots at this log time."""
        assert self._silent is not None  # noqa: S101 - asked only if ``silent``
        return self._silent.advance(self.state, slots, until_ms)

    def needs(self, slots: Ints) -> Ints:
        """How many more samples each of these slots needs before it is scored, 0 when ready."""
        if self.combined is None:
            return self.detector.needs(self.state, slots)
        members = self._members()
        return entity.needs(self.combined, slots, members, self.detector.needs(self.state, members))

    def _members(self) -> Ints:
        """Slots of series that belong to an entity."""
        assert self.combined is not None  # noqa: S101 - asked only where it is
        taken = np.ones(self.used, np.bool_)
        taken[self._free] = False
        return np.flatnonzero(taken & ~self.combined[ENTITY][: self.used])

    def save(self, slots: Ints) -> dict[str, NDArray[Any]]:
        """Columns of these slots that cannot be derived, for a snapshot."""
        return {name: column for table in self.tables() for name, column in table.save(slots).items()}

    def load(self, slots: Ints, columns: dict[str, NDArray[Any]]) -> None:
        """Put saved columns into these slots."""
        for table in self.tables():
            table.load(slots, columns)
        self.detector.derive(self.state, slots)

    def learn_from(self, slots: Ints, columns: dict[str, NDArray[Any]]) -> None:
        """As ``load``, but for the previous sample of a series met live: what comes next is measured from it."""
        heard, rates = self.state.save(slots), self.rates.save(slots) if self.rates is not None else {}
        met = rates["before_ms"] != 0 if rates else np.zeros(0, np.bool_)
        self.load(slots, columns | {name: np.where(met, rates[name], columns[name]) for name in rates})
        if self._silent is not None:
            self._silent.hear_on(self.state, slots, heard)

    @property
    def saved_bytes(self) -> int:
        """Room that its slots in use take in a snapshot, of Python objects what the largest kind takes by default."""
        return len(self) * sum(table.saved_bytes for table in self.tables()) + self.models * MODEL_BYTES

    @property
    def size_bytes(self) -> int:
        """Memory of all tables."""
        return sum(table.size_bytes for table in self.tables())


def unlimited(n: int) -> NDArray[Any]:
    """Of ``n`` verdicts that do not rest on how many samples were seen: (n,) int32."""
    return np.full(n, UNLIMITED, np.int32)


@njit(cache=True, nogil=True)
def count(counts: NDArray[Any], slots: Ints, values: Floats, seen: NDArray[Any]) -> None:
    """How many samples came before each of ``n``, gaps left out, into ``seen``; then count it."""
    for i in range(slots.shape[0]):
        seen[i] = counts[slots[i]]
        if abs(values[i]) <= VALUE_LIMIT and seen[i] < SEEN_LIMIT:
            counts[slots[i]] += 1
