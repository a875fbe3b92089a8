"""Rows of the past as a backtest gets them, and several signals of one entity among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.detector import Group, Shape
from flows.detectors.base import Floats, Ints
from flows.peers import name_of
from flows.selector import NAME_LABEL
from flows.shape.counter import is_counter
from flows.shape.rate import CHANGES, allocate_rates, rates


class Frame(NamedTuple):
    """Rows of the past in the order in which they came: one entity, a column per signal.

    ``times_ms`` (n,) int64 from 0 to ``MAX_TIME_MS``; ``values`` (n, signals) float64; ``present`` (n, signals) bool,
    False where a row has no sample of that signal; ``labels`` of each signal, with a name.
    """

    times_ms: Ints
    values: Floats
    present: NDArray[np.bool_]
    labels: Sequence[Mapping[str, str]]


def joined(frames: Sequence[Frame]) -> Frame:
    """Frames whose times ascend as one: a row for each time that any of them has."""
    times_ms = np.unique(np.concatenate([frame.times_ms for frame in frames]))
    columns = [column for frame in frames for column in frame.labels]
    values = np.full((len(times_ms), len(columns)), np.nan)
    present = np.zeros(values.shape, np.bool_)
    at = 0
    for frame in frames:
        rows, own = np.searchsorted(times_ms, frame.times_ms), slice(at, at + len(frame.labels))
        values[rows, own], present[rows, own] = frame.values, frame.present
        at = own.stop
    return Frame(times_ms, values, present, columns)


def entities_of(group: Group, frames: Iterable[Frame]) -> dict[bytes, Frame]:
    """The frames of single series as those of the entities that a group makes of them, by its name."""
    members = dict[bytes, list[Frame]]()
    for frame in frames:
        members.setdefault(name_of(group, frame.labels[0]), []).append(frame)
    return {name: joined(of_one) for name, of_one in members.items()}


def shaped(frame: Frame, shape: Shape) -> Frame:
    """The same with changes in the place of counters, as signals that are judged together are raw."""
    values, fresh = frame.values.copy(), fresh_samples(frame)
    for at, labels in enumerate(frame.labels):
        change = _change_of(shape, labels)
        if change is not None:
            rows = np.flatnonzero(fresh[:, at])
            slots, state = np.zeros(len(rows), np.int64), allocate_rates(1)
            values[rows, at] = rates(state, slots, frame.times_ms[rows], frame.values[rows, at], None, change)
    return frame._replace(values=values)


def _change_of(shape: Shape, labels: Mapping[str, str]) -> Shape | None:
    """What a signal is turned into, None if it stays as it is."""
    if shape is Shape.AUTO:
        return Shape.RATE if is_counter(labels.get(NAME_LABEL, ""), lambda _family: None) else None
    return shape if shape in CHANGES else None


def fresh_samples(frame: Frame) -> NDArray[np.bool_]:
    """Samples that are neither late nor double, (n, signals): each later than all before it of its signal."""
    times_ms = np.where(frame.present, frame.times_ms[:, None], -1)
    before = np.maximum.accumulate(np.vstack([np.full((1, times_ms.shape[1]), -1), times_ms[:-1]]), axis=0)
    return frame.present & (times_ms > before)


def with_entity(frame: Frame) -> Frame:
    """One more column for what stands for all: a sample in the last row of each time that brings anything new."""
    n = len(frame.times_ms)
    brings = np.flatnonzero(fresh_samples(frame).any(axis=1))
    times_ms = frame.times_ms[brings]
    last = np.diff(times_ms, append=-1) != 0
    ahead = times_ms > np.maximum.accumulate(np.append(-1, np.where(last, times_ms, -1)))[:-1]
    present = np.zeros((n, 1), np.bool_)
    present[brings[last & ahead]] = True
    both = np.hstack([frame.values, np.zeros((n, 1))]), np.hstack([frame.present, present])
    return Frame(frame.times_ms, *both, [*frame.labels, {}])


class Column:
    """Finds the row of a signal's sample by its time: the first that has it, as only that one is judged."""

    def __init__(self, times_ms: Ints, present: NDArray[np.bool_]) -> None:
        rows = np.flatnonzero(present)
        order = np.argsort(times_ms[rows], kind="stable")
        self._rows = rows[order]
        self._times_ms = times_ms[self._rows]

    def rows_at(self, times_ms: Ints) -> Ints:
        """(n,) int64, −1 for a time at which there is no sample."""
        if not len(self._rows):
            return np.full(len(times_ms), -1)
        at = np.minimum(np.searchsorted(self._times_ms, times_ms), len(self._rows) - 1)
        return np.where(self._times_ms[at] == times_ms, self._rows[at], -1)
