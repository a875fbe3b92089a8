from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.codec.encode import encode_labels, encode_sample, encode_varint
from connectors.codec.record import Columns, Met
from connectors.codec.runs import BYTES_PER_RUN, FIRST_RUNS, Runs
from connectors.codec.series_hash import hash_bytes, tenant_seed
from connectors.errors import Rejected
from tests.examples import examples
from tests.unit.connectors.codec.test_remote_write import changed

SEEDS = [tenant_seed("a"), tenant_seed("b")]
RUNS = [
    encode_labels({"__name__": "m"}),
    encode_labels({"__name__": "m", "z": "1"}),  # the one before is a prefix of it
    encode_labels({"__name__": "m", "z": "2"}),
    encode_labels({"__name__": "m", "z": "3" * 200}),
    b"\x0a\x00",
    b"\x0a\x00\x0a\x00",
    *(encode_labels({"__name__": "many", "n": str(n)}) for n in range(6)),
]
Call = tuple[bytes, int]


def series(run: bytes, *samples: bytes) -> bytes:
    content = run + b"".join(samples)
    return b"\x0a" + encode_varint(len(content)) + content


def record(numbers: Sequence[int], samples: int = 1) -> bytes:
    fields = [encode_sample(n, n / 2) for n in range(samples)]
    return b"".join(series(RUNS[number], *fields) for number in numbers)


def read(calls: Sequence[Call], known: Runs) -> tuple[list[object], list[list[Met]]]:
    """All columns of the records, or the words of the refusal; and the series that were new in each."""
    out: list[object] = []
    met = []
    for value, seed in calls:
        columns = Columns()
        try:
            met.append(columns.add(value, seed, known))
        except Rejected as error:
            out.append(str(error))
            continue
        taken = columns.take()
        starts = None if taken.starts_ms is None else taken.starts_ms.tolist()
        rows = taken.series.tolist(), taken.times_ms.tolist(), taken.values.view(np.int64).tolist()
        out.append((*rows, starts, taken.histograms))
    return out, met


def check(calls: Sequence[Call], max_runs: int) -> Runs:
    """With any memory the same comes out as without, and each series of good records is new when it is met first."""
    known = Runs(max_runs)
    (out, met), (expected, all_met) = read(calls, known), read(calls, Runs(0))
    assert out == expected
    assert len(known) <= max_runs
    seen: set[Met] = set()
    for new, every in zip(met, all_met, strict=True):
        fresh = set(every) - seen
        assert fresh <= set(new) <= set(every)
        if known.full_total == 0:
            assert len(new) == len(set(new)) == len(fresh)
        seen |= fresh
    return known


calls_strategy = st.lists(
    st.tuples(
        st.lists(st.integers(0, len(RUNS) - 1), max_size=12),
        st.sampled_from(SEEDS),
        st.one_of(st.none(), st.integers(0, 2**32)),
        st.integers(0, 2),
    ),
    max_size=8,
)


@examples(200)
@given(calls_strategy, st.sampled_from([1, 2, 3, 7, 1000]))
def test_any_order_tenants_and_damage_give_what_no_memory_gives(
    drawn: list[tuple[list[int], int, int | None, int]], max_runs: int
) -> None:
    calls = []
    for numbers, seed, damage, samples in drawn:
        value = record(numbers, samples)
        calls += [(value, seed), (value if damage is None else changed(value, damage), seed), (value, seed)]
    check(calls, max_runs)


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.long), 3])
def test_every_truncation_of_what_is_known(step: int) -> None:
    whole = record(range(len(RUNS)), samples=2)
    calls = [(whole, SEEDS[0])]
    for length in range(0, len(whole), step):
        calls += [(whole[:length], SEEDS[0]), (whole, SEEDS[0])]
    check(calls, 1000)


