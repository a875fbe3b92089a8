"""Several signals of one entity at once: models of river that take vectors, and who of the members makes the surprise.

It receives whole steps. The members of a group and the entity, a row of its own that stands for all of them, come
together: the entity's row is judged, the members' rows keep what is usual for each, to tell which of them left it.
Cost and failures: as ``river``; a model learns the members that it first met best.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from flows.detectors.base import BAND_SURPRISE, VALUE_LIMIT, Column, Floats, Ints, Scored, Table
from flows.detectors.half_space import reduce_forest
from flows.detectors.models import ModelTable
from flows.detectors.outlier import GROUP
from flows.detectors.river import FAULTS, VALUE_MEMORY, River, RiverParams, begin_anew, follow
from flows.detectors.window import COUNT_LIMIT

ENTITY, SERIES = "entity", "series"
TOP = 3
"""Members that are told."""
MAX_FEATURES = 64
"""Members of an entity that its model takes, those with the lowest series hash; more would cost more than they say."""


def vectors_of(params: RiverParams) -> RiverVector | None:
    """What judges several values at once; none of a model that judges one."""
    vector = RiverVector(params)
    return None if vector.river.spec.gaussian is not None else vector


@dataclass(frozen=True)
class RiverVector:
    """One model per entity."""

    params: RiverParams

    @cached_property
    def river(self) -> River:
        """The models, without groups."""
        return River(self.params)

    @property
    def max_models(self) -> int:
        """See ``models.Modelled``."""
        return self.params.max_keys

    def allocate(self, rows: int) -> Table:
        """As ``river``; besides, of each row its group, whether it is the entity, its name; and who led at last."""
        alone = self.river.allocate(0)
        columns = (
            Column(GROUP, np.int32, derived=True), Column(ENTITY, np.bool_, derived=True),
            Column(SERIES, np.uint64, derived=True), *alone.columns[1:],
            Column("top", np.uint64, TOP), Column("top_value", np.float64, TOP),
        )  # fmt: skip
        return ModelTable(columns, rows, self.river.spec.size_bytes(self.river.own), reduce_forest)

    def step(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> Scored:
        """Verdicts alone."""
        return self.judge(state, rows, times_ms, values)[1]

    def judge(self, state: Table, rows: Ints, times_ms: Ints, values: Floats) -> tuple[Floats, Scored]:
        """Score then learn whole steps: no step may be cut. The entity's value is that of the member that leads."""
        shown = values.copy()
        out = Scored(*(np.full(len(rows), math.nan) for _ in range(4)))
        groups = state[GROUP][rows]
        order = np.lexsort((state[SERIES][rows], groups, times_ms))
        for _, run in groupby(order.tolist(), lambda at: (times_ms[at], groups[at])):
            places = list(run)
            entity = next((at for at in places if state[ENTITY][rows[at]]), None)
            if entity is not None:
                members = [at for at in places if at != entity and abs(values[at]) <= VALUE_LIMIT][:MAX_FEATURES]
                self._judge_entity(state, rows, times_ms, values, entity, members, shown, out)
        return shown, out

    def _judge_entity(
        self, state: Table, rows: Ints, times_ms: Ints, values: Floats, entity: int, members: list[int],
        shown: Floats, out: Scored,
    ) -> None:  # fmt: skip
        if not members:
            return
        row = int(rows[entity])
        features = {int(state[SERIES][rows[at]]): float(values[at]) for at in members}
        try:
            surprise, learned = self.river.rate(state, row, int(times_ms[entity]), features)
        except FAULTS:
            begin_anew(state, row)
            return
        leaders = sorted(members, key=lambda at: -self._away(state, int(rows[at]), float(values[at])))[:TOP]
        if not math.isnan(surprise):
            shown[entity] = values[leaders[0]]
            for column, number in zip(out, (surprise, *self.river.shown(state, int(rows[leaders[0]]))), strict=True):
                column[entity] = number
        if surprise >= BAND_SURPRISE:
            state["top"][row], state["top_value"][row] = 0, 0.0
            state["top"][row, : len(leaders)] = state[SERIES][rows[leaders]]
            state["top_value"][row, : len(leaders)] = values[leaders]
        if learned:
            for at in members:
                self._learn_member(state, int(rows[at]), float(values[at]))

    def _away(self, state: Table, row: int, value: float) -> float:
        """How far a member is from what is usual for it, in standard deviations."""
        if not state["seen"][row]:
            return 0.0
        scale = math.sqrt(state["variance"][row]) or self.params.floor_ratio * abs(float(state["mean"][row]))
        away = abs(value - float(state["mean"][row]))
        return away / scale if scale > 0.0 else (math.inf if away > 0.0 else 0.0)

    def _learn_member(self, state: Table, row: int, value: float) -> None:
        seen = int(state["seen"][row])
        follow(state, row, "mean", "variance", value, max(1.0 / VALUE_MEMORY, 1.0 / (seen + 1.0)))
        state["seen"][row] = min(seen + 1, COUNT_LIMIT)

    def derive(self, state: Table, rows: Ints) -> None:
        """Groups and names are written by whoever gives out rows."""

    def needs(self, state: Table, rows: Ints) -> Ints:
        """Steps until an entity's first score; 0 for members, which get none."""
        return np.where(state[ENTITY][rows], self.river.needs(state, rows), 0)
