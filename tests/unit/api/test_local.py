from __future__ import annotations

from api.local import leaves


def test_leaves_of_nested_groups() -> None:
    one, two = ValueError("one"), ValueError("two")
    assert list(leaves(ExceptionGroup("outer", [ExceptionGroup("inner", [one]), two]))) == [one, two]
    assert list(leaves(None)) == []
