"""A forest of half-space trees in few words, for snapshots: a twentieth of the bytes and of the time of its pickle.

Trees follow from the seed and the names of the features; what was learned is two masses per node.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def reduce_forest(obj: Any) -> Any:
    """For ``models.ModelTable``: how a grown, seeded ``HalfSpaceTrees`` is told; ``NotImplemented`` for all else."""
    if type(obj).__name__ != "HalfSpaceTrees" or not obj.trees or obj.seed is None:
        return NotImplemented
    features = _features(obj)
    nodes = [node for tree in obj._tree_nodes for node in tree]  # noqa: SLF001 - river names no other way to them
    masses = np.array([(node.l_mass, node.r_mass) for node in nodes], np.int32)
    made = (obj.n_trees, obj.height, obj.window_size, dict(obj.limits), obj.seed)
    return rebuild, (made, features, obj.counter, obj._first_window, masses.tobytes())  # noqa: SLF001


def rebuild(made: tuple[Any, ...], features: list[Any], counter: int, first: bool, masses: bytes) -> Any:
    """The forest again."""
    from river.anomaly import HalfSpaceTrees

    forest: Any = HalfSpaceTrees(*made)
    forest.learn_one(dict.fromkeys(features, 0.0))  # grows the trees
    nodes = [node for tree in forest._tree_nodes for node in tree]  # noqa: SLF001
    for node, (left, right) in zip(nodes, np.frombuffer(masses, np.int32).reshape(-1, 2).tolist(), strict=True):
        node.l_mass, node.r_mass = left, right
    forest.counter, forest._first_window = counter, first  # noqa: SLF001
    return forest


def _features(forest: Any) -> list[Any]:
    """Names of the features, as the limits know them since the trees grew."""
    return sorted(forest.limits)
