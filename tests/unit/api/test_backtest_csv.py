from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from api.backtest_csv import find_files, read_frame, write_rows
from connectors.errors import Rejected
from flows.detectors.base import Scored
from flows.replay import Replayed


def written(folder: Path, text: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_columns_become_signals_and_the_label_is_never_looked_at(tmp_path: Path) -> None:
    text = "\ufeffcpu,timestamp_ms,label,errors_total\n1.5,1000,not a number,2\n\n,2000.0,,NaN\ninf,3e3,1,7\n"
    frame = read_frame(written(tmp_path, text))
    assert frame.times_ms.tolist() == [1000, 2000, 3000]
    assert [labels["__name__"] for labels in frame.labels] == ["cpu", "errors_total"]
    assert frame.present.tolist() == [[True, True], [False, True], [True, True]]
    np.testing.assert_array_equal(frame.values, [[1.5, 2.0], [math.nan, math.nan], [math.inf, 7.0]])


def test_gzip_reads_the_same(tmp_path: Path) -> None:
    text = "timestamp_ms,value\n1,2\n3,4\n"
    packed = tmp_path / "b.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    plain = read_frame(written(tmp_path, text))
    assert all(np.array_equal(a, b) for a, b in zip(plain[:3], read_frame(packed)[:3], strict=True))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: header = []: expected a column timestamp_ms"),
        ("time,value\n1,2\n", "line 1: header = ['time', 'value']: expected a column timestamp_ms"),
        ("timestamp_ms,label\n1,0\n", "line 1: header = ['timestamp_ms', 'label']: expected a column of values"),
        ("timestamp_ms,a,a\n1,2,3\n", "line 1: header = 'a': expected column names"),
        ("timestamp_ms,a,\n1,2,3\n", "line 1: header = '': expected column names"),
        ("timestamp_ms,v\n1,2\n2,3,4\n", "line 3: fields = 3: expected 2"),
        ("timestamp_ms,v\n1,2\n\nnoon,4\n", "line 4: timestamp_ms = 'noon': expected whole milliseconds"),
        ("timestamp_ms,v\n1.5,2\n", "line 2: timestamp_ms = '1.5': expected whole milliseconds"),
        ("timestamp_ms,v\n-1,2\n", "line 2: timestamp_ms = '-1': expected whole milliseconds"),
        ("timestamp_ms,v\ninf,2\n", "line 2: timestamp_ms = 'inf': expected whole milliseconds"),
        ("timestamp_ms,v\n4102444800001,2\n", "line 2: timestamp_ms = '4102444800001': expected whole"),
        ("timestamp_ms,v\n1_000,2\n", "line 2: timestamp_ms = '1_000': expected whole milliseconds"),
        ("timestamp_ms,v\n1,1_0\n", "line 2: v = '1_0': expected a number"),
        ("timestamp_ms,v,w\n1,2,\u0663\n", "line 2: w = '\u0663': expected a number"),
        ("timestamp_ms,v,w\n1,2,3\n2,,ten\n", "line 3: w = 'ten': expected a number"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(Rejected) as refused:
        read_frame(path)
    assert str(refused.value).startswith(f"{path}: {problem}")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut-latin.csv.gz", gzip.compress("timestamp_ms,größe\n1,2\n".encode("latin-1"), mtime=0)[:-8]),
        ("cut.csv.gz", gzip.compress(b"timestamp_ms,v\n" + b"1,2\n" * 1000, mtime=0)[:-20]),
        ("plain.csv.gz", b"timestamp_ms,v\n1,2\n"),
        ("latin.csv", "timestamp_ms,größe\n1,2\n".encode("latin-1")),
        ("quote.csv", b'timestamp_ms,v\n1,"' + b"x" * 200_000 + b"\n"),
        ("rows.txt", b"timestamp_ms,v\n1,2\n"),
    ],
)
def test_files_that_are_no_csv(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Rejected, match=name):
        read_frame(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("timestamp_ms,größe\n1,2\n".encode("latin-1"), "line 1: byte 16 = 0xf6: expected UTF-8"),
        ("\ufefftimestamp_ms,größe\r\n1,2\r\n".encode() + b"2,\xff\r\n", "line 3: byte 3 = 0xff: expected UTF-8"),
        ("timestamp_ms,v\n1,2\n".encode("utf-16"), "line 1: byte 1 = 0xff: expected UTF-8"),
        (b"timestamp_ms,v\n" + b"1,2\n" * 100_000 + b"1,\xc3", "line 100002: byte 3 = 0xc3: expected UTF-8"),
    ],
    ids=["latin-1", "after a mark", "utf-16", "cut"],
)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_byte_that_is_no_utf8_is_named(tmp_path: Path, content: bytes, problem: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(Rejected) as refused:
        read_frame(path)
    assert str(refused.value).startswith(f"{path}: {problem}")


def test_files_are_found_in_all_folders_but_the_output(tmp_path: Path) -> None:
    for name in ("b.csv", "set/a.csv.gz", "set/deep/c.csv", "set/set.json", ".hidden/d.csv", "out/b.csv", "e.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [name for _, name in find_files(tmp_path, tmp_path / "out")]
    assert found == ["b", "set/a", "set/deep/c"]
    assert [name for _, name in find_files(tmp_path / "set/a.csv.gz", tmp_path / "out")] == ["a"]


def test_rows_are_written_as_they_were_judged(tmp_path: Path) -> None:
    frame = read_frame(written(tmp_path, "timestamp_ms,v\n1,0.1\n2,1e12\n3,\n"))
    nan = math.nan
    scored = Scored(*(np.array(column) for column in ([nan, 8.5, nan], [nan, 0.1, nan], [nan, 0, nan], [nan, 1, nan])))
    replayed = Replayed(np.array([0.1, 1e12, nan]), scored, np.array([False, True, False]), [], {}, [None])
    write_rows(tmp_path / "deep" / "out.csv", frame, replayed)
    assert (tmp_path / "deep" / "out.csv").read_text().splitlines() == [
        "timestamp_ms,value,score,expected,lower,upper,alert",
        "1,0.1,,,,,0",
        "2,1000000000000.0,8.5,0.1,0.0,1.0,1",
        "3,,,,,,0",
    ]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out.csv"]
