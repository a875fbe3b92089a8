"""Compile or load every kernel before the first sample: numba does so at the first call, which would stop the flow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from connectors.catalogue import Topics
from connectors.codec.encode import encode_write_request
from connectors.codec.lean_numba import make_numba_lean
from connectors.codec.native import find_histograms
from connectors.detector import DetectorConfig, DetectorRevision, Group, Shape
from connectors.messages import CONTROL_HEADER, ControlRecord, Header
from flows import entity
from flows.block import Block
from flows.calibration import allocate_tails, calibrate
from flows.decode import Decoder
from flows.detectors.base import Learned, Scored, Silent, Table
from flows.detectors.registry import KINDS, Trait
from flows.limits import BlockLimits
from flows.persistence import load, save

COMPILED = tuple(kind for kind in KINDS if Trait.OBJECTS not in KINDS[kind].traits)
SIMPLEST = "threshold"
SELECTOR = 'warm{n!="",n=~".+"}'
"""A home, a comparison, and an expression to be tried."""
STEPS = 70
"""More than the default window, so that full windows are met too."""
STEPS_AT_ONCE = 10
"""So many between two control records: what is judged at once costs hardly more than what is judged alone."""


class _Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]


def warm() -> None:
    """All that follows: what ``tocsin warm`` compiles in processes of their own, and a flow loads."""
    warm_kinds()
    warm_shapes()
    warm_groups()


def warm_shapes() -> None:
    """Run a spike through every shape, alone and in groups, of the simplest kind, with a snapshot in the middle."""
    make_numba_lean()
    revisions = [_revision(shape, group) for shape in Shape for group in (None, Group(step_s=STEPS_AT_ONCE))]
    decoder = Decoder(announce_every_s=60, max_series=16)

    def new_block() -> Block:
        return Block(Topics(), BlockLimits(), lambda start, end: revisions[start:end])

    block = new_block()
    block.take(decoder.decode([_control(0, len(revisions))])[0][1])
    for step in range(0, STEPS, STEPS_AT_ONCE):
        steps = range(step, step + STEPS_AT_ONCE)
        records = [*map(_samples, steps), _control(1000 * steps[-1], len(revisions))]
        for _, chunks in decoder.decode(records):
            block.take(chunks)
    load(save(block), new_block()).take(decoder.decode([_control((STEPS + 7200) * 1000, len(revisions))])[0][1])


def warm_kinds() -> None:
    """Run some samples through each kind, without a block: what compiles longest, beside shapes and groups."""
    make_numba_lean()
    for kind in COMPILED:
        entry = KINDS[kind]
        detector = entry.make(entry.params.model_validate(entry.example))
        state, tails, rows = detector.allocate(4), allocate_tails(4), np.arange(4)
        for step in range(3):
            times_ms, values = np.full(4, 1000 * step), rows.astype(np.float64)
            if isinstance(detector, Silent):
                detector.hear(state, rows, times_ms, values)
                detector.advance(state, rows, 1000 * step)
            else:
                calibrate(tails, rows, values, detector.step(state, rows, times_ms, values))
        if isinstance(detector, Learned):
            detector.note(state, rows)


def warm_groups() -> None:
    """Compile what the steps after a block call, which judge groups or look for native histograms."""
    make_numba_lean()
    for kind in KINDS.values():
        if Trait.TOGETHER in kind.traits:
            detector = kind.make(kind.params())
            state, rows = detector.allocate(STEPS), np.arange(STEPS)
            for step in range(2):
                detector.step(state, rows, np.full(STEPS, step), rows.astype(np.float64))
    rows, values = np.arange(2), np.zeros(2)
    entity.combine(Table(entity.COLUMNS, 2), rows, rows, values, Scored(*(values.copy() for _ in Scored._fields)))
    find_histograms(_samples(0).value or b"", 0)


def _revision(shape: Shape, group: Group | None) -> DetectorRevision:
    params = dict(KINDS[SIMPLEST].example)
    config = DetectorConfig(name=SIMPLEST, kind=SIMPLEST, selector=SELECTOR, shape=shape, params=params, group=group)
    key = f"{shape}-{'group' if group else 'series'}"
    return DetectorRevision(detector_id=key, base_revision=0, config=config, author="", time_ms=0)


def _samples(step: int) -> _Record:
    value = float(step % 5) if step < STEPS - 1 else 1e6
    numbers = range(2 if step < STEPS // 2 else 3)  # the third comes when detectors are there
    series = [({"__name__": "warm", "n": str(n)}, [(step * 1000 + 1, value + n)]) for n in numbers]
    return _Record("warm", 0, 2 * step, None, encode_write_request(series), [])


def _control(time_ms: int, detectors_offset: int) -> _Record:
    control = ControlRecord(time_ms=max(1, time_ms), detectors_offset=detectors_offset, feedback_offset=0)
    return _Record("warm", 0, 0, None, control.encode(), [(CONTROL_HEADER, b"1")])
