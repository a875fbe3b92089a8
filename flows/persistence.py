"""A block to bytes and back. Rows are numbered anew without gaps; routes and sorted windows are derived again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.detector import Shape
from flows.block import Block
from flows.chunks import NewSeries
from flows.config import GatherKey, ProgramKey
from flows.detectors.base import Ints
from flows.families import Families
from flows.gather import Gather
from flows.labels_archive import unpack_labels
from flows.partial import ending
from flows.programs import Key, Placed
from flows.revisions import DetectorTable, unpack_detectors
from flows.rules import load_standing
from flows.saved import Saved, pack, unpack
from flows.saved_budgets import load_budgets, save_budgets
from flows.saved_episodes import load_episodes, save_episodes

_ROW_COLUMNS = ("last_ms", "active_s", "step_s")


def save(block: Block) -> bytes:
    """All that a replay needs."""
    rows = block.series.live()
    table = block.series.table
    arrays: dict[str, Any] = {name: table[name][rows] for name in ("series", *_ROW_COLUMNS)}
    tenants, arrays["tenants"] = _save_tenants([block.series.tenant(row) for row in rows.tolist()])
    programs: list[list[str | int]] = []
    for key, (program, watched, slots) in block.watch.programs.all_slots().items():
        prefix = f"{len(programs)}/"
        arrays[prefix + "rows"] = np.searchsorted(rows, watched).astype(np.int32)
        arrays |= {prefix + name: column for name, column in program.save(slots).items()}
        programs.append(_save_key(key))
    full = _save_keys(block, rows, arrays)
    arrays["detectors"] = np.frombuffer(block.revisions.pack(), np.uint8)
    arrays["episodes"], owners, digests = save_episodes(block, rows)
    header = {
        "log_ms": block.log_ms,
        "swept_s": block.swept_s,
        "detectors_offset": block.configuration.offset,
        "announced": block.configuration.announced,
        "feedback_offset": block.feedback_offset,
        "tenants": tenants,
        "programs": programs,
        "families": block.watch.families.saved(),
        "gatherings": {g.detector.source.id: [g.incarnation, g.next_step, g.begun, g.overflowed]
                       for g in block.watch.gatherings.values()},
        "full": full,
        "chances": block.watch.thresholds.chances(),
        "signal": block.narration.signal,
        "rules": block.rules.saved(),
        "hidden": block.narration.hiding.hidden,
        "episodes": owners,
        "digests": digests,
        "episodes_full": block.episodes.full,
        "told": _save_told(block, arrays),
        "budgets": save_budgets(block, rows, arrays) if block.watch.budgets else None,
    }  # fmt: skip
    return pack(header, arrays, block.archive.pack(block.series.labels))


def _save_told(block: Block, arrays: dict[str, Any]) -> list[str] | None:
    """Ids of the detectors whose anomalies are counted; the counts go to ``arrays``."""
    if block.teller is None:
        return None
    ids, columns = block.teller.save(block.watch)
    arrays.update(columns)
    return ids


def _save_tenants(tenants: Sequence[str]) -> tuple[list[str], NDArray[Any]]:
    """Each tenant once, and the number of each row's tenant among them."""
    numbers: dict[str, int] = {}
    column = [numbers.setdefault(tenant, len(numbers)) for tenant in tenants]
    return list(numbers), np.array(column, np.min_scalar_type(len(numbers)))


def _save_keys(block: Block, rows: Ints, arrays: dict[str, Any]) -> list[str]:
    """Ids of the detectors that refused a series; what each watches goes to ``arrays``."""
    watch, routes = block.watch, block.watch.routes
    full = sorted((watch.detector(number).source.id, number) for number in watch.keys.full)
    for at, (_, number) in enumerate(full):
        watched = np.sort(routes.entries["row"][routes.lanes["entry"][routes.lanes_of_detector(number)]])
        arrays[f"keys/{at}"] = np.searchsorted(rows, watched).astype(np.int32)
    return [detector_id for detector_id, _ in full]


