"""Several signals as the rows of one entity."""

from __future__ import annotations

import numpy as np
import pytest

from connectors.detector import Shape
from flows.frame import Frame, fresh_samples, joined, shaped, with_entity

NAN = np.nan


def frame(times_s: list[float], table: list[list[float]], names: tuple[str, ...] = ("a", "b")) -> Frame:
    values = np.array(table, np.float64).reshape(len(times_s), len(names))
    times_ms = np.round(1000 * np.array(times_s)).astype(np.int64)
    return Frame(times_ms, values, ~np.isnan(values), [{"__name__": name} for name in names])


def test_fresh_is_what_is_later_than_all_before_it_of_its_signal() -> None:
    rows = frame([1, 2, 2, 1, 3], [[1, NAN], [2, NAN], [3, 4], [5, 6], [7, NAN]])
    assert fresh_samples(rows).tolist() == [
        [True, False], [True, False], [False, True], [False, False], [True, False],
    ]  # fmt: skip


def test_an_entity_has_a_sample_in_the_last_row_of_each_time_that_brings_anything() -> None:
    rows = frame([1, 2, 2, 1, 3, 3], [[1, NAN], [2, NAN], [NAN, 4], [5, 6], [7, NAN], [8, NAN]])
    both = with_entity(rows)
    assert both.present[:, -1].tolist() == [True, False, True, False, True, False]
    assert both.labels[-1] == {}
    np.testing.assert_array_equal(both.values[:, :-1], rows.values)
    assert with_entity(frame([], [])).present.shape == (0, 3)


@pytest.mark.parametrize(("shape", "a", "b_total"), [
    (Shape.AUTO, [1, 2, 4, 0], [NAN, 2, 4, NAN]), (Shape.RAW, [1, 2, 4, 0], [0, 20, 60, 10]),
    (Shape.RATE, [NAN, 0.1, 0.2, NAN], [NAN, 2, 4, NAN]), (Shape.DELTA, [NAN, 1, 2, -4], [NAN, 20, 40, -50]),
])  # fmt: skip
def test_counters_become_changes(shape: Shape, a: list[float], b_total: list[float]) -> None:
    rows = frame([10, 20, 30, 40], [[1, 0], [2, 20], [4, 60], [0, 10]], ("a", "b_total"))
    np.testing.assert_allclose(shaped(rows, shape).values.T, [a, b_total])


def test_late_and_double_samples_do_not_spoil_a_rate() -> None:
    rows = frame([10, 20, 20, 10, 30], [[0], [20], [99], [99], [60]], ("b_total",))
    np.testing.assert_allclose(shaped(rows, Shape.AUTO).values[[1, 4], 0], [2.0, 4.0])


def test_frames_are_joined_by_time() -> None:
    one, other = frame([1, 3], [[1], [3]], ("a",)), frame([1, 2], [[10], [20]], ("b",))
    both = joined([one, other])
    assert both.times_ms.tolist() == [1000, 2000, 3000]
    np.testing.assert_array_equal(both.values, [[1, 10], [NAN, 20], [3, NAN]])
    assert both.present.tolist() == [[True, True], [False, True], [True, False]]
    assert [labels["__name__"] for labels in both.labels] == ["a", "b"]
