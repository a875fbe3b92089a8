"""How good detection is on labelled data: the table of the quality targets.

    TOCSIN_DATA=FOLDER python -m tests.benchmarks.quality [--detector auto] [--json]

``FOLDER/quality`` (or ``--data``) holds a folder per set: ``NAME.csv.gz`` with ``timestamp_ms``, value columns and
``label``, and ``set.json`` with ``skip`` (points or fraction not scored at the start, one or one per NAME), ``slack``
(points after an event in which an alarm still hits it) and ``nab`` (true: Numenta's score is computed too). The data
is judged by ``tocsin backtest``, which never looks at labels; ``tests/benchmarks/scoring.py`` says how it is scored.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from api.backtest import Wanted, run_backtest
from tests.benchmarks.scoring import Nab, Series, at_budget, count, nab, shipped

SHIPPED_FALSE = 1.0
SHIPPED_RECALL = 0.9
"""As shipped: at most so many false alarms per series-week, with so much of the recall at one false alarm."""


class Target(NamedTuple):
    """What a set must reach; None: nothing is asked."""

    recall_1: float | None = None
    recall_02: float | None = None
    nab: float | None = None


TARGETS = {"mscloud": Target(0.65, 0.42), "asd": Target(0.60), "nab": Target(nab=72.0)}
"""The best baselines: mscloud .573/.345 (EWMA), asd .526 (hour of week), nab 72.1 (HTM)."""


def measure(data: Path, output: Path) -> dict[str, dict[str, Any]]:
    """Figures of every set of ``data`` that was judged into ``output``."""
    result: dict[str, dict[str, Any]] = {}
    for about in sorted(data.glob("*/set.json")):
        folder = about.parent
        spec = json.loads(about.read_text())
        series = list(read_set(folder, output / folder.name, spec))
        as_shipped, at_1 = count(series, shipped), at_budget(series, 1.0)
        scores: Nab | None = nab(series) if spec.get("nab") else None
        result[folder.name] = {
            "series": len(series),
            "events": sum(len(one.events) for one in series),
            "shipped": as_shipped._asdict(),
            "at_1": at_1._asdict(),
            "at_0.2": at_budget(series, 0.2)._asdict(),
            "nab": scores._asdict() if scores else None,
        }
    return result


def read_set(folder: Path, output: Path, spec: dict[str, Any]) -> Iterator[Series]:
    """Every series of a set with what was said of it."""
    for path in sorted(folder.glob("*.csv.gz")):
        name = path.name.removesuffix(".csv.gz")
        data, judged = read_columns(path), read_columns(output / f"{name}.csv")
        if not np.array_equal(data["timestamp_ms"], judged["timestamp_ms"]):
            sys.exit(f"{folder.name}/{name}: the backtest has other rows than the data")
        skip = spec["skip"][name] if isinstance(spec["skip"], dict) else spec["skip"]
        times_ms, label = data["timestamp_ms"], data["label"]
        yield Series.cut(times_ms, label, judged["score"], judged["alert"], skip, spec["slack"])


def read_columns(path: Path) -> dict[str, NDArray[np.float64]]:
    """A CSV file by column; empty cells are NaN."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as text:
        head, *rows = csv.reader(text)
    cells = np.array([[float(cell or "nan") for cell in row] for row in rows])
    return dict(zip(head, cells.T, strict=True))


def missed(name: str, figures: dict[str, Any]) -> list[str]:
    """Targets that a set does not reach, in words."""
    target, as_shipped = TARGETS.get(name, Target()), figures["shipped"]
    at_1, at_02, score = figures["at_1"]["recall"], figures["at_0.2"]["recall"], figures["nab"]
    checks = [
        ("recall @1", at_1, target.recall_1),
        ("recall @0.2", at_02, target.recall_02),
        ("nab at the best threshold", score["best_threshold"] if score else None, target.nab),
        ("recall as shipped", as_shipped["recall"], SHIPPED_RECALL * at_1),
    ]
    words = [
        f"{what} is {value:.3f}, wanted at least {wanted:.3f}"
        for what, value, wanted in checks
        if value is not None and wanted is not None and value < wanted
    ]
    false = as_shipped["false_per_series_week"]
    too_many = f"false alarms per series-week as shipped are {false:.2f}, wanted at most {SHIPPED_FALSE:.2f}"
    return words + [too_many] * (false > SHIPPED_FALSE)


def table(result: dict[str, dict[str, Any]]) -> str:
    """For people."""
    head = f"{'set':14}{'series':>7}{'events':>7} | recall @1  @0.2 | "
    lines = [head + "shipped: recall  precision  false/week | nab best  shipped"]
    for name, figures in result.items():
        s, score = figures["shipped"], figures["nab"]
        line = f"{name:14}{figures['series']:7}{figures['events']:7} | {figures['at_1']['recall']:9.3f} "
        line += f"{figures['at_0.2']['recall']:5.3f} | {s['recall']:15.3f} {s['precision']:10.3f} "
        line += f"{s['false_per_series_week']:11.2f} | "
        lines.append(line + (f"{score['best_threshold']:8.2f} {score['shipped']:8.2f}" if score else ""))
    for name, figures in result.items():
        lines += [f"missed: {name}: {what}" for what in missed(name, figures)]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Exit code 1 when something could not be judged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = os.environ.get("TOCSIN_DATA")
    parser.add_argument("--data", type=Path, default=Path(folder) / "quality" if folder else None)
    parser.add_argument("--detector", default="auto", help="as for tocsin backtest")
    parser.add_argument("--out", type=Path, help="keep the judged rows here")
    parser.add_argument("--json", action="store_true", help="all figures as JSON")
    given = parser.parse_args(arguments)
    if given.data is None or not given.data.is_dir():
        parser.error(f"data = {given.data}: set TOCSIN_DATA or --data to a folder with the labelled sets")
    with tempfile.TemporaryDirectory() as scratch:
        out = given.out or Path(scratch)
        if code := run_backtest(Wanted(str(given.data), out, given.detector), sys.stderr):
            return code
        result = measure(given.data, out)
    sys.stdout.write((json.dumps(result, indent=1) if given.json else table(result)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
