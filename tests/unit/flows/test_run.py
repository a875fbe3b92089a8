from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.errors import Unavailable
from flows import run
from flows.run import KEPT_ASIDE, LABEL, PAGE_BYTES, arguments, await_store, prepare, process_id
from flows.saved import VERSION
from flows.settings import FlowSettings

NOW = datetime(2026, 8, 1, 12, 30, tzinfo=UTC)


def label(store: Path) -> object:
    return json.loads((store / LABEL).read_text())


def test_a_store_is_made_once_and_kept(tmp_path: Path) -> None:
    store = tmp_path / "deep" / "metrics"
    prepare(store, "broker-1", NOW, parts=2)
    assert sorted(path.name for path in store.iterdir()) == ["part-0.sqlite3", "part-1.sqlite3", LABEL]
    (store / "mark").touch()
    prepare(store, "broker-1", NOW)
    assert (store / "mark").exists()
    assert [path.name for path in store.parent.iterdir()] == ["metrics"]


def test_a_store_has_large_pages_and_what_bytewax_put_there(tmp_path: Path) -> None:
    prepare(tmp_path / "metrics", "broker-1", NOW)
    with closing(sqlite3.connect(tmp_path / "metrics" / "part-0.sqlite3")) as store:
        found = [store.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "journal_mode")]
        assert found == [PAGE_BYTES, "wal"]
        assert store.execute("PRAGMA user_version").fetchone()[0] > 0
        assert store.execute("SELECT part_index, part_count FROM parts").fetchall() == [(0, 1)]


def test_a_store_of_another_broker_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = tmp_path / "metrics"
    prepare(store, "broker-1", NOW)
    (store / "mark").touch()
    prepare(store, "broker-2", NOW)
    aside = tmp_path / "metrics.of-another-broker.20260801T123000000000"
    assert (aside / "mark").exists()
    assert label(aside) == {"version": 2, "snapshots": VERSION, "broker": "broker-1"}
    assert label(store) == {"version": 2, "snapshots": VERSION, "broker": "broker-2"}
    assert not (store / "mark").exists()
    assert "broker-1" in caplog.text
    assert str(aside) in caplog.text


def test_what_is_strange_of_a_store_is_said_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = tmp_path / "metrics"
    prepare(store, "broker-1", NOW)
    (store / LABEL).write_text('{"version": 2, "snapshots": 3, "broker": "broker-1"}')
    prepare(store, "broker-1", NOW)
    assert f"is of version 2.3, and this Tocsin keeps version 2.{VERSION}" in caplog.text
    assert "another broker" not in caplog.text
    assert (tmp_path / "metrics.of-another-version.20260801T123000000000").exists()
    (store / LABEL).write_text("{")
    prepare(store, "broker-1", NOW + timedelta(seconds=1))
    assert "has no label tocsin.json that can be read" in caplog.text
    for second in range(2, 5):
        prepare(store, f"broker-{second}", NOW + timedelta(seconds=second))
    left = sorted(path.name for path in tmp_path.glob("metrics.*"))
    assert left == [f"metrics.of-another-broker.20260801T12300{second}000000" for second in (2, 3, 4)]


def test_only_the_latest_stores_set_aside_are_kept(tmp_path: Path) -> None:
    store = tmp_path / "metrics"
    for number in range(KEPT_ASIDE + 3):
        prepare(store, f"broker-{number}", NOW + timedelta(seconds=number))
    brokers = [label(aside) for aside in sorted(tmp_path.glob("metrics.of-another-broker.*"))]
    assert brokers == [{"version": 2, "snapshots": VERSION, "broker": f"broker-{number}"} for number in (2, 3, 4)]


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"version": 2, "broker": "broker-1"}'])
def test_a_store_without_a_readable_label_is_set_aside(tmp_path: Path, text: str | None) -> None:
    store = tmp_path / "metrics"
    prepare(store, "broker-1", NOW)
    (store / LABEL).unlink()
    if text is not None:
        (store / LABEL).write_text(text)
    prepare(store, "broker-1", NOW)
    assert label(store) == {"version": 2, "snapshots": VERSION, "broker": "broker-1"}
    assert len(list(tmp_path.iterdir())) == 2


def test_what_was_left_half_made_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "metrics.new"
    half.mkdir()
    (half / "part-0.sqlite3").write_text("not a database")
    prepare(tmp_path / "metrics", "broker-1", NOW)
    assert not half.exists()
    assert (tmp_path / "metrics" / "part-0.sqlite3").read_bytes().startswith(b"SQLite format 3")


def test_the_other_processes_wait_for_the_store(tmp_path: Path) -> None:
    store, slept = tmp_path / "metrics", []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            prepare(store, "broker-1", NOW)

    await_store(store, "broker-1", sleep)
    assert len(slept) == 3


def test_they_do_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "WAIT_S", -1.0)
    with pytest.raises(Unavailable, match="process 0"):
        await_store(tmp_path / "metrics", "broker-1")


def test_it_becomes_bytewax_with_recovery(tmp_path: Path) -> None:
    settings = FlowSettings(home=tmp_path, flow_snapshot_interval_s=7)
    first, *more = arguments("metrics", settings, ["-w", "2"])
    assert first == "flows.metrics:build()"
    assert more == ["-r", str(tmp_path / "recovery" / "metrics"), "-s", "7", "-b", "0", "-w", "2"]


def test_which_process_of_a_cluster_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert process_id([]) == 0
    assert process_id(["-i", "2", "-a", "a:1;b:2;c:3"]) == 2
    assert process_id(["--process-id", "1"]) == 1
    assert [process_id([option]) for option in ("--process-id=1", "-i1", "--process=1")] == [1, 1, 1]
    assert process_id(["-w", "2", "-i1", "-a", "a:1;b:2"]) == 1
    assert process_id(["-w2", "-rstore"]) == 0
    monkeypatch.setenv("BYTEWAX_PROCESS_ID", "3")
    assert process_id([]) == 3
    assert process_id(["-i", "0"]) == 0
