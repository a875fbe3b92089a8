from __future__ import annotations

import numpy as np

from flows.waiting import NOTHING, Waiting


def waiting(*slots: int) -> Waiting:
    column = np.array(slots, np.int64)
    return Waiting(column, 10 * column, column / 2, column)


def test_samples_are_joined_in_order_and_chosen_in_all_columns() -> None:
    joined = Waiting.joined([NOTHING, waiting(3, 1), waiting(2)])
    assert len(joined) == 3
    some = joined.where(joined.slots != 1)
    assert some.times_ms.tolist() == [30, 20]
    assert some.values.tolist() == [1.5, 1.0]
    assert some.starts_ms.tolist() == [3, 2]
    assert some.size_bytes == 2 * 4 * 8
