"""``tocsin backtest`` as a user runs it."""

from __future__ import annotations

import csv
import gzip
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.processes import wait_until
from tests.prometheus import Exporter, Prometheus, missing_prometheus

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
ROWS, SPIKE_AT = 400, 300
HEAD = ["timestamp_ms", "value", "score", "expected", "lower", "upper", "alert"]


def backtest(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "api.cli", "backtest", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


def data(signals: int = 1, spike: float = 60.0) -> str:
    """Noise with a spike; the label column lies, and would give a detector that looks at it away."""
    rng = np.random.default_rng(signals)
    values = rng.normal(10.0, 1.0, (ROWS, signals))
    values[SPIKE_AT] = spike
    head = ",".join(["timestamp_ms", *(f"v{n}" for n in range(signals)), "label"])
    rows = [
        ",".join(map(repr, [1_700_000_000_000 + 60_000 * at, *row, at % 2])) for at, row in enumerate(values.tolist())
    ]
    return "\n".join([head, *rows]) + "\n"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as text:
        reader = csv.DictReader(text)
        rows = list(reader)
    assert reader.fieldnames == HEAD
    return rows


def test_a_tree_of_files_is_judged_and_pictured_but_for_a_bad_one(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "set").mkdir(parents=True)
    (source / "one.csv").write_text(data())
    (source / "set" / "entity.csv.gz").write_bytes(gzip.compress(data(4).encode()))
    (source / "set" / "bad.csv").write_text(data().replace("\n", "\n1700000000000,ten,0\n", 1))
    done = backtest(source, "--detector", "zscore", "--out", out, "--plot")
    assert done.returncode == 1
    bad = source / "set" / "bad.csv"
    expected = "expected a number, NaN, or nothing where there is no sample"
    assert done.stderr == f"error: {bad}: line 2: v0 = 'ten': {expected}\n"
    assert "could not be read or written: 1" in done.stdout
    assert "2 series, 800 rows, 2000 samples" in done.stdout
    assert "2 alarms" in done.stdout
    written = {path.relative_to(out).as_posix() for path in out.rglob("*.*")}
    assert written == {"one.csv", "one.png", "set/entity.csv", "set/entity.png"}
    for name in ("one.csv", "set/entity.csv"):
        rows = rows_of(out / name)
        assert [int(row["timestamp_ms"]) for row in rows] == [1_700_000_000_000 + 60_000 * at for at in range(ROWS)]
        assert [at for at, row in enumerate(rows) if row["alert"] == "1"] == [SPIKE_AT]
        spike = rows[SPIKE_AT]
        assert float(spike["lower"]) < float(spike["expected"]) < float(spike["upper"]) < float(spike["value"]) == 60.0
        assert [row["score"] for row in rows[:60]] == [""] * 60
        assert all(row["score"] for row in rows[60:])


def test_a_terminal_sees_progress(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"series{n}.csv").write_text(data())
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "api.cli", "backtest", str(tmp_path / "in"), "--detector", "mad"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    command += ["--out", str(tmp_path / "out")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
        assert process.wait(60) == 0
    os.close(ours)
    assert b"series2" in seen
    assert b"3/3" in seen


@pytest.mark.skipif(missing_prometheus() is not None, reason=str(missing_prometheus()))
def test_a_range_of_a_real_prometheus(tmp_path: Path) -> None:
    """Two series: one spikes for a few scrapes. What Prometheus answers is what is judged, step by step."""
    scrapes: list[float] = []

    def page() -> str:
        scrape = len(scrapes)
        scrapes.append(time.time())
        value = 5000.0 if 30 <= scrape < 34 else 100.0 + scrape * 7 % 5
        return f'# TYPE queue gauge\nqueue{{name="a/b"}} {value}\nqueue{{name="c"}} {100.0 + scrape * 3 % 7}\n# EOF\n'

    began_s = time.time()
    with (
        Exporter(page) as exporter,
        Prometheus(tmp_path, exporter.port, None, "200ms") as prometheus,
    ):
        wait_until(lambda: len(scrapes) > 60, 60.0, "Prometheus to scrape beyond the spike")
        address = f"http://127.0.0.1:{prometheus.port}"
        out = tmp_path / "out"
        (tmp_path / "c.json").write_text(
            json.dumps({"kind": "mad", "params": {"window": 10}, "selector": 'queue{job="exporter"}', "threshold": 20})
        )
        words = ["--detector", tmp_path / "c.json", "--start", str(began_s), "--step", "0.2s", "--out", out]
        done = backtest(address, *words)
        grouped = {"kind": "mad", "params": {"window": 10}, "selector": "queue", "group": {"aggregate": "members"}}
        (tmp_path / "g.json").write_text(json.dumps(grouped))
        words[1], words[-1] = tmp_path / "g.json", tmp_path / "entities"
        entity = backtest(address, *words)
        words[1] = tmp_path / "c.json"
        refused = backtest(address, *words, "--query", "rate(queue)")
    assert done.returncode == 0, done.stderr
    assert "2 series" in done.stdout
    spiky, calm = sorted(out.iterdir(), key=lambda path: "a_b" not in path.name)
    alarms = [row for row in rows_of(spiky) if row["alert"] == "1"]
    assert alarms[0]["value"] == "5000.0"
    assert not [row for row in rows_of(calm) if row["alert"] == "1"]
    assert refused.returncode == 1
    assert "parse error" in refused.stderr
    assert entity.returncode == 0, entity.stderr
    assert "1 series" in entity.stdout
    (together,) = (tmp_path / "entities").iterdir()
    assert {row["timestamp_ms"] for row in rows_of(together)} >= {row["timestamp_ms"] for row in rows_of(calm)}
    assert "5000.0" in {row["value"] for row in rows_of(together)}
