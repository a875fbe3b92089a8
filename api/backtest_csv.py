"""The files of a backtest: rows of the past to a frame, verdicts to rows."""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, TextIO

import numpy as np

from connectors.errors import Rejected
from connectors.messages import MAX_TIME_MS
from flows.frame import Frame
from flows.replay import Replayed
from flows.selector import NAME_LABEL

TIME, LABEL = "timestamp_ms", "label"
"""The column of times, and the one that says where the anomalies are, which nobody here may look at."""
SUFFIXES = (".csv", ".csv.gz")
ESCAPED = 0xDC00
"""What ``surrogateescape`` adds to a byte that is no UTF-8."""
NO_UTF8 = re.compile("[\udc80-\udcff]")
HEAD = "timestamp_ms,value,score,expected,lower,upper,alert"


def find_files(path: Path, out: Path) -> Iterator[tuple[Path, str]]:
    """Each CSV file of ``path`` with its name without suffix, relative to ``path``; nothing that lies in ``out``."""
    if not path.is_dir():
        yield path, _stem(path.name)
        return
    for found in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
        if found.name.endswith(SUFFIXES) and not hidden and not found.is_relative_to(out):
            yield found, _stem(found.relative_to(path).as_posix())


def _stem(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".csv")


def read_frame(path: Path) -> Frame:
    """All columns but ``label``; raises ``Rejected`` that names file, line, field, value and what would be right."""
    if not path.name.endswith(SUFFIXES):
        refuse(path, f"name = {path.name!r}: expected a name that ends with {' or '.join(SUFFIXES)}")
    try:
        return _frame_of(path)
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        refuse(path, f"cannot be read as CSV: {error}")


def _frame_of(path: Path) -> Frame:
    try:
        with _open(path, "strict") as text:
            return _Reader(path, text).frame()
    except UnicodeDecodeError:
        _refuse_encoding(path)


def _open(path: Path, errors: Literal["strict", "surrogateescape"], encoding: str = "utf-8-sig") -> TextIO:
    """The text of a file, packed or not; lines are left to the reader of CSV."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=encoding, errors=errors, newline="")
    return path.open(encoding=encoding, errors=errors, newline="")


def _refuse_encoding(path: Path) -> NoReturn:
    """Name the first byte that is no UTF-8; it is looked for only now, since decoding knows no lines."""
    with _open(path, "surrogateescape", "utf-8") as text:
        for number, line in enumerate(text, 1):
            found = NO_UTF8.search(line)
            if found is not None:
                at = len(line[: found.start()].encode()) + 1
                given = f"{ord(found[0]) - ESCAPED:#04x}"
                refuse(path, f"line {number}: byte {at} = {given}: expected UTF-8; iconv makes it of other encodings")
    refuse(path, "cannot be read as CSV: it changed while it was read")


def refuse(path: Path, problem: str) -> NoReturn:
    """Raise ``Rejected`` for a file."""
    message = f"{path}: {problem}"
    raise Rejected(reason="bad_csv", message=message)


class _Column(NamedTuple):
    name: str
    at: int


class _Reader:
    """Reads one file; knows where it is."""

    def __init__(self, path: Path, text: TextIO) -> None:
        self.path = path
        self._rows = csv.reader(text)
        self._head = [name.strip() for name in next(self._rows, [])]
        self._empty: list[tuple[int, list[int]]] = []
        self._time_at = self._find_time()
        self._columns = [
            _Column(name, at) for at, name in enumerate(self._head) if at != self._time_at and name != LABEL
        ]
        if not self._columns:
            self._refuse("header", self._head, f"expected a column of values beside {TIME}")

    def frame(self) -> Frame:
        """The whole file."""
        times_ms: list[int] = []
        values: list[list[float]] = []
        for row in self._rows:
            if row:  # the reader gives blank lines as empty rows
                if len(row) != len(self._head):
                    self._refuse("fields", len(row), f"expected {len(self._head)}, as the header has")
                cells = [row[column.at] for column in self._columns]
                if "" in cells:
                    self._empty.append((len(times_ms), [k for k, cell in enumerate(cells) if not cell]))
                times_ms.append(self._time(row[self._time_at]))
                values.append(self._values(cells))
        table = np.array(values, np.float64).reshape(len(times_ms), len(self._columns))
        present = np.ones(table.shape, np.bool_)
        for row_at, empty in self._empty:
            present[row_at, empty] = False
        labels = [{NAME_LABEL: column.name} for column in self._columns]
        return Frame(np.array(times_ms, np.int64), table, present, labels)

    def _find_time(self) -> int:
        names = self._head
        if TIME not in names:
            self._refuse("header", self._head, f"expected a column {TIME}, ms since 1970")
        twice = sorted({name for name in names if not name or names.count(name) > 1})
        if twice:
            self._refuse("header", twice[0], "expected column names that are not empty and differ")
        return names.index(TIME)

    def _time(self, text: str) -> int:
        try:
            time_ms = _whole(text)
        except ValueError:
            time_ms = -1
        if not 0 <= time_ms <= MAX_TIME_MS:
            self._refuse(TIME, text, f"expected whole milliseconds since 1970, 0 to {MAX_TIME_MS}")
        return time_ms

    def _values(self, cells: list[str]) -> list[float]:
        if not _unusual("".join(cells)):
            with suppress(ValueError):
                return [float(cell) if cell else math.nan for cell in cells]
        bad = next(k for k, cell in enumerate(cells) if cell and not _is_number(cell))
        self._refuse(self._columns[bad].name, cells[bad], "expected a number, NaN, or nothing where there is no sample")

    def _refuse(self, field: str, value: object, expected: str) -> NoReturn:
        refuse(self.path, f"line {max(1, self._rows.line_num)}: {field} = {value!r}: {expected}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return not _unusual(text)


def _unusual(text: str) -> bool:
    """Whether Python takes a number for one that nobody else does: 1_0, and digits of other scripts."""
    return "_" in text or not text.isascii()


def _whole(text: str) -> int:
    """An integer, also when written as ``1.5e12`` or ``1500000000000.0``; raises ValueError."""
    if _unusual(text):
        raise ValueError
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise
        return int(number)


def write_rows(path: Path, frame: Frame, replayed: Replayed) -> None:
    """One row per row of the frame, in order; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    scored = replayed.scored
    floats = (replayed.value, scored.score, scored.expected, scored.lower, scored.upper)
    columns = [[repr(x) if math.isfinite(x) else "" for x in column.tolist()] for column in floats]
    alerts = np.where(replayed.alert, "1", "0").tolist()
    rows = zip(map(str, frame.times_ms.tolist()), *columns, alerts, strict=True)
    with part.open("w", encoding="utf-8", newline="") as text:
        text.write(HEAD + "\n")
        text.writelines(",".join(row) + "\n" for row in rows)
    part.replace(path)
