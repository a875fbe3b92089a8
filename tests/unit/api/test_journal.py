from __future__ import annotations

from pathlib import Path

from api.default_detectors import DEFAULTS, first_revisions
from api.journal import Journal
from connectors.follower import Received
from connectors.messages import DetectorRevision
from flows.revisions import DetectorTable, Outcome

REVISIONS = first_revisions(time_ms=1_800_000_000_000)


def received(value: bytes | None) -> Received:
    return Received("tocsin.detectors", 0, 0, 0, b"id", value, [])


def test_what_was_appended_is_loaded_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "detectors.jsonl")
    assert journal.load() == []
    journal.append(REVISIONS[:2])
    journal.append(REVISIONS[2:])
    assert Journal(tmp_path / "detectors.jsonl").load() == REVISIONS


def test_a_line_that_a_crash_cut_off_is_dropped_from_the_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "detectors.jsonl")
    journal.append(REVISIONS)
    journal.path.write_bytes(journal.path.read_bytes()[:-20])
    assert journal.load() == REVISIONS[:-1]
    journal.append(REVISIONS[-1:])
    assert journal.load() == REVISIONS


def test_what_no_reader_can_apply_is_not_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "detectors.jsonl")
    deletion = DetectorRevision(detector_id="cpu", base_revision=1, config=None, author="me", time_ms=5)
    journal.keep([received(b"{broken"), received(None), received(deletion.encode())])
    assert journal.load() == [deletion]


def test_five_defaults_that_a_flow_accepts() -> None:
    table = DetectorTable()
    assert [table.apply(revision) for revision in REVISIONS] == [Outcome.APPLIED] * 5
    assert set(table.compiled) == set(DEFAULTS)
    assert all(name.startswith("default-") for name in DEFAULTS)
