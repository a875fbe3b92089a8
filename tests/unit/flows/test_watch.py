from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from connectors.codec.encode import encode_labels
from connectors.detector import Detector
from flows.chunks import NewSeries
from flows.config import CompiledDetector, compile_config
from flows.policy import policy_of
from flows.programs import Key
from flows.series import SeriesTable
from flows.watch import Watch
from flows.work import WORK_PER_REMOVAL
from tests.streams import config


def detector(detector_id: str, **changes: Any) -> CompiledDetector:
    made = Detector(id=detector_id, revision=1, config=config(**changes), author="", updated_ms=0)
    return compile_config(made)


def watch_of(*series: dict[str, str]) -> Watch:
    watch = Watch(SeriesTable())
    for labels in series:
        add(watch, labels)
    return watch


def add(watch: Watch, labels: dict[str, str]) -> int:
    row = watch.series.add(NewSeries(hash(str(labels)) % 2**63, "anonymous", encode_labels(labels)), 0)
    watch.add_series([row])
    return row


def pairs(watch: Watch) -> set[tuple[int, str]]:
    """Row and detector of every lane, found from the rows."""
    lanes = {row: watch.lanes_of_series(row) for row in watch.series.live().tolist()}
    number = watch.routes.lanes["detector"]
    return {(row, watch.detector(int(number[lane])).source.id) for row, mine in lanes.items() for lane in mine}


M0, M1, N0 = {"__name__": "m", "n": "0"}, {"__name__": "m", "n": "1"}, {"__name__": "n", "n": "0"}


def test_new_detectors_and_new_series_find_each_other() -> None:
    watch = watch_of(M0, N0)
    watch.add_detectors([detector("a"), detector("b", selector='{n="0"}', threshold=3.0)])
    assert pairs(watch) == {(0, "a"), (0, "b"), (1, "b")}
    add(watch, M1)
    assert pairs(watch) == {(0, "a"), (0, "b"), (1, "b"), (2, "a")}


def test_detectors_that_compute_the_same_share_a_slot() -> None:
    watch = watch_of(M0, M1)
    watch.add_detectors([detector("a"), detector("b", threshold=3.0), detector("c", kind="zscore")])
    assert len(list(watch.programs.keys)) == 2
    program, rows, slots = watch.programs.slots(detector("a").program)
    assert (len(program), rows.tolist()) == (2, [0, 1])
    assert len(set(slots.tolist())) == 2
    assert len(watch.routes.entries) == 4
    assert len(watch.routes.lanes) == 6


def test_a_program_ends_with_the_last_detector_that_needs_it() -> None:
    watch = watch_of(M0)
    watch.add_detectors([detector("a"), detector("b", threshold=3.0)])
    watch.remove_detector(watch.numbers["a"])
    assert len(list(watch.programs.keys)) == 1
    watch.remove_detector(watch.numbers["b"])
    assert list(watch.programs.keys) == []
    assert (len(watch.routes.entries), len(watch.routes.lanes)) == (0, 0)
    assert watch.series.table["head"][0] == -1
    assert pairs(watch) == set()


def test_to_take_a_detector_away_is_work_too() -> None:
    watch = watch_of()
    watch.add_detectors([detector("a")])
    before = watch.work
    watch.remove_detector(watch.numbers["a"])
    assert watch.work == before + WORK_PER_REMOVAL


def test_numbers_are_used_again() -> None:
    watch = watch_of(M0)
    watch.add_detectors([detector("a"), detector("b", threshold=3.0, quiet_s=7.0)])
    watch.remove_detector(0)
    watch.add_detectors([detector("c", threshold=5.5, kind="ewma")])
    assert watch.numbers == {"b": 1, "c": 0}
    assert watch.policies["threshold"][:2].tolist() == [5.5, 3.0]
    assert watch.policies["quiet_ms"][:2].tolist() == [5000, 7000]
    assert pairs(watch) == {(0, "b"), (0, "c")}


def test_those_of_a_crowd_have_the_policy_of_each_also_under_numbers_used_again() -> None:
    crowd = [
        detector("a", threshold=3.0), detector("b", quiet_s=7.0), detector("c", kind="river", params={}),
        *(detector(f"more-{n}", threshold=4.0 + n) for n in range(40)),
    ]  # fmt: skip
    watch = watch_of(M0)
    watch.add_detectors([detector("first", threshold=99.0), detector("second", threshold=98.0)])
    for gone in ("first", "second"):
        watch.remove_detector(watch.numbers[gone])
    watch.add_detectors(crowd)
    assert sorted(watch.numbers.values()) == list(range(len(crowd)))
    for one in crowd:
        assert watch.policies[watch.numbers[one.source.id]].tobytes() == policy_of(one.source.config).tobytes()
    assert pairs(watch) == {(0, one.source.id) for one in crowd}


def test_a_crowd_asks_for_the_number_of_a_program_once_for_all_with_the_same_key() -> None:
    watch = watch_of(M0, M1)
    asked: list[Key] = []
    number_of = watch.programs.number_of
    watch.programs.number_of = lambda key, make: (asked.append(key), number_of(key, make))[1]  # type: ignore[method-assign]
    watch.add_detectors([detector(f"d{n}", threshold=3.0 + n) for n in range(50)])
    assert len(asked) == len(watch.programs) == 1
    assert len(pairs(watch)) == 100


