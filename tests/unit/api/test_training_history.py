"""History is sorted, cut into small records for the partitions of its series, and loses nothing on the way."""

from __future__ import annotations

import numpy as np

from api.past_series import PastSeries
from api.training_history import CROWD, history_of, pieces
from connectors.codec.encode import encode_labels
from connectors.codec.record import decode_record
from connectors.codec.series_hash import series_hash, tenant_seed

TENANT, PARTITIONS = "shop", 3


def series(name: str, *times_ms: int) -> PastSeries:
    return PastSeries({"__name__": name}, np.array(times_ms, np.int64), np.array(times_ms, np.float64) / 2)


def test_samples_are_sorted_and_doubles_counted() -> None:
    twice = PastSeries({"__name__": "m"}, np.array([30, 10, 30, 20]), np.array([1.0, 2.0, 3.0, 4.0]))
    history = history_of([twice, series("other", 1)], lambda labels: labels["__name__"] == "m")
    (kept,) = history.series
    assert (kept.times_ms.tolist(), kept.values.tolist()) == ([10, 20, 30], [2.0, 4.0, 1.0])
    assert (history.samples, history.unmatched, history.duplicates) == (3, 1, 1)


def test_pieces_hold_all_samples_in_the_partitions_of_their_series_by_time() -> None:
    names = [f"m{number}" for number in range(7)]
    history = history_of([series(name, *range(10, 60)) for name in names], lambda _: True)
    found = list(pieces(history, TENANT, PARTITIONS, 16))
    assert all(0 < piece.samples <= 16 for piece in found)
    homes = {series_hash(encode_labels({"__name__": name}), TENANT): name for name in names}
    told: dict[str, list[int]] = {name: [] for name in names}
    latest = dict.fromkeys(range(PARTITIONS), 0)
    for piece in found:
        columns = decode_record(piece.value, tenant_seed(TENANT))
        assert len(columns.series) == piece.samples
        assert {int(one) % PARTITIONS for one in columns.series} == {piece.partition}
        assert int(columns.times_ms.min()) >= latest[piece.partition]
        latest[piece.partition] = int(columns.times_ms.max())
        assert (columns.values == columns.times_ms / 2).all()
        for one, time_ms in zip(columns.series.tolist(), columns.times_ms.tolist(), strict=True):
            told[homes[one]].append(time_ms)
    assert all(times_ms == list(range(10, 60)) for times_ms in told.values())


def test_a_record_does_not_hold_more_new_series_than_the_flow_meets_in_a_moment() -> None:
    history = history_of([series(f"m{number}", 3, 4, 5) for number in range(5 * CROWD)], lambda _: True)
    found = [decode_record(piece.value, tenant_seed(TENANT)) for piece in pieces(history, TENANT, 2, 2000)]
    assert max(len(set(columns.series.tolist())) for columns in found) <= CROWD
    told = [(one, time_ms) for c in found for one, time_ms in zip(c.series.tolist(), c.times_ms.tolist(), strict=True)]
    assert len(told) == len(set(told)) == 3 * 5 * CROWD


def test_partitions_take_turns() -> None:
    history = history_of([series(f"m{number}", *range(100)) for number in range(7)], lambda _: True)
    first = [piece.partition for piece in pieces(history, TENANT, PARTITIONS, 10)][:PARTITIONS]
    assert first == sorted(set(first))


def test_no_history_is_no_piece() -> None:
    assert list(pieces(history_of([], lambda _: True), TENANT, PARTITIONS, 10)) == []
