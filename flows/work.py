"""How much work changes of configs are, so that judgement is never held up long: a measure that no machine enters."""

from __future__ import annotations

WORK_PER_CONTROL = 300_000
"""So much work with configs is done at the control records of a second, by the blocks of all partitions together, about
30 ms of it on a quiet machine; the rest waits for the next ones. With 600,000 judgement was held up for 0.13 to 0.26 s
(docs/performance.md)."""
WORK_PER_REVISION, WORK_PER_REMOVAL = 150, 400
"""Work in tenths of a microsecond, about: a revision is applied, as of a new detector; one that changes what its
detector computes, or deletes it, also takes the old one away. Measured in one block and in eight: 80 to 260, and 420 to
550 for both."""
WORK_PER_LANE, WORK_PER_SINGLE, WORK_PER_SERIES = 4, 200, 30
"""A lane is added or dropped in a crowd, or singly as groups need it; the labels of a series become columns when
changes begin."""
WORK_PER_MET = 400
"""A series is met that nobody has seen live."""
WORK_PER_SELECTOR, TRIED_PER_WORK = 100, 20
"""A selector that no other detector has must be tried on the series, so many of them for a unit."""


def work_of(partitions: int) -> int:
    """A block's part of ``WORK_PER_CONTROL`` in a flow of so many partitions."""
    return max(1, WORK_PER_CONTROL // partitions)


def work_to_try(selectors: int, series: int) -> int:
    """Work with so many new selectors, where there are so many series."""
    return selectors * (WORK_PER_SELECTOR + series // TRIED_PER_WORK)
