from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from connectors.detector import Shape
from flows.calibration import allocate_tails, calibrate
from flows.config import ProgramKey
from flows.program import Program

KEY = ProgramKey("zscore", '{"window":5}', Shape.RAW)
RATE = ProgramKey("zscore", '{"window":5}', Shape.RATE)
CALIBRATED = ProgramKey("zscore", '{"window":5}', Shape.RATE, calibrated=True)


def feed(program: Program, slot: int, values: list[float], first: int = 0) -> tuple[list[float], list[float]]:
    times_ms = 1000 * (first + np.arange(len(values), dtype=np.int64))
    shaped, scored, _ = program.step(np.full(len(values), slot), times_ms, np.array(values), None)
    return shaped.tolist(), scored.score.tolist()


def test_slots_are_dense_and_used_again_empty() -> None:
    program = Program(KEY)
    assert [program.take_slot() for _ in range(3)] == [0, 1, 2]
    feed(program, 1, [1.0, 2.0, 3.0])
    program.free_slots(np.array([1]))
    assert len(program) == 2
    assert program.take_slot() == 1
    assert program.needs(np.array([0, 1, 2])).tolist() == [5, 5, 5]


def test_a_counter_is_judged_by_its_rate() -> None:
    program = Program(RATE)
    slot = program.take_slot()
    shaped, score = feed(program, slot, [0.0, 5.0, 11.0, 16.0, 22.0, 27.0, 33.0, 1033.0])
    assert shaped[1:] == [5.0, 6.0, 5.0, 6.0, 5.0, 6.0, 1000.0]
    assert np.isnan(shaped[0])
    assert score[-1] > 100
    program.free_slots(np.array([slot]))
    assert np.isnan(feed(program, program.take_slot(), [9.0], first=8)[0][0]), "the previous counter is forgotten"


@pytest.mark.long
def test_surprises_are_those_that_the_tail_of_the_series_bears_out() -> None:
    """Against the detector alone and calibration alone, on a tail that is heavier than the model's."""
    values = np.random.default_rng(1).standard_t(3, 80_000)
    times_ms, rows = 1000 * np.arange(len(values)), np.full(len(values), 1)
    program = Program(replace(CALIBRATED, params='{"window":60}', shape=Shape.RAW))
    for _ in range(2):
        program.take_slot()
    shaped, scored, _ = program.step(rows, times_ms, values, None)
    bare = program.detector.step(program.detector.allocate(2), rows, times_ms, values)
    np.testing.assert_array_equal(shaped, values)
    for got, expected in zip(scored, calibrate(allocate_tails(2), rows, values, bare), strict=True):
        np.testing.assert_array_equal(got, expected)
    late = slice(60_000, None)
    assert np.mean(bare.score[late] >= 3.0) > 0.01
    assert np.mean(scored.score[late] >= 3.0) < 0.002


@pytest.mark.parametrize("key", [KEY, RATE, CALIBRATED])
def test_saved_columns_go_on_in_other_slots(key: ProgramKey) -> None:
    values = np.random.default_rng(0).uniform(0.0, 1.0, 40).cumsum().tolist()  # a counter, too
    one, other = Program(key), Program(key)
    for program, slots in ((one, 2), (other, 5)):
        for _ in range(slots):
            program.take_slot()
    feed(one, 1, values[:20])
    other.load(np.array([4, 0]), one.save(np.array([1, 0])))
    assert feed(other, 4, values[20:], first=20) == feed(one, 1, values[20:], first=20)
    assert other.needs(np.array([0, 4])).tolist() == [5, 0]


def test_its_memory() -> None:
    raw, rate = Program(KEY), Program(RATE)
    raw.take_slot()
    rate.take_slot()
    assert rate.size_bytes == raw.size_bytes + 16 * 21
    calibrated = Program(CALIBRATED)
    calibrated.take_slot()
    assert calibrated.size_bytes == rate.size_bytes + 16 * 73


def test_gaps_are_no_samples_that_a_surprise_rests_on() -> None:
    """What no detector learns from must not lift the ceiling of surprises (``flows.policy.ceiling_of``)."""
    program = Program(KEY)
    slot = program.take_slot()
    values = np.array([1.0, np.inf, np.nan, 2e38, -np.inf, -2e38, 1e38, 2.0])
    rows, times_ms = np.full(len(values), slot), 1000 * np.arange(len(values))
    assert program.step(rows, times_ms, values, None).seen.tolist() == [0, 1, 1, 1, 1, 1, 1, 2]
    assert program.counts["known"][slot] == 3
