from __future__ import annotations

import gc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flows.revisions
from connectors.detector import DetectorConfig, DetectorRevision
from flows.config import compile_config
from flows.crowd import newcomers
from flows.revisions import DetectorTable, Outcome
from tests.examples import examples
from tests.streams import config

CONFIGS = [None, *(config(threshold=3.0 + n) for n in range(4)), config(selector="{"), config(enabled=False)]
REVISIONS = st.builds(
    lambda number, base, to: revision(f"d{number}", base, to),
    st.integers(0, 6), st.sampled_from([0, 0, 0, 0, 1]), st.sampled_from(CONFIGS),
)  # fmt: skip


def revision(detector_id: str, base: int, to: DetectorConfig | None) -> DetectorRevision:
    return DetectorRevision(detector_id=detector_id, base_revision=base, config=to, author="ann", time_ms=5)


def at_once(table: DetectorTable, revisions: Sequence[DetectorRevision | None]) -> bool:
    crowd = newcomers(revisions, compile_config)
    return crowd is not None and table.put_new(crowd)


def one_by_one(table: DetectorTable, revisions: Sequence[DetectorRevision]) -> list[Outcome]:
    return [table.apply(revision) for revision in revisions]


@examples(120)
@given(st.lists(st.lists(REVISIONS, min_size=1, max_size=4), max_size=4))
def test_a_crowd_stands_as_if_each_had_come_by_itself(crowds: list[list[DetectorRevision]]) -> None:
    table, twin = DetectorTable(), DetectorTable()
    for revisions in crowds:
        outcomes = one_by_one(twin, revisions)
        if at_once(table, revisions):
            assert set(outcomes) == {Outcome.APPLIED}
        else:
            assert one_by_one(table, revisions) == outcomes
        assert table.detectors == twin.detectors
        assert list(table.detectors) == list(twin.detectors), "in the same order"
        assert table.pack() == twin.pack()
    assert not any(table.twin_of(one) for one in table.compiled.values())


@pytest.mark.parametrize("odd", [
    None, revision("d9", 1, config(threshold=9.0)), revision("d9", 0, None), revision("d9", 0, config(selector="{")),
    revision("d0", 0, config(threshold=9.0)), revision("d9", 0, config(name="twin", threshold=3.0)),
])  # fmt: skip
def test_only_new_ones_are_taken_together(odd: DetectorRevision | None) -> None:
    new = [revision(f"d{n}", 0, config(threshold=3.0 + n)) for n in range(3)]
    assert newcomers([*new, odd], compile_config) is None
    assert at_once(DetectorTable(), new)


def test_a_crowd_that_finds_no_room_or_a_twin_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    new = [revision(f"d{n}", 0, config(threshold=3.0 + n)) for n in range(3)]
    monkeypatch.setattr(flows.revisions, "MAX_DETECTORS", 2)
    table = DetectorTable()
    assert not at_once(table, new)
    assert table.detectors == {}
    assert one_by_one(table, new) == [Outcome.APPLIED, Outcome.APPLIED, Outcome.LIMIT]
    monkeypatch.setattr(flows.revisions, "MAX_DETECTORS", 10)
    assert not at_once(table, [revision("other", 0, config(name="twin", threshold=3.0))])
    assert not at_once(table, [revision("d0", 0, config(threshold=9.0))])
    assert at_once(table, [new[2]])


def test_what_is_common_is_worked_out_once_for_the_very_same_revisions() -> None:
    new = [revision(f"d{n}", 0, config(threshold=3.0 + n)) for n in range(3)]
    crowd = newcomers(new, compile_config)
    assert newcomers(list(new), compile_config) is crowd
    equal = [revision(f"d{n}", 0, config(threshold=3.0 + n)) for n in range(3)]
    assert newcomers(equal, compile_config) is not crowd, "to compare them would take long"
    del new
    gc.collect()
    assert newcomers(equal, compile_config) is not crowd, "those that are remembered live on"
