from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.codec.encode import encode_labels
from flows.chunks import NewSeries
from flows.detectors.base import STALE_MARKER
from flows.series import DROPS, NEVER_MS, SeriesTable, admit
from tests.examples import examples

LABELS = {"__name__": "up", "job": "ü"}


def new(series: int, tenant: str = "t") -> NewSeries:
    return NewSeries(series, tenant, encode_labels({**LABELS, "n": str(series)}))


def row_of(table: SeriesTable, series: int) -> int:
    return int(table.index.find(np.array([series], np.uint64))[0])


def test_a_series_gets_a_row_and_gives_it_back() -> None:
    table = SeriesTable()
    assert [table.add(new(n), 5) for n in (7, 8, 9)] == [0, 1, 2]
    assert (len(table), table.live().tolist()) == (3, [0, 1, 2])
    assert table.labels_of(1) == {**LABELS, "n": "8"}
    table.remove(1)
    assert (row_of(table, 8), table.live().tolist(), len(table)) == (-1, [0, 2], 2)
    table.table["last_ms"][1] = 99
    assert table.add(new(10, "other"), 6) == 1
    assert (row_of(table, 10), table.tenant(1), table.tenant(0)) == (1, "other", "t")
    assert (table.table["last_ms"][1], table.table["active_s"][1], table.table["head"][1]) == (NEVER_MS, 6, -1)


def test_idle_rows() -> None:
    table = SeriesTable()
    for n, active_s in enumerate((10, 20, 30, 40)):
        table.add(new(n), active_s)
    table.remove(0)
    assert table.idle(30) == [1]
    assert table.idle(31) == [1, 2]
    assert table.idle(-5) == []


def test_log_time_may_be_beyond_2038() -> None:
    table = SeriesTable()
    table.add(new(1), 4_000_000_000)
    assert table.idle(4_000_000_001) == [0]


def test_tenants_are_freed_with_their_series() -> None:
    table = SeriesTable()
    for n in range(1000):
        table.remove(table.add(new(n, f"tenant {n}"), 0))
    assert len(table.tenants) == 1


def test_its_memory_goes_down_with_its_labels() -> None:
    table = SeriesTable()
    table.add(new(1), 0)
    one = table.size_bytes
    table.add(new(2), 0)
    assert table.size_bytes > one
    table.remove(1)
    assert table.size_bytes == pytest.approx(one, abs=16)


def admitted(rows: list[int], times_ms: list[int], values: np.ndarray, last_ms: np.ndarray) -> tuple[list[int], dict]:
    counts = np.zeros(len(DROPS) + 1, np.int64)
    active_s = np.zeros(len(last_ms), np.uint32)
    kept, _ = admit(
        np.array(rows, np.int64), np.array(times_ms, np.int64), values, last_ms, active_s,
        np.zeros(len(last_ms), np.float32), 77, 100, 200, counts,
    )  # fmt: skip
    return kept.tolist(), {name: n for name, n in zip((*DROPS, "stale"), counts.tolist(), strict=True) if n}


SAMPLES = st.lists(st.tuples(st.integers(-1, 2), st.integers(95, 205)), max_size=40)


@examples(80)
@given(SAMPLES, st.integers(0, 40))
def test_it_admits_what_its_twin_admits(samples: list[tuple[int, int]], cut: int) -> None:
    last: dict[int, int] = {}
    expected, drops = [], dict.fromkeys(DROPS, 0)
    for i, (row, time_ms) in enumerate(samples):
        reason = (
            "unlabelled" if row < 0 else "too_new" if time_ms > 200 else "too_old" if time_ms < 100
            else "duplicate" if time_ms == last.get(row) else "out_of_order" if time_ms < last.get(row, 0) else ""
        )  # fmt: skip
        if reason:
            drops[reason] += 1
        else:
            last[row] = time_ms
            expected.append(i)
    last_ms, found, counted = np.full(3, NEVER_MS), [], dict.fromkeys(DROPS, 0)
    for start, part in ((0, samples[:cut]), (cut, samples[cut:])):
        kept, counts = admitted([r for r, _ in part], [t for _, t in part], np.zeros(len(part)), last_ms)
        found += [start + i for i in kept]
        for reason, n in counts.items():
            counted[reason] += n
    assert (found, counted) == (expected, drops)


def test_only_the_bits_of_the_marker_are_stale() -> None:
    bits = np.array([STALE_MARKER, STALE_MARKER + 1, 0x7FF8000000000000, STALE_MARKER], np.int64)
    kept, counts = admitted([0, 0, 0, 1], [150, 151, 152, 99], bits.view(np.float64), np.full(2, NEVER_MS))
    assert kept == [0, 1, 2]
    assert counts == {"stale": 1, "too_old": 1}


def test_a_series_that_only_repeats_itself_is_still_there() -> None:
    active_s, counts = np.zeros(3, np.uint32), np.zeros(len(DROPS) + 1, np.int64)
    rows, times_ms = np.array([0, 1, 2, 2]), np.array([150, 140, 50, 500])
    admit(rows, times_ms, np.zeros(4), np.full(3, 150), active_s, np.zeros(3, np.float32), 77, 100, 200, counts)
    assert active_s.tolist() == [77, 77, 0]


def cadences(times_s: list[float]) -> list[float]:
    """Of one series, after each of its samples."""
    times_ms, last_ms, step_s = (
        (1000 * np.array(times_s)).astype(np.int64),
        np.array([NEVER_MS]),
        np.zeros(1, np.float32),
    )
    rows, limits = np.zeros(len(times_s), np.int64), (0, NEVER_MS, -NEVER_MS - 1)
    counts = np.zeros(len(DROPS) + 1, np.int64)
    kept, found = admit(rows, times_ms, np.zeros(len(rows)), last_ms, np.zeros(1, np.uint32), step_s, *limits, counts)
    assert step_s[0] == found[-1]
    assert len(kept) == len(found)
    return found.tolist()


def test_the_cadence_is_known_from_the_second_sample_on() -> None:
    assert cadences([0, 15, 30, 30, 45]) == [0, 15, 15, 15]


def test_a_gap_hardly_changes_the_cadence() -> None:
    assert cadences([0, 15, 30, 86_400, 86_415])[-2] == pytest.approx(15 * (1 + 3 / 16))
    assert cadences([0, 15, 30, 86_400, *range(86_415, 86_415 + 15 * 60, 15)])[-1] == pytest.approx(15, rel=0.01)


@pytest.mark.parametrize("first_s", [0.001, 5000.0])
def test_another_cadence_is_learned(first_s: float) -> None:
    assert cadences([0, first_s, *(first_s + 60.0 * n for n in range(1, 200))])[-1] == pytest.approx(60, rel=0.01)
