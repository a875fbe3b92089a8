"""A push of protobuf, already decompressed, to records: lines are checked and copied by kernels. Pure.

Source: ``pkg/push/push.proto`` of https://github.com/grafana/loki
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from connectors.codec import entry, push_scan
from connectors.codec.limits import MAX_PAIR_BYTES, MAX_PAIRS
from connectors.codec.line_faults import MAX_TIME_S, REASONS, fault_of
from connectors.codec.pushed import Gathering, Piece, Pushed
from connectors.codec.stream_labels import LabelFault
from connectors.codec.stream_names import StreamNames
from connectors.errors import Rejected


def split_protobuf(body: bytes | memoryview, tenant: str, names: StreamNames, line_bytes: int) -> Pushed:
    """Split a ``logproto.PushRequest``; lines longer than ``line_bytes`` are refused.

    Raises ``Rejected`` when the bytes are no such request (nothing of it may be written then), and ``TooLarge`` when it
    has more than ``MAX_STREAMS`` streams. A stream without lines is passed over, as Loki does.
    """
    buf = np.frombuffer(memoryview(body).toreadonly(), np.uint8)  # one type of array: kernels are compiled once
    count = int(push_scan.count_streams(buf))
    _refuse_malformed(count < 0, len(buf))
    gathering = Gathering(count)
    rows, pieces = _scanned(buf, count, line_bytes)
    for number, row in enumerate(rows):
        lines = row[push_scan.LINES]
        if lines == 0:
            continue
        labels = bytes(body[row[push_scan.LABELS_FROM] : row[push_scan.LABELS_TO]])
        stream = names.of_text(tenant, labels)
        if isinstance(stream, LabelFault):
            gathering.refuse_stream(number, labels, stream, lines)
        else:
            refused = _refused(gathering, number, labels, row, line_bytes)
            gathering.add(stream, pieces[number], lines - refused)
    return gathering.done()


def _scanned(buf: npt.NDArray[np.uint8], count: int, line_bytes: int) -> tuple[list[list[int]], list[list[Piece]]]:
    """Of each stream what the kernel found (see ``push_scan``), and its good entries."""
    streams = np.zeros((count, push_scan.STREAM_COLUMNS), np.int64)
    chunks = np.empty((push_scan.max_chunks(count, len(buf)), 3), np.int64)
    out, total = np.empty(len(buf), np.uint8), np.zeros(2, np.int64)
    limits = np.array([line_bytes, MAX_PAIRS, MAX_PAIR_BYTES, MAX_TIME_S], np.int64)
    found = np.empty(entry.COLUMNS, np.int64)
    _refuse_malformed(not push_scan.scan_push(buf, limits, found, streams, chunks, out, total), len(buf))
    pieces: list[list[Piece]] = [[] for _ in range(count)]
    for number, start, end in chunks[: total[push_scan.CHUNKS]].tolist():
        pieces[number].append(out.data[start:end])
    return streams.tolist(), pieces


def _refused(gathering: Gathering, number: int, labels: bytes, row: list[int], line_bytes: int) -> int:
    """Tell of the bad lines of a stream; how many there are."""
    first = row[push_scan.BAD_LINE]
    if first < 0:
        return 0
    counts: Counter[str] = Counter()
    for code, reason in REASONS.items():
        counts[reason] += row[push_scan.REFUSED + code]
    fault = fault_of(row[push_scan.BAD_CODE], row[push_scan.BAD_A], row[push_scan.BAD_B], line_bytes)
    gathering.refuse_lines(number, labels, first, fault, counts)
    return counts.total()


def _refuse_malformed(malformed: bool, size: int) -> None:
    if malformed:
        message = f"body: {size} bytes after decompression are no push of logs (malformed protobuf)"
        raise Rejected(reason="malformed_protobuf", message=message)
