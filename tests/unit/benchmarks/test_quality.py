"""The command that prints the quality targets, on two small sets made here."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.quality import main, missed, table


def make_set(folder: Path, about: dict[str, object], series: int, rows: int = 1008) -> None:
    """A week at ten minutes: noise, and an event of three points that cannot be missed."""
    folder.mkdir(parents=True)
    (folder / "set.json").write_text(json.dumps(about))
    for number in range(series):
        values = np.random.default_rng(number).normal(10.0, 1.0, rows)
        values[700:703] = 60.0
        lines = [f"{600_000 * at},{value!r},{int(700 <= at < 703)}\n" for at, value in enumerate(values.tolist())]
        text = "".join(["timestamp_ms,value,label\n", *lines])
        (folder / f"s{number}.csv.gz").write_bytes(gzip.compress(text.encode()))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_set(tmp_path / "data" / "asd", {"skip": 0.15, "slack": 10}, 2)
    make_set(tmp_path / "data" / "nab", {"skip": {"s0": 150}, "slack": 10, "nab": True}, 1)
    return tmp_path / "data"


def test_the_figures(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(data), "--detector", "zscore", "--json", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert {name: (figures["series"], figures["events"]) for name, figures in result.items()} == {
        "asd": (2, 2), "nab": (1, 1),
    }  # fmt: skip
    for figures in result.values():
        assert figures["at_1"]["recall"] == figures["at_0.2"]["recall"] == figures["shipped"]["recall"] == 1.0
    assert result["asd"]["nab"] is None
    assert result["nab"]["nab"]["best_threshold"] == pytest.approx(100.0)
    assert (tmp_path / "out" / "asd" / "s1.csv").exists()


def test_the_table_names_what_is_missed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(data), "--detector", "zscore"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == ["set", "asd", "nab"]
    silent = {"recall": 0.0, "precision": 0.0, "false_per_series_week": 1.5, "alarms": 3}
    heard = {**silent, "recall": 0.5}
    scores = {"best_threshold": 10.0, "shipped": 0.0}
    figures = {"series": 1, "events": 2, "shipped": silent, "at_1": heard, "at_0.2": silent, "nab": scores}
    assert missed("nab", figures) == [
        "nab at the best threshold is 10.000, wanted at least 72.000",
        "recall as shipped is 0.000, wanted at least 0.450",
        "false alarms per series-week as shipped are 1.50, wanted at most 1.00",
    ]
    assert table({"nab": figures}).splitlines()[-1].startswith("missed: nab: false alarms")


def test_no_data(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("TOCSIN_DATA", raising=False)
    with pytest.raises(SystemExit):
        main([])
    assert "set TOCSIN_DATA or --data" in capsys.readouterr().err


def test_what_cannot_be_judged_ends_it(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "asd" / "s0.csv.gz").write_bytes(b"no gzip")
    assert main(["--data", str(data), "--detector", "zscore"]) == 1
    assert "s0.csv.gz" in capsys.readouterr().err
