"""The budgets of a block and what stands on trial for them, to the arrays of its snapshot and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.block import Block
from flows.detectors.base import Ints
from flows.saved_episodes import lane_of

_BUDGET, _TRIAL = "budget/", "trial/"


def save_budgets(block: Block, rows: Ints, arrays: dict[str, Any]) -> dict[str, Any]:
    """Put columns into ``arrays``; gives whose they are.

    ``rows`` (n,) are the block's rows by their place in the snapshot.
    """
    budgets, routes, table = block.watch.budgets, block.watch.routes, block.trials.table
    used = np.flatnonzero(table["lane"])
    lanes = table["lane"][used] - 1
    alive = (routes.lanes["trial"][lanes] == used) & (routes.lanes["detector"][lanes] >= 0)
    used, lanes = used[alive], lanes[alive]
    arrays |= {_BUDGET + name: column for name, column in budgets.table.save(_rows(budgets.rows.values())).items()}
    arrays |= {_TRIAL + name: column for name, column in table.save(used).items()}
    watched = np.searchsorted(rows, routes.entries["row"][routes.lanes["entry"][lanes]])
    owners = (block.watch.detector(number).source.id for number in routes.lanes["detector"][lanes].tolist())
    return {
        "decided_ms": budgets.decided_ms,
        "detectors": [block.watch.detector(number).source.id for number in budgets.rows],
        "trials": list(map(list, zip(watched.tolist(), owners, strict=True))),
        "full": block.trials.full,
    }


def load_budgets(block: Block, saved: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Put all back into a block that knows its series and detectors again."""
    watch, routes, trials = block.watch, block.watch.routes, block.trials.table
    watch.budgets.decided_ms, block.trials.full = saved["decided_ms"], saved["full"]
    known = [at for at, detector_id in enumerate(saved["detectors"]) if detector_id in watch.numbers]
    rows = _rows(watch.budgets.rows[watch.numbers[saved["detectors"][at]]] for at in known)
    watch.budgets.table.load(rows, _part(arrays, _BUDGET, known))
    watch.budgets.apply(watch.policies)
    found = [lane_of(block, row, detector_id) for row, detector_id in saved["trials"]]
    known = [at for at, lane in enumerate(found) if lane is not None]
    lanes = _rows(lane for lane in found if lane is not None)
    trials.reserve(len(lanes))
    trials.load(np.arange(len(lanes)), _part(arrays, _TRIAL, known))
    routes.lanes["trial"][lanes] = np.arange(len(lanes))
    trials["lane"][: len(lanes)] = lanes + 1


def _rows(numbers: Iterable[int]) -> Ints:
    return np.array(list(numbers), np.int64)


def _part(arrays: Mapping[str, NDArray[Any]], prefix: str, places: list[int]) -> dict[str, NDArray[Any]]:
    """Those of these places: what belongs to detectors that are no more stays behind."""
    return {name.removeprefix(prefix): column[places] for name, column in arrays.items() if name.startswith(prefix)}