def test_a_run_with_further_labels_is_another_series() -> None:
    short, longer = RUNS[0], RUNS[1]
    fields = encode_sample(1, 1.0)
    calls = [(series(short, fields), SEEDS[0]), (series(longer, fields), SEEDS[0]), (series(short, fields), SEEDS[0])]
    calls += [(series(short + b"\x0a\xff", fields), SEEDS[0]), (series(short), SEEDS[0]), (short, SEEDS[0])]
    assert len(check(2 * calls, 1000)) == 2


def test_known_labels_apart_are_poison_as_ever() -> None:
    apart = series(RUNS[0], encode_sample(1, 1.0), RUNS[1])
    check([(record([0]), SEEDS[0]), (apart, SEEDS[0]), (record([0, 0]), SEEDS[0])], 1000)


def test_tenants_are_told_apart() -> None:
    value = record([0, 1, 2])
    known = check([(value, seed) for seed in (*SEEDS, *SEEDS)], 1000)
    assert len(known) == 6


def test_what_comes_as_before_is_found_without_a_hash() -> None:
    """The guess itself: had it not been used, the altered hash would not come out."""
    known, columns = Runs(10), Columns()
    columns.add(record([0, 1]), SEEDS[0], known)
    columns.add(record([0]), SEEDS[0], known)  # 0 comes after 1
    known.runs[2, 1] = 77
    columns.take()
    columns.add(record([1, 0]), SEEDS[0], known)
    assert columns.take().series.tolist() == [77, hash_bytes(RUNS[0], SEEDS[0])]


def test_the_bound_holds_and_is_counted() -> None:
    check([(record([number]), SEEDS[0]) for number in range(len(RUNS))], 5)
    known = Runs(5)
    read([(record(range(11)), SEEDS[0])], known)
    assert (known.full_total, len(known)) == (2, 1)


def test_long_runs_count_by_their_bytes() -> None:
    known = Runs(4)
    long = [encode_labels({"__name__": "m", "n": str(n), "x": "y" * (BYTES_PER_RUN + 100)}) for n in range(4)]
    read([(series(run, encode_sample(1, 1.0)), SEEDS[0]) for run in long], known)
    assert known.full_total == 1
    giant = encode_labels({"__name__": "m", "x": "y" * (10 * BYTES_PER_RUN)})
    calls = [(series(run, encode_sample(1, 1.0)), SEEDS[0]) for run in (*long, giant, *long, giant)]
    check(calls, 4)


@pytest.mark.long
def test_it_grows_with_what_it_knows() -> None:
    known, count = Runs(100_000), 20 * FIRST_RUNS
    runs = [encode_labels({"__name__": "grown", "n": str(n), "x": "y" * 200}) for n in range(count)]
    random.Random(1).shuffle(runs)
    value = b"".join(series(run, encode_sample(1, 1.0)) for run in runs)
    _, met = read([(value, SEEDS[0]), (value, SEEDS[0])], known)
    assert [len(new) for new in met] == [count, 0]
    assert (len(known), known.full_total) == (count, 0)
    held = sum(len(run) for run in runs)
    assert held < known.size_bytes < 1.25 * held + 80 * count + 4 * BYTES_PER_RUN * FIRST_RUNS


def test_what_is_forgotten_is_new_again() -> None:
    known = Runs(100)
    read([(record([0, 1, 2]), SEEDS[0])], known)
    mark = known.mark()
    read([(record([3, 0, 4]), SEEDS[0])], known)
    known.forget_since(mark)
    assert len(known) == 3
    _, met = read([(record([0, 1, 2, 3, 4]), SEEDS[0])], known)
    assert [new.labels for new in met[0]] == [RUNS[3], RUNS[4]]
    known.clear()
    _, met = read([(record([4, 0]), SEEDS[0])], known)
    assert [new.labels for new in met[0]] == [RUNS[4], RUNS[0]]


def test_a_full_memory_in_between_forgets_all() -> None:
    known = Runs(2)
    read([(record([0, 1]), SEEDS[0])], known)
    mark = known.mark()
    read([(record([2]), SEEDS[0])], known)
    known.forget_since(mark)
    assert len(known) == 0