def test_a_series_that_goes_takes_its_lanes_along() -> None:
    watch = watch_of(M0, M1)
    watch.add_detectors([detector("a"), detector("b", threshold=3.0)])
    watch.remove_series(np.array([0]))
    watch.series.remove(0)
    assert pairs(watch) == {(1, "a"), (1, "b")}
    program, rows, _ = watch.programs.slots(detector("a").program)
    assert (len(program), rows.tolist()) == (1, [1])


def test_many_series_go_at_once_and_the_others_stay() -> None:
    watch = watch_of(*({"__name__": "m", "n": str(n)} for n in range(40)))
    watch.add_detectors(
        [detector("a"), detector("b", threshold=3.0), detector("c", kind="ewma", selector='{n=~"3.*"}')]
    )
    gone = np.random.default_rng(0).permutation(40)[:25]
    lanes = [lane for row in gone.tolist() for lane in watch.lanes_of_series(row)]
    assert watch.lanes_of_rows(gone).tolist() == lanes
    left = {(row, name) for row, name in pairs(watch) if row not in gone}
    watch.remove_series(gone)
    assert pairs(watch) == left
    assert len(watch.routes.lanes) == len(left)
    assert watch.lanes_of_rows(gone).tolist() == []
    assert sorted(len(placed.rows) for placed in watch.programs.all_slots().values()) == sorted(
        [15, sum(name == "c" for _, name in left)]
    )


def test_a_swapped_detector_keeps_its_lanes() -> None:
    watch = watch_of(M0)
    watch.add_detectors([detector("a")])
    lanes = watch.lanes_of_series(0)
    watch.swap_detector(detector("a", name="renamed"))
    assert watch.lanes_of_series(0) == lanes
    assert watch.detector(0).source.config.name == "renamed"
    add(watch, M1)
    assert pairs(watch) == {(0, "a"), (1, "a")}


def test_a_stopped_detector_watches_nothing() -> None:
    watch = watch_of(M0)
    watch.add_detectors([detector("a", enabled=False)])
    add(watch, M1)
    assert pairs(watch) == set()
    watch.remove_detector(watch.numbers["a"])
    with pytest.raises(LookupError, match="number 0"):
        watch.detector(0)


def test_random_changes_agree_with_matching_everything_anew() -> None:
    rng, watch, alive = np.random.default_rng(0), watch_of(), dict[int, dict[str, str]]()
    known: dict[str, CompiledDetector] = {}
    for step in range(150):
        match int(rng.integers(0, 4)):
            case 0:
                labels = {"__name__": str(rng.choice(["m", "n"])), "n": str(rng.integers(0, 3)), "step": str(step)}
                alive[add(watch, labels)] = labels
            case 1 if alive:
                row = int(rng.choice(list(alive)))
                watch.remove_series(np.array([row]))
                watch.series.remove(row)
                del alive[row]
            case 2 if len(known) < 6:
                selector = str(rng.choice(["m", "n", '{n="0"}', '{n=~"1|2"}']))
                made = detector(f"d{step}", selector=selector, kind=str(rng.choice(["mad", "ewma"])))
                known[made.source.id] = made
                watch.add_detectors([made])
            case 3 if known:
                name = str(rng.choice(list(known)))
                watch.remove_detector(watch.numbers[name])
                del known[name]
        expected = {
            (row, name) for row, labels in alive.items() for name, d in known.items() if d.selector.matches(labels)
        }
        assert pairs(watch) == expected
        for key, placed in watch.programs.all_slots().items():
            alone = watch.programs.slots(key)
            assert placed.program is alone.program
            rows = [row for row in sorted(alive) if watch.routes.find_entry(head(watch, row), number(watch, key)) >= 0]
            assert placed.rows.tolist() == alone.rows.tolist() == rows
            entries = [watch.routes.find_entry(head(watch, row), number(watch, key)) for row in rows]
            assert placed.slots.tolist() == watch.routes.entries["slot"][entries].tolist()


def head(watch: Watch, row: int) -> int:
    return int(watch.series.table["head"][row])


def number(watch: Watch, key: Key) -> int:
    return list(watch.programs).index(watch.programs.slots(key).program)


def test_equal_selectors_are_found_alike_whenever_they_come() -> None:
    """What was chosen for one detector is remembered for the next, until series come or go."""
    watch = watch_of(M0, N0)
    watch.add_detectors([detector("a", selector='{n=~"0|7.+"}')])
    watch.forget_idle_columns()
    watch.add_detectors([detector("b", selector='{n=~"0|7.+"}', threshold=3.0)])
    assert pairs(watch) == {(0, "a"), (1, "a"), (0, "b"), (1, "b")}
    add(watch, {"__name__": "o", "n": "71"})
    watch.remove_series(np.array([0]))
    watch.series.remove(0)
    watch.add_detectors([detector("c", selector='{n=~"0|7.+"}', threshold=4.0)])
    watch.forget_idle_columns()
    watch.forget_idle_columns()
    watch.add_detectors([detector("d", selector='{n=~"0|7.+"}', threshold=5.0)])
    assert pairs(watch) == {(row, name) for row in (1, 2) for name in "abcd"}
