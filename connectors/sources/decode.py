"""Answers of Prometheus and Loki as they come, in memory that one series of them takes."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from array import array
from collections.abc import Mapping
from typing import Any, NamedTuple

import ijson
import numpy as np
from numpy.typing import NDArray

from connectors.errors import TooLarge
from connectors.messages import Message
from connectors.sources.nesting import Nesting

MAX_SMALL_BYTES = 2 * 1024 * 1024
"""Of an answer that is parsed at once, which holds up all others meanwhile: a tenth of a second, of 30 MB three."""
MAX_ITEM_BYTES = 32 * 1024 * 1024
"""Of one series, or one stream of lines, as text: it is parsed as a whole, which takes ten times as much memory."""
HEAD_BYTES = 65_536
"""Of an answer without items so much is read again, to see whether it was a success; Loki adds statistics."""
Labels = tuple[tuple[str, str], ...]
"""Sorted by name."""


class SourceSeries(NamedTuple):
    """Samples of one series: ``times_ms`` int64, ``values`` float64, of the same length, in the server's order."""

    labels: Labels
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        return 200 + 150 * len(self.labels) + self.times_ms.nbytes + self.values.nbytes


class Columns(NamedTuple):
    """What has come of one series so far."""

    times_ms: array[int]
    values: array[float]

    @classmethod
    def empty(cls) -> Columns:
        """Nothing yet."""
        return cls(array("q"), array("d"))

    def finished(self, labels: Labels) -> SourceSeries:
        """As arrays."""
        return SourceSeries(labels, np.array(self.times_ms, np.int64), np.array(self.values, np.float64))


Matrix = dict[Labels, Columns]


class Entry(NamedTuple):
    """One line of a log."""

    time_ns: int
    line: str
    labels: Labels


class ItemsSink(ABC):
    """Parses ``data.result`` item by item; ``_take`` is told each."""

    def __init__(self) -> None:
        self._found = ijson.sendable_list()
        self._parser = ijson.items_coro(self._found, "data.result.item", use_float=True)
        self._head = b""
        self._seen = False
        self._nesting = Nesting()
        self._item_bytes = 0
        """what has come since the last item was whole"""

    def feed(self, chunk: bytes) -> None:
        """Take some more of the answer."""
        if len(self._head) < HEAD_BYTES:
            self._head += chunk[:HEAD_BYTES]
        self._nesting.feed(chunk)
        self._item_bytes += len(chunk)
        try:
            self._parser.send(chunk)
        except ijson.JSONError as error:
            raise ValueError(_plain(error)) from error
        self._drain()
        if self._item_bytes > MAX_ITEM_BYTES:
            message = f"more than {MAX_ITEM_BYTES} bytes of one series: ask for a shorter range or a longer step"
            raise TooLarge(reason="series", message=message)

    def _finish(self) -> None:
        """Whether it was whole and a success; raises ``ValueError``."""
        try:
            self._parser.close()
        except ijson.JSONError as error:
            raise ValueError(_plain(error)) from error
        self._drain()
        if not self._seen:
            _check_items(_check_success(json.loads(self._head)))

    def _drain(self) -> None:
        for item in self._found:
            self._seen = True
            self._item_bytes = 0
            try:
                self._take(item)
            except (KeyError, TypeError, AttributeError) as error:
                message = f"an item of the result is {str(item)[:100]!r}"
                raise ValueError(message) from error
        self._found.clear()

    @abstractmethod
    def _take(self, item: dict[str, Any]) -> None: ...


class MatrixSink(ItemsSink):
    """A matrix as columns per series. Native histograms in it are left out."""

    def __init__(self, most_points: int) -> None:
        super().__init__()
        self._matrix: Matrix = {}
        self._most = self._left = most_points

    def end(self) -> Matrix:
        """All series."""
        self._finish()
        return self._matrix

    def _take(self, item: dict[str, Any]) -> None:
        if "stream" in item:
            message = "log lines and no numbers: ask for e.g. count_over_time({…}[1m])"
            raise ValueError(message)
        values = item.get("values", []) if "histograms" in item else item["values"]
        self._left -= len(values)
        if self._left < 0:
            message = f"more than {self._most} points: shorten the range, or take a longer step or fewer series"
            raise TooLarge(reason="points", message=message)
        columns = self._matrix.setdefault(labels_of(item["metric"]), Columns.empty())
        columns.times_ms.extend([round(time_s * 1000) for time_s, _ in values])
        columns.values.extend([float(value) for _, value in values])


class StreamsSink(ItemsSink):
    """Lines of logs of all streams; ``most_bytes`` bounds their text."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._entries: list[Entry] = []
        self._most = self._left = most_bytes

    def end(self) -> list[Entry]:
        """All entries, in the order of the streams."""
        self._finish()
        return self._entries

    def _take(self, item: dict[str, Any]) -> None:
        if "stream" not in item:
            message = "a metric query gives no log lines"
            raise ValueError(message)
        labels = labels_of(item["stream"])
        for time_ns, line, *_ in item["values"]:
            self._left -= len(line)
            self._entries.append(Entry(int(time_ns), line, labels))
        if self._left < 0:
            message = f"more than {self._most} bytes of log lines in one answer"
            raise TooLarge(reason="log_lines", message=message)


class JsonSink:
    """An answer that is small enough to be read at once; ``end`` gives its ``data``."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._left = MAX_SMALL_BYTES

    def feed(self, chunk: bytes) -> None:
        """Take some more of the answer."""
        self._left -= len(chunk)
        if self._left < 0:
            message = f"an answer of more than {MAX_SMALL_BYTES} bytes: ask for fewer"
            raise TooLarge(reason="answer", message=message)
        self._chunks.append(chunk)

    def end(self) -> Any:
        """What it says."""
        return _check_success(json.loads(b"".join(self._chunks)))


class BareJsonSink(JsonSink):
    """The same of an answer that has neither ``status`` nor ``data``, as Loki's build information."""

    def end(self) -> Any:
        """What it says, under ``data`` or not."""
        found = json.loads(b"".join(self._chunks))
        return found.get("data", found) if isinstance(found, dict) else found


class BuildInfo(Message):
    """What a server says of itself; empty where it says nothing."""

    version: str = ""

    @classmethod
    def of(cls, data: Any) -> BuildInfo:
        """From ``data`` of the answer."""
        return cls(version=str(data.get("version", ""))[:100]) if isinstance(data, dict) else cls()


def labels_of(found: Mapping[str, Any]) -> Labels:
    """Labels in a fixed order."""
    return tuple(sorted((str(name), str(value)) for name, value in found.items()))


def _check_success(body: Any) -> Any:
    if not isinstance(body, dict) or body.get("status") != "success" or "data" not in body:
        told = body.get("error", body) if isinstance(body, dict) else body
        raise ValueError(str(told)[:200])
    return body["data"]


def _check_items(data: Any) -> None:
    """Whether there were no items because there are none; null is how some write an empty list."""
    if isinstance(data, dict) and data.get("result", "missing") in (None, []):
        return
    message = f"its data has no list of series: {str(data)[:150]}"
    raise ValueError(message)


def _plain(error: Exception) -> str:
    """The first line of what the parser says; the others show the text."""
    return str(error).strip().partition("\n")[0]
