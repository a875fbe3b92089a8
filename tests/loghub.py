"""Loghub's systems, and how rightly their lines are grouped: https://github.com/logpai/loghub"""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from connectors.codec.stream import Entry, encode_stream
from flows.mining.limits import USUAL_LABELS
from flows.mining.lines import LineDecoder
from flows.mining.tree import Tree
from tests.streams import Record


class System(NamedTuple):
    """Lines of one system, and the true group of each."""

    name: str
    lines: list[str]
    truth: list[str]


def systems() -> Iterator[System]:
    """Those of ``TOCSIN_DATA``."""
    for path in sorted((Path(os.environ["TOCSIN_DATA"]) / "loghub").glob("*/*_structured.csv")):
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            rows = list(csv.DictReader(file))
        yield System(path.parent.name, [row["Content"] for row in rows], [row["EventId"] for row in rows])


def accuracy(system: System) -> float:
    """Share of lines whose group holds exactly the lines of the true one."""
    return grouping_accuracy(groups(system.lines), system.truth)


def groups(lines: Sequence[str]) -> list[int]:
    """The pattern of each line, as they come one after the other."""
    value = encode_stream('{app="x"}', [Entry(n, line.encode()) for n, line in enumerate(lines)], 1)
    ((_, (chunk,)),) = LineDecoder(60, USUAL_LABELS).decode([Record("logs", 0, 0, b"t", value, [])])
    tree = Tree()
    found = {new.line: tree.learn(new.scope, new.text, 0)[0].number for new in chunk.new}
    return [found[line] for line in chunk.masked.tolist()]


def grouping_accuracy(found: Sequence[Hashable], truth: Sequence[Hashable]) -> float:
    """Of groups found and true ones, a label each per line."""
    mine, true = defaultdict(set), defaultdict(set)
    for n, (group, real) in enumerate(zip(found, truth, strict=True)):
        mine[group].add(n)
        true[real].add(n)
    right = [len(lines) for lines in mine.values() if true[truth[next(iter(lines))]] == lines]
    return float(np.sum(right) / len(truth))