def load(raw: bytes, block: Block) -> Block:
    """Fill a new block with what was saved; raises ``SavedVersionError``.

    Detectors that this version refuses are left out, with all that is theirs; the end of their episodes is told.
    """
    saved = unpack(raw)
    header = saved.header
    block.log_ms, block.swept_s = header["log_ms"], header["swept_s"]
    block.configuration.offset, block.feedback_offset = header["detectors_offset"], header["feedback_offset"]
    block.configuration.announced = header["announced"]
    if "rules" in header:
        block.rules.replace(load_standing(header["rules"]))
        block.narration.hiding.hidden = header["hidden"]
    else:  # of a Tocsin that took no notice of feedback
        block.feedback_offset = 0
    _load_series(block, saved)
    sources = unpack_detectors(saved.arrays["detectors"].tobytes())
    block.configuration.revisions = DetectorTable(sources, block.compile)
    block.watch.families = Families((tenant, family, kind) for tenant, family, kind in header.get("families", ()))
    gathered = {key: (i, step, begun, over) for key, (i, step, begun, over) in header.get("gatherings", {}).items()}
    programs = {_load_key(key): number for number, key in enumerate(header["programs"])}
    block.watch.models.kept = {key: set(saved.arrays[f"{at}/rows"].tolist()) for key, at in programs.items()}
    full = header.get("full", ())
    block.watch.keys.kept = {detector_id: saved.arrays[f"keys/{at}"] for at, detector_id in enumerate(full)}
    block.watch.add_detectors(block.revisions.compiled.values(), gathered)
    block.watch.models.kept = block.watch.keys.kept = None
    numbers = block.watch.numbers
    block.watch.keys.full = {numbers[detector_id] for detector_id in full if detector_id in numbers}
    chances = {numbers[key]: chance for key, chance in header.get("chances", {}).items() if key in numbers}
    block.watch.thresholds.restore_chances(chances)
    block.narration.signal = _load_signal(header.get("signal"))
    _load_programs(block, saved, programs)
    load_episodes(block, saved, sources, list(programs))
    for source in sources:
        if source.id in gathered and source.id not in numbers:
            incarnation, step, _, _ = gathered[source.id]
            block.end_gathered(ending(source, incarnation, step))
    if block.teller is not None and header.get("told") is not None:
        block.teller.load(block.watch, block.log_ms, header["told"], saved.arrays)
    if header.get("budgets"):
        load_budgets(block, header["budgets"], saved.arrays)
    return block


def _load_series(block: Block, saved: Saved) -> None:
    tenants = [saved.header["tenants"][number] for number in saved.arrays["tenants"].tolist()]
    columns = (saved.arrays["series"].tolist(), tenants, unpack_labels(saved.blobs))
    for series, tenant, labels in zip(*columns, strict=True):
        block.series.add(NewSeries(series, tenant, labels), 0)
    for name in _ROW_COLUMNS:
        block.series.table[name][: len(tenants)] = saved.arrays[name]


def _save_key(key: Key) -> list[str | int]:
    if isinstance(key, GatherKey):
        return [key.detector, key.role, key.shape]
    return [key.kind, key.params, key.shape, key.calibrated, key.owner, key.peers]


def _load_key(saved: Sequence[Any]) -> Key:
    first, second, shape, *others = saved
    if isinstance(second, int):
        return GatherKey(first, second, Shape(shape))
    return ProgramKey(first, second, Shape(shape), *others)


def _load_signal(saved: Sequence[str] | None) -> tuple[Shape, str] | None:
    return (Shape(saved[0]), saved[1]) if saved else None


def _load_programs(block: Block, saved: Saved, numbers: Mapping[Key, int]) -> None:
    """``numbers`` are those of the programs in the snapshot, from which their arrays are named."""
    columns: dict[str, dict[str, NDArray[Any]]] = {}
    for name, column in saved.arrays.items():
        program, _, inner = name.partition("/")
        columns.setdefault(program, {})[inner] = column
    placed = block.watch.programs.all_slots()
    for key, number in numbers.items():
        if key in placed:
            _load_program(placed[key], columns[str(number)])


def _load_program(placed: Placed, columns: dict[str, NDArray[Any]]) -> None:
    program, rows, slots = placed
    saved_rows = columns.pop("rows")
    still = np.isin(saved_rows, rows)  # a newer Tocsin may read a selector otherwise
    found = slots[np.searchsorted(rows, saved_rows[still])]
    if isinstance(program, Gather):
        places = np.full(len(saved_rows), -1, np.int64)
        places[still] = found
        program.load(places, columns)
    else:
        program.load(found, {name: column[still] for name, column in columns.items()})
