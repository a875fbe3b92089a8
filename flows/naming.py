"""Which signals of a detector are named in ``tocsin.status``, and what was heard of them since they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson

from connectors.status import MAX_SIGNALS, SignalState
from flows.detectors.base import Ints
from flows.heard import EXPECTED, LOWER, NONE, SCORE, TIME, UPPER, VALUE, Heard, labels_json
from flows.look import Look
from flows.series import NEVER_MS
from flows.watch import Watch

MAX_OTHERS = 8
"""Signals that are named without need, of a detector that has more than ``MAX_SIGNALS``."""
UNHEARD = [math.nan] * 6


class Naming:
    """The signals that are named now, by the numbers of their detectors."""

    def __init__(self) -> None:
        self.heard = Heard()
        self._named: dict[int, Ints] = {}
        """entries that detectors have claimed places for"""

    def forget(self, number: int) -> None:
        """A detector is gone, or computes something else."""
        self.heard.release(self._named.pop(number, np.zeros(0, np.int64)))

    def signals(self, watch: Watch, number: int, look: Look) -> list[dict[str, Any]]:
        """Those that are named, with what was heard of them since they are; of who found no place nothing is known."""
        series, raw = watch.series.table["series"], watch.series.labels
        chosen = _chosen(look, series[look.rows])[: self.heard.share(len(watch.numbers), MAX_SIGNALS)]
        entries, rows = look.entries[chosen], look.rows[chosen]
        before = self._named.pop(number, np.zeros(0, np.int64))
        signals = series[rows] ^ (look.programs[chosen].astype(np.uint64) << np.uint64(40))
        labels = [raw[row] or b"" for row in rows.tolist()]
        places = self.heard.listen(entries, signals, labels, watch.routes.entries.used)
        self.heard.release(before)
        room = places != NONE
        self._named[number] = entries[room]
        told = self._told(look, chosen, places, labels)
        self.heard.wait(places[room & ~look.silent[chosen]])
        return told

    def _told(self, look: Look, chosen: Ints, places: Ints, labels: list[bytes]) -> list[dict[str, Any]]:
        """What is said of each; columns at once, for to read an array one by one takes longer than all the rest."""
        columns = (look.silent, look.needs, look.open, look.last_ms)
        verdicts = self.heard.verdicts[places].tolist()  # of the last place, where there is none
        return [
            self._signal(place, label, UNHEARD if place == NONE else verdict, *state)
            for place, label, verdict, *state in zip(
                places.tolist(), labels, verdicts, *(column[chosen].tolist() for column in columns), strict=True
            )
        ]

    def _signal(
        self, place: int, label: bytes, heard: list[float], silent: bool, needs: int, is_open: bool, last_ms: int
    ) -> dict[str, Any]:
        judging = SignalState.WARMING if needs else SignalState.RUNNING
        return {
            "labels": orjson.Fragment(labels_json(label) if place == NONE else self.heard.labels[place]),
            "state": SignalState.SILENT if silent else judging,
            "open": is_open,
            "needs": needs,
            "last_ms": None if last_ms == NEVER_MS else last_ms,
            "time_ms": None if math.isnan(heard[TIME]) else int(heard[TIME]),
            "value": heard[VALUE],  # NaN becomes null
            "score": heard[SCORE],
            "expected": heard[EXPECTED],
            "lower": heard[LOWER],
            "upper": heard[UPPER],
        }


def _chosen(look: Look, series: Any) -> Ints:
    """The lanes to be named: open, silent, warming, others; within these by series hash, which nothing changes."""
    judged = np.flatnonzero(look.needs >= 0)
    needy = look.open[judged] | look.silent[judged] | (look.needs[judged] > 0)
    urgent, others = judged[needy], judged[~needy]
    room = MAX_SIGNALS if len(judged) <= MAX_SIGNALS else MAX_OTHERS
    others = others[_least(series[others], room)]
    if len(urgent):
        order = np.select([look.open[urgent], look.silent[urgent]], [0, 1], 2).astype(np.uint64)
        urgent = urgent[_least(order << np.uint64(62) | series[urgent] >> np.uint64(2), MAX_SIGNALS)]
    return np.concatenate([urgent, others])[:MAX_SIGNALS]


def _least(keys: Any, most: int) -> Ints:
    """Where the least of these keys are, ascending."""
    found = np.argpartition(keys, most)[:most] if len(keys) > most else np.arange(len(keys))
    return found[np.argsort(keys[found], kind="stable")]
