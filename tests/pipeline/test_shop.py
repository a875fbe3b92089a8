"""The detectors that come along, on the demo's shop: each fault is found, and nothing is where there is none."""

from __future__ import annotations

import random

import numpy as np
import pytest

import api.shop
from api.default_detectors import DEFAULTS, first_revisions
from api.shop import FAULT_EVERY_S, FAULT_S, FIRST_FAULT_S, Shop
from connectors.catalogue import Topics
from connectors.codec.encode import encode_labels
from connectors.messages import ControlRecord
from flows.block import Block
from flows.chunks import Chunk, NewSeries, Samples
from flows.limits import BlockLimits
from tests.streams import anomalies

START_S = 1_700_000_000
JITTER_S = 0.004
"""Standard deviation of the demo's pushes: a second is never quite one."""


def second(shop: Shop, time_s: float, known: dict[bytes, int]) -> list[Chunk]:
    """What the shop shows now, then the time."""
    read = [
        (encode_labels(labels), value) for labels, value in shop.advance(time_s) if "fault" not in labels["__name__"]
    ]
    new = tuple(
        NewSeries(known.setdefault(labels, len(known) + 1), "anonymous", labels)
        for labels, _ in read
        if labels not in known
    )
    series = np.array([known[labels] for labels, _ in read], np.uint64)
    time_ms = round(time_s * 1000)
    samples = Samples(
        series, np.full(len(read), time_ms), np.array([value for _, value in read], np.float64), None, new
    )
    return [samples, ControlRecord(time_ms=time_ms, detectors_offset=len(DEFAULTS), feedback_offset=0)]


def opened_s(duration_s: int, seed: int) -> list[float]:
    """Seconds after the start at which episodes opened."""
    shop, jitter, known = Shop(START_S, seed), random.Random(seed), dict[bytes, int]()
    revisions = first_revisions(START_S * 1000)
    block = Block(Topics(), BlockLimits(), lambda start, end: revisions[start:end])
    block.take([ControlRecord(time_ms=START_S * 1000, detectors_offset=len(DEFAULTS), feedback_offset=0)])
    records = [
        record
        for elapsed_s in range(1, duration_s)
        for record in block.take(second(shop, START_S + elapsed_s + jitter.gauss(0.0, JITTER_S), known))
    ]
    return [anomaly.start_ms / 1000 - START_S for anomaly in anomalies(records) if anomaly.event == "opened"]


def test_every_fault_is_found_and_nothing_else() -> None:
    half_an_hour_s = 1800
    at_s = opened_s(half_an_hour_s, seed=1)
    faults = {(one - FIRST_FAULT_S) // FAULT_EVERY_S for one in at_s}
    assert faults == set(range(int((half_an_hour_s - FIRST_FAULT_S) // FAULT_EVERY_S) + 1))
    assert all((one - FIRST_FAULT_S) % FAULT_EVERY_S < FAULT_S + 5 for one in at_s)


def test_an_hour_without_faults_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.shop, "fault_at", lambda _: None)
    assert opened_s(3600, seed=2) == []
