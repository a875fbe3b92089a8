"""The budgets of a block and what stands on trial for them, to the arrays of its snapshot and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.block import Block
from flows.detectors.base import Ints

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
    watch, routes = block.watch, block.watch.routes
    watch.budgets.decided_ms, block.trials.full = saved["decided_ms"], saved["full"]
    rows = _rows(watch.budgets.rows[watch.numbers[detector_id]] for detector_id in saved["detectors"])
    watch.budgets.table.load(rows, _part(arrays, _BUDGET))
    watch.budgets.apply(watch.policies)
    block.trials.table.reserve(len(saved["trials"]))
    block.trials.table.load(np.arange(len(saved["trials"])), _part(arrays, _TRIAL))
    for at, (row, detector_id) in enumerate(saved["trials"]):
        number = watch.numbers[detector_id]
        lane = next(lane for lane in watch.lanes_of_series(row) if routes.lanes["detector"][lane] == number)
        routes.lanes["trial"][lane] = at
        block.trials.table["lane"][at] = lane + 1


def _rows(numbers: Iterable[int]) -> Ints:
    return np.array(list(numbers), np.int64)


def _part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): column for name, column in arrays.items() if name.startswith(prefix)}
