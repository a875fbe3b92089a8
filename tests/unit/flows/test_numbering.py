from __future__ import annotations

import numpy as np

from flows.numbering import Numbering


def test_a_number_is_shared_by_its_members_and_used_again_after_the_last() -> None:
    numbering: Numbering[str] = Numbering()
    assert [numbering.join(name) for name in ("a", "b", "a", "c")] == [0, 1, 0, 2]
    numbering.leave(0)
    assert (len(numbering), numbering.join("a")) == (3, 0)
    numbering.leave(1)
    assert len(numbering) == 2
    assert numbering.join("d") == 1
    assert numbering.names == ["a", "d", "c"]
    assert numbering.join("b") == 3


def test_random_members_get_the_lowest_number_that_is_free() -> None:
    rng, numbering, members = np.random.default_rng(0), Numbering[int](), list[tuple[int, int]]()
    for _ in range(2000):
        if members and rng.random() < 0.5:
            numbering.leave(members.pop(int(rng.integers(len(members))))[1])
            continue
        name, borne = int(rng.integers(40)), dict(members)
        free = next(n for n in range(41) if n not in borne.values())
        number = numbering.join(name)
        assert number == borne.get(name, free)
        members.append((name, number))


def test_a_number_is_found_without_a_look_at_all_others() -> None:
    """With thousands of groups, to seek a free number among all took as long as all else."""
    numbering: Numbering[int] = Numbering()
    numbering._sizes = Unsearchable()
    assert [numbering.join(name) for name in (7, 8, 7)] == [0, 1, 0]
    numbering.leave(1)
    assert numbering.join(9) == 1


class Unsearchable(list[int]):
    def __contains__(self, key: object) -> bool:
        raise AssertionError
