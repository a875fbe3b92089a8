from __future__ import annotations

from pathlib import Path

import pytest

from api.child import ANNOUNCE
from api.default_detectors import DEFAULTS, first_revisions
from api.journal import ROOM_BYTES, Journal
from connectors.detector import DetectorRevision
from connectors.errors import Unavailable
from connectors.received import Received
from flows.revisions import DetectorTable, Outcome
from tests.processes import files_bounded

REVISIONS = first_revisions(time_ms=1_800_000_000_000)


def received(value: bytes | None) -> Received:
    return Received("tocsin.detectors", 0, 0, 0, b"id", value, [])


def test_what_was_appended_is_loaded_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "detectors.jsonl")
    assert journal.load() == []
    journal.append(REVISIONS[:2])
    journal.append(REVISIONS[2:])
    assert Journal(tmp_path / "detectors.jsonl").load() == REVISIONS


def announced(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if getattr(record, ANNOUNCE, False)]


def test_a_line_that_a_crash_cut_off_is_said_and_the_file_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "detectors.jsonl")
    journal.append(REVISIONS)
    cut_off = journal.path.read_bytes()[:-20]
    journal.path.write_bytes(cut_off)
    assert journal.load() == REVISIONS[:-1]
    [said] = announced(caplog)
    assert f"{journal.path}: line 5 cannot be read" in said
    assert (tmp_path / "detectors.jsonl.damaged-1").read_bytes() == cut_off
    journal.append(REVISIONS[-1:])
    assert journal.load() == REVISIONS
    assert len(announced(caplog)) == 1


def test_each_damaged_file_is_kept_under_a_name_of_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path / "detectors.jsonl")
    for number in (1, 2):
        journal.path.unlink(missing_ok=True)
        journal.append(REVISIONS)
        lines = journal.path.read_bytes().splitlines(keepends=True)
        damaged = b"".join([*lines[:2], b"GARBAGE %d\n" % number, *lines[3:4], b'{"broken', *lines[4:]])
        journal.path.write_bytes(damaged)
        assert journal.load() == [*REVISIONS[:2], REVISIONS[3]]
        kept = tmp_path / f"detectors.jsonl.damaged-{number}"
        assert kept.read_bytes() == damaged
        assert f"{journal.path}: line 3, 5 cannot be read" in announced(caplog)[-1]
        assert kept.name in announced(caplog)[-1]
        assert "Invalid JSON" in announced(caplog)[-1]


def test_many_damaged_lines_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path / "detectors.jsonl")
    journal.path.write_bytes(b"x\n" * 30)
    assert journal.load() == []
    assert "line 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 20 more cannot be read" in announced(caplog)[0]


def test_a_last_line_that_lacks_only_its_end_is_kept_and_the_next_does_not_join_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "detectors.jsonl")
    journal.append(REVISIONS[:-1])
    journal.path.write_bytes(journal.path.read_bytes().rstrip())
    assert journal.load() == REVISIONS[:-1]
    journal.append(REVISIONS[-1:])
    assert journal.load() == REVISIONS
    assert announced(caplog) == []


def test_a_full_disk_is_named_and_leaves_no_half_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "detectors.jsonl")
    journal.append(REVISIONS[:2])
    before = journal.path.read_bytes()
    with files_bounded(len(before) + 10), pytest.raises(Unavailable, match=f"cannot write to {journal.path}"):
        journal.append(REVISIONS[2:])
    assert journal.path.read_bytes() == before
    journal.append(REVISIONS[2:])
    assert journal.load() == REVISIONS
    full = Journal(tmp_path / "full")
    full.path.symlink_to("/dev/full")
    with pytest.raises(Unavailable, match=f"^disk full at {full.path}$"):
        full.append(REVISIONS)


def test_room_for_the_next_revision_is_looked_for(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "detectors.jsonl")
    assert journal.room_reason() == ""
    with files_bounded(ROOM_BYTES - 1):
        assert str(tmp_path) in journal.room_reason()


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
