from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import flows.revisions
from connectors.detector import Detector, DetectorConfig, DetectorRevision, Group
from flows.config import CompiledDetector, compile_config
from flows.revisions import CompileOnce, DetectorTable, Outcome
from tests.streams import config


def revision(detector_id: str, base: int, to: DetectorConfig | None) -> DetectorRevision:
    return DetectorRevision(detector_id=detector_id, base_revision=base, config=to, author="ann", time_ms=5)


def test_create_replace_delete_and_create_again() -> None:
    table = DetectorTable()
    steps = [
        (revision("a", 0, config()), Outcome.APPLIED, 1),
        (revision("a", 1, config(threshold=9.0)), Outcome.APPLIED, 2),
        (revision("a", 2, None), Outcome.APPLIED, None),
        (revision("a", 0, config()), Outcome.APPLIED, 1),
    ]
    for step, outcome, number in steps:
        assert table.apply(step) is outcome
        assert (table.detectors["a"].revision if "a" in table.detectors else None) == number
    assert (table.detectors["a"].author, table.detectors["a"].updated_ms) == ("ann", 5)


@pytest.mark.parametrize("step", [
    revision("a", 0, config()), revision("a", 2, config(threshold=9.0)), revision("a", 0, None),
    revision("b", 1, config()), revision("b", 0, None), revision("b", 3, None),
])  # fmt: skip
def test_a_revision_based_on_another_is_stale(step: DetectorRevision) -> None:
    table = DetectorTable()
    table.apply(revision("a", 0, config()))
    before = table.detectors
    assert table.apply(step) is Outcome.STALE
    assert table.detectors == before


def test_an_invalid_config_changes_nothing() -> None:
    table = DetectorTable()
    table.apply(revision("a", 0, config()))
    assert table.apply(revision("a", 1, config(selector="{"))) is Outcome.INVALID
    assert table.detectors["a"].revision == 1


def test_a_twin_is_refused_until_the_other_is_gone() -> None:
    table = DetectorTable()
    table.apply(revision("a", 0, config()))
    assert table.apply(revision("b", 0, config(name="twin"))) is Outcome.DUPLICATE
    assert table.apply(revision("a", 1, config(name="renamed"))) is Outcome.APPLIED, "nobody is a twin of itself"
    twin = table.twin_of(table.compiled["a"])
    assert twin is None
    table.apply(revision("a", 2, config(threshold=9.0)))
    assert table.apply(revision("b", 0, config(name="twin"))) is Outcome.APPLIED
    assert table.apply(revision("a", 3, config())) is Outcome.DUPLICATE
    table.apply(revision("b", 1, None))
    assert table.apply(revision("a", 3, config())) is Outcome.APPLIED


SAME = [
    (config(group=Group(by=("a", "b"))), config(group=Group(by=("b", "a")))),
    (config(group=Group()), config(group=Group(by=()))),
    (config(shape="rate", group=Group(by=("a",))), config(shape="rate", group=Group(by=("a",), range_s=60))),
    (config(group=Group(denominator="n")), config(group=Group(denominator='{__name__="n"}'))),
    (config(kind="seasonal", params={}), config(kind="seasonal", params={"holidays": [], "weekend": ["sun", "sat"]})),
]
"""Each says the same twice, in other words."""


@pytest.mark.parametrize(("one", "other"), SAME)
def test_who_says_the_same_in_other_words_is_a_twin_that_the_log_takes(
    one: DetectorConfig, other: DetectorConfig
) -> None:
    table = DetectorTable()
    table.apply(revision("a", 0, one))
    proposed = compile_config(Detector(id="b", revision=1, config=other, author="ann", updated_ms=5))
    twin = table.twin_of(proposed)
    assert twin is not None
    assert twin.id == "a"
    assert table.apply(revision("b", 0, other)) is Outcome.APPLIED, "an older version let both stand"
    assert table.twin_of(table.compiled["b"]) is None, "so that it can be stopped and started"
    more = {"group": other.group.model_copy(update={"step_s": 30})} if other.group else {"params": {"memory": 9}}
    changed = other.model_copy(update=more)
    assert table.twin_of(compile_config(Detector(id="c", revision=1, config=changed, author="", updated_ms=5))) is None


