from __future__ import annotations

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
