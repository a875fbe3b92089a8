"""The naive way, for comparison: Bytewax's ``stateful_map`` with a key per series and a numpy MAD over a deque.

``python -m tests.benchmarks.naive_flow SERIES STEPS`` judges so many steps and prints the CPU seconds that this took.
As in the other parts, the steps before it, which fill the windows and which nothing judges, are not among them.
Decoding is left out, which flatters it.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from itertools import chain

import bytewax.operators as op
import numpy as np
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

WINDOW = 60
THRESHOLD = 6.0
State = deque[float]


def judge(state: State | None, value: float) -> tuple[State, float]:
    """Robust z-score of a value against the window before it."""
    state = deque(maxlen=WINDOW) if state is None else state
    score = 0.0
    if len(state) == WINDOW:
        window = np.array(state)
        median = np.median(window)
        mad = np.median(np.abs(window - median))
        score = abs(value - median) / (1.4826 * mad) if mad > 0 else 0.0
    state.append(value)
    return state, score


def main(series: int, steps: int) -> None:
    """Fill the windows, then judge ``series * steps`` samples."""
    values = np.random.default_rng(1).normal(100.0, 5.0, (WINDOW + steps, series))
    keys = [f"series-{number}" for number in range(series)]
    items = [pair for row in values for pair in zip(keys, row.tolist(), strict=True)]
    full_s: list[float] = []

    def note_time() -> Iterator[tuple[str, float]]:
        full_s.append(time.process_time())
        yield from ()

    found: list[object] = []
    flow = Dataflow("naive")
    source = chain(items[: WINDOW * series], note_time(), items[WINDOW * series :])
    samples = op.input("samples", flow, TestingSource(source, batch_size=1000))
    scores = op.stateful_map("judge", samples, judge)
    anomalies = op.filter_value("anomalies", scores, lambda score: bool(score > THRESHOLD))
    op.output("out", anomalies, TestingSink(found))
    run_main(flow)
    print(time.process_time() - full_s[0])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
