"""A merge to bytes and back: the parts that wait for other partitions, and the block that judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.codec.native import NativeHistogram
from connectors.detector import Detector, Shape
from flows.config import compile_config
from flows.contributions import load_leaders, save_leaders
from flows.group import GroupPlan
from flows.learned import load_learned
from flows.merge import Merge, Running
from flows.partial import GroupName, Part, Portion
from flows.persistence import load, save
from flows.rules import load_standing, save_standing
from flows.saved import Saved, pack, unpack
from flows.validator import ConfigError


def save_merge(merge: Merge) -> bytes:
    """All that a replay needs."""
    arrays: dict[str, NDArray[Any]] = {}
    queues = [[_save_part(part, arrays) for part in queue] for queue in merge.queues]
    running = merge.running
    header: dict[str, Any] = {"queues": queues, "running": None, "counts": merge.counts, "ended": merge.ended}
    header["learned"] = [learned.saved() for learned in merge.learned]
    memories = [learned.memory for learned in merge.learned]
    if running is None:
        return pack(header, arrays, memories)
    (detector,) = running.block.revisions.detectors.values()
    header["running"] = [running.incarnation, detector.model_dump(mode="json")]
    header["block_counts"] = running.block.counts
    header["contributors"] = running.block.narration.contributors.save()
    return pack(header, arrays, [*memories, save(running.block)])


def load_merge(raw: bytes, merge: Merge) -> Merge:
    """Fill a new merge with what was saved; raises ``SavedVersionError``.

    A detector that this version refuses does not run; the end of its episodes is told. The blocks say that it is gone.
    """
    saved = unpack(raw)
    for queue, parts in zip(merge.queues, saved.header["queues"], strict=True):
        queue.extend(_load_part(part, saved.arrays) for part in parts)
    learned = saved.header.get("learned", ())
    merge.learned.extend(load_learned(one, memory) for one, memory in zip(learned, saved.blobs, strict=False))
    merge.counts.update(saved.header["counts"])
    merge.ended.update(saved.header["ended"])
    if saved.header["running"] is not None:
        incarnation, source = saved.header["running"]
        _load_running(merge, saved, incarnation, Detector.model_validate(source))
    return merge


def _load_running(merge: Merge, saved: Saved, incarnation: int, detector: Detector) -> None:
    group = detector.config.group
    if group is None:
        return
    plan = _plan_of(detector)
    block = load(saved.blobs[-1], merge.new_block(plan or GroupPlan(group, detector.config.shape, ())))
    block.counts.update(saved.header["block_counts"])
    if plan is None:
        merge.forget(block)
        return
    block.narration.contributors.load(saved.header["contributors"])
    merge.running = Running(incarnation, detector.revision, plan, block)


def _plan_of(detector: Detector) -> GroupPlan | None:
    """How its groups are gathered; None if this version refuses it."""
    try:
        return compile_config(detector).plan
    except ConfigError:
        return None


def _save_part(part: Part, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    portions = []
    for portion in part.portions:
        prefix = f"{len(arrays)}"
        arrays[f"{prefix}/counts"], arrays[f"{prefix}/values"] = portion.counts, portion.values
        names = [[name.labels.decode("latin-1"), name.bound] for name in portion.names]
        histograms = [_save_histogram(histogram) for histogram in portion.histograms]
        portions.append([portion.role, portion.shape, names, prefix, histograms])
    plain = {
        "detector": part.detector.model_dump(mode="json"),
        "leaders": save_leaders(part.leaders),
        "rules": save_standing(part.rules),
    }
    return {**part._asdict(), **plain, "portions": portions}


def _load_part(saved: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Part:
    portions = [
        Portion(
            role,
            Shape(shape),
            tuple(GroupName(labels.encode("latin-1"), bound) for labels, bound in names),
            arrays[f"{prefix}/counts"].astype(np.int64),
            arrays[f"{prefix}/values"],
            tuple(_load_histogram(histogram) for histogram in histograms),
        )
        for role, shape, names, prefix, histograms in saved["portions"]
    ]
    plain: dict[str, Any] = {
        "detector": Detector.model_validate(saved["detector"]),
        "leaders": load_leaders(saved["leaders"]),
    }
    plain["rules"] = load_standing(saved.get("rules", ()))
    return Part(**{**saved, **plain, "portions": tuple(portions)})


def _save_histogram(histogram: NativeHistogram) -> dict[str, Any]:
    sides = {name: list(getattr(histogram, name).items()) for name in ("positive", "negative")}
    names = ("schema", "count", "total", "zero_threshold", "zero_count", "bounds", "start_ms", "gauge")
    return {**{name: getattr(histogram, name) for name in names}, **sides}


def _load_histogram(saved: dict[str, Any]) -> NativeHistogram:
    sides = {name: dict(map(tuple, saved[name])) for name in ("positive", "negative")}
    return NativeHistogram(**{**saved, **sides, "bounds": tuple(saved["bounds"])})
