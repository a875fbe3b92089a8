from __future__ import annotations

import numpy as np

from flows.choices import CHOICE_PLACES, MAX_CHOSEN, Choices


def ints(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(numbers, np.int64)


def test_choices_are_kept_by_flat_up_to_a_bound() -> None:
    choices = Choices()
    assert choices.unknown(ints(3, 1, 3)).tolist() == [1, 3]
    choices.keep(ints(1, 3), ints(3, 3), ints(7, 9))
    assert choices.unknown(ints(1, 2, 3)).tolist() == [2]
    choices.keep(ints(2), ints(2), ints(5))
    sizes, places = choices.of(ints(3, 1, 2, 3))
    assert (sizes.tolist(), places.tolist()) == ([2, 0, 1, 2], [7, 9, 5, 7, 9])
    choices.forget(3)
    choices.forget(1000)
    assert choices.unknown(ints(1, 2, 3)).tolist() == [3]
    choices.keep(ints(3), np.full(MAX_CHOSEN, 3), np.zeros(MAX_CHOSEN, np.int64))
    assert choices.cost == MAX_CHOSEN + 3 + 4 * CHOICE_PLACES
    assert choices.unknown(ints(1, 2)).tolist() == [1, 2], "all before is forgotten"
    assert choices.cost == 0
