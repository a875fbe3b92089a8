from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from api.cli import app
from flows.detectors.registry import KINDS, Trait
from tests.brokers import free_port
from tests.integration.test_backtest import data, rows_of

RUN = CliRunner()


def backtest(*words: str | Path) -> Result:
    return RUN.invoke(app, ["backtest", *map(str, words)], catch_exceptions=False)


def test_a_config_file_is_what_the_api_takes_and_gives(tmp_path: Path) -> None:
    """A threshold so high that nothing is told; the config's selector does not matter."""
    (tmp_path / "one.csv").write_text(data(spike=20.0))
    config = {"name": "n", "kind": "zscore", "selector": 'up{job="x"}', "params": {"window": 30}, "threshold": 250}
    told = []
    for name, content in (("plain.json", config), ("api.json", {"id": "d-1", "revision": 3, "config": config})):
        (tmp_path / name).write_text(json.dumps(content))
        done = backtest(tmp_path / "one.csv", "--detector", tmp_path / name, "--out", tmp_path / "out")
        assert done.exit_code == 0, done.stderr
        rows = rows_of(tmp_path / "out" / "one.csv")
        told.append(rows)
        assert rows[29]["score"] == ""
        assert rows[30]["score"] != ""
        assert {row["alert"] for row in rows} == {"0"}
    assert told[0] == told[1]


@pytest.mark.parametrize("option", ["--query", "--start", "--end"])
def test_what_only_a_prometheus_understands_is_refused_with_files(tmp_path: Path, option: str) -> None:
    (tmp_path / "one.csv").write_text(data())
    done = backtest(tmp_path / "one.csv", option, "2026-01-01T00:00:00Z", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert f"{option} = '2026-01-01T00:00:00Z': goes with the URL of a Prometheus" in done.stderr


def test_nothing_is_said_to_be_written_that_could_not_be(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(data())
    (tmp_path / "out" / "one.csv").mkdir(parents=True)
    done = backtest(tmp_path / "one.csv", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "could not be read or written: 1" in done.stdout
    assert "written to" not in done.stdout


def test_an_output_that_is_a_file_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(data())
    (tmp_path / "file").write_text("")
    done = backtest(tmp_path / "one.csv", "--out", tmp_path / "file")
    assert done.exit_code == 1
    assert f"--out = '{tmp_path / 'file'}': must be a folder" in done.stderr


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ('{"kind": "zscore", "threshold": 0}', "threshold = 0: Input should be greater than 0"),
        ('{"kind": "zscore", "window": 3}', "window = 3: there is no field 'window': those are name, kind, selector, "),
        (
            '{"kind": "zscore", "group": {"of": 3}}',
            "group.of = 3: there is no field 'of': those of group are by, without, ",
        ),
        ('{"kind": "zscore", "params": {"window": 1}}', "params.window = 1: Input should be greater"),
        ('{"kind": "nonsense"}', "kind = 'nonsense': must be one of"),
        ('{"kind": "mad", "group": {"by": ["job"]}}', "group.aggregate = 'sum': must be members in a backtest"),
        ("{", "must be readable JSON"),
        ("[]", "must hold a JSON object"),
        (" " * 70_000, "at most 65536 bytes"),
    ],
)
def test_a_bad_config_is_refused_before_anything_is_judged(tmp_path: Path, config: str, problem: str) -> None:
    (tmp_path / "one.csv").write_text(data())
    (tmp_path / "c.json").write_text(config)
    done = backtest(tmp_path / "one.csv", "--detector", tmp_path / "c.json", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert problem in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(data())
    (tmp_path / "twice").mkdir()
    (tmp_path / "twice" / "a.csv").write_text(data())
    (tmp_path / "twice" / "a.csv.gz").write_bytes(gzip.compress(data().encode()))
    (tmp_path / "empty").mkdir()
    nobody = f"http://127.0.0.1:{free_port()}"
    for words, problem in (
        ([tmp_path / "no.csv"], "must be a CSV file, a folder or a Prometheus URL"),
        ([tmp_path / "empty"], "must hold .csv or .csv.gz files"),
        ([tmp_path / "twice"], "would be written to a.csv as is"),
        ([nobody], "--query = None: must be a PromQL expression"),
        ([nobody, "--query", "up"], f"cannot reach {nobody}"),
        ([tmp_path / "one.csv", "--detector", "none"], "--detector = 'none': must be one of"),
    ):
        detector = [] if "--detector" in words else ["--detector", "mad"]
        done = backtest(*words, *detector, "--out", tmp_path / "out")
        assert (done.exit_code, problem in done.stderr) == (1, True), done.stderr
    done = backtest(tmp_path / "one.csv", "--detector", "mad", "--out", tmp_path)
    assert done.exit_code == 1
    assert "would be overwritten" in done.stderr


def test_a_disk_that_takes_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(data())
    (tmp_path / "out").write_text("a file where the folder should be")
    done = backtest(tmp_path / "one.csv", "--detector", "mad", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert str(tmp_path / "out") in done.stderr


@pytest.mark.parametrize("kind", [kind for kind in KINDS if Trait.TOGETHER not in KINDS[kind].traits])
def test_every_kind_can_be_tried(tmp_path: Path, kind: str) -> None:
    (tmp_path / "one.csv").write_text(data())
    detector = kind
    if KINDS[kind].example:
        detector = str(tmp_path / "c.json")
        (tmp_path / "c.json").write_text(json.dumps({"kind": kind, "params": dict(KINDS[kind].example)}))
    done = backtest(tmp_path / "one.csv", "--detector", detector, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert any(row["score"] for row in rows_of(tmp_path / "out" / "one.csv"))
