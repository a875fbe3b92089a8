"""Which pattern a masked line belongs to."""

from __future__ import annotations

from flows.mining.known_lines import UNKNOWN, KnownLines


def test_lines_are_found_and_their_coming_is_noted() -> None:
    known = KnownLines(10)
    known.add(1, 7, 100)
    assert (known.find(1, 105), known.find(2, 105)) == (7, UNKNOWN)
    assert known.seen == {1: 105}


def test_at_the_bound_no_other_is_remembered_and_that_is_counted() -> None:
    known = KnownLines(2)
    for line in range(5):
        known.add(line, line, 0)
    assert (len(known), known.refused) == (2, 3)


def test_what_did_not_come_is_forgotten_and_what_found_no_pattern_with_it() -> None:
    known = KnownLines(10)
    known.add(1, 7, 100)
    known.add(2, 8, 100)
    known.add(3, UNKNOWN, 100)
    known.find(1, 200)
    known.find(3, 200)
    known.forget_before(150)
    assert known.patterns == {1: 7}
    assert known.seen == {1: 200}


def test_lines_of_a_pattern_go_with_it() -> None:
    known = KnownLines(10)
    for line, number in ((1, 7), (2, 8), (3, 7)):
        known.add(line, number, 0)
    known.forget_patterns({7})
    assert known.patterns == {2: 8}
    assert known.seen == {2: 0}