def test_there_is_a_bound_for_new_ones_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.revisions, "MAX_DETECTORS", 1)
    table = DetectorTable()
    table.apply(revision("a", 0, config()))
    assert table.apply(revision("b", 0, config(threshold=9.0))) is Outcome.LIMIT
    assert table.apply(revision("a", 1, config(threshold=9.0))) is Outcome.APPLIED


NEVER = [config(tenant="a|b"), config(selector='m{a="1",a="2"}')]
"""What an older version accepted."""


@pytest.mark.parametrize("old", NEVER)
def test_what_an_older_version_accepted_is_skipped_in_the_log_and_in_what_was_saved(old: DetectorConfig) -> None:
    table = DetectorTable()
    assert table.apply(revision("a", 0, old)) is Outcome.INVALID
    saved = Detector(id="a", revision=1, config=old, author="ann", updated_ms=5)
    assert DetectorTable([saved]).detectors == table.detectors == {}


FUTILE = config(kind="threshold", params={"lower": 0}, shape="rate")
"""What this version would refuse to take, and an older one took."""


@pytest.mark.parametrize("following", [config(), None])
def test_readers_from_the_start_and_from_what_was_saved_agree_on_what_can_never_fire(
    following: DetectorConfig | None,
) -> None:
    table = DetectorTable()
    assert table.apply(revision("a", 0, FUTILE)) is Outcome.APPLIED
    copy = DetectorTable(table.detectors.values())
    assert copy.detectors == table.detectors
    assert [one.apply(revision("a", 1, following)) for one in (table, copy)] == [Outcome.APPLIED] * 2
    assert copy.detectors == table.detectors


def test_what_is_compiled_once_is_bounded_and_the_latest_of_it_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.revisions, "MAX_COMPILED", 8)
    made: list[str] = []

    def compiling(detector: Detector) -> CompiledDetector:
        made.append(detector.id)
        return compile_config(detector)

    compiled = CompileOnce(compiling)
    detectors = [Detector(id=f"d{n}", revision=1, config=config(), author="ann", updated_ms=5) for n in range(20)]
    for detector in detectors:
        assert compiled(detector).source == compiled(detector).source == detector
        assert len(compiled) <= 8
    assert made == [detector.id for detector in detectors]
    for detector in detectors[-4:]:
        compiled(detector)
    assert len(made) == len(detectors), "the latest are known"


def test_threads_compile_at_the_bound_without_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.revisions, "MAX_COMPILED", 2)
    detectors = [Detector(id=f"d{n}", revision=1, config=config(), author="ann", updated_ms=5) for n in range(64)]
    ready = [compile_config(detector) for detector in detectors]
    by_id = dict(zip((detector.id for detector in detectors), ready, strict=True))
    compiled = CompileOnce(lambda detector: by_id[detector.id])
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            rounds = [detectors[n % 8 :] for n in range(3000)]
            found = list(threads.map(lambda mine: [compiled(one) for one in mine], rounds))
    finally:
        sys.setswitchinterval(before)
    assert all([one.source for one in row] == mine for row, mine in zip(found, rounds, strict=True))


def test_a_table_made_from_detectors_goes_on_like_the_one_they_came_from() -> None:
    table = DetectorTable()
    for step in (revision("a", 0, config()), revision("a", 1, config(threshold=9.0)), revision("b", 0, config())):
        table.apply(step)
    copy = DetectorTable(table.detectors.values())
    assert copy.detectors == table.detectors
    for step in (revision("c", 0, config()), revision("b", 1, None), revision("c", 0, config())):
        assert copy.apply(step) is table.apply(step)
    assert copy.detectors == table.detectors
