"""Labels of a block, compressed in chunks that are packed again only when they change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cramjam
import numpy as np

MAX_LABEL_BYTES = 256 * 1024 * 1024
"""Labels of a block: those of a million series of the usual 250 bytes."""
CHUNK_ROWS = 512
LEVEL = 3


class LabelsArchive:
    """Compressed labels by chunk of rows."""

    def __init__(self) -> None:
        self._packed: dict[int, bytes] = {}

    def changed(self, row: int) -> None:
        """The labels of a row came or went."""
        self._packed.pop(row // CHUNK_ROWS, None)

    def pack(self, labels: Sequence[bytes | None]) -> list[bytes]:
        """All labels in use, in the order of their rows."""
        chunks = range(0, len(labels), CHUNK_ROWS)
        return [self._chunk(start // CHUNK_ROWS, labels[start : start + CHUNK_ROWS]) for start in chunks]

    def _chunk(self, number: int, labels: Sequence[bytes | None]) -> bytes:
        packed = self._packed.get(number)
        if packed is None:
            packed = self._packed[number] = pack_labels([raw for raw in labels if raw is not None])
        return packed

    @property
    def size_bytes(self) -> int:
        """Memory of the packed chunks."""
        return sum(len(packed) for packed in list(self._packed.values()))  # the probes' thread asks while it changes


def pack_labels(labels: Sequence[bytes]) -> bytes:
    """Count, lengths and bytes, compressed together: series of one block have most of their labels in common."""
    lengths = np.array([len(labels), *(len(raw) for raw in labels)], np.uint32)
    return bytes(cramjam.zstd.compress(lengths.tobytes() + b"".join(labels), LEVEL))


def unpack_labels(chunks: Iterable[bytes]) -> list[bytes]:
    """What ``pack`` was given, without the gaps."""
    out: list[bytes] = []
    for chunk in chunks:
        raw = bytes(cramjam.zstd.decompress(chunk))
        count = int(np.frombuffer(raw, np.uint32, 1)[0])
        lengths = np.frombuffer(raw, np.uint32, count, 4)
        ends = 4 * (count + 1) + np.cumsum(lengths, dtype=np.int64)
        out += [raw[end - length : end] for length, end in zip(lengths.tolist(), ends.tolist(), strict=True)]
    return out
