"""A block as bytes: a JSON header, then arrays and blobs one after the other. Versioned; nothing derivable inside."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC = b"TOCSINB1"
VERSION = 7
"""Of all that is packed here, blocks and merges."""


class SavedVersionError(ValueError):
    """A snapshot that this version of Tocsin cannot read."""


class Saved(NamedTuple):
    """What a snapshot holds."""

    header: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    blobs: list[bytes]


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], blobs: Sequence[bytes]) -> bytes:
    """Bytes that ``unpack`` reads."""
    index = {
        "version": VERSION,
        "header": dict(header),
        "arrays": [[name, array.dtype.descr if array.dtype.names else array.dtype.str, array.shape]
                   for name, array in arrays.items()],
        "blobs": [len(blob) for blob in blobs],
    }  # fmt: skip
    head = json.dumps(index, separators=(",", ":")).encode()
    columns = (np.ascontiguousarray(array).data for array in arrays.values())
    return b"".join([MAGIC, struct.pack("<I", len(head)), head, *columns, *blobs])


def unpack(raw: bytes) -> Saved:
    """Arrays are copies and may be written to; raises ``SavedVersionError``."""
    if raw[: len(MAGIC)] != MAGIC:
        message = f"not a block snapshot: begins with {raw[:8]!r}, expected {MAGIC!r}"
        raise SavedVersionError(message)
    at = len(MAGIC) + 4
    (length,) = struct.unpack_from("<I", raw, len(MAGIC))
    index = json.loads(raw[at : at + length])
    if index["version"] != VERSION:
        message = f"block snapshot of version {index['version']}, this Tocsin reads version {VERSION}"
        raise SavedVersionError(message)
    at += length
    arrays: dict[str, NDArray[Any]] = {}
    for name, kind, shape in index["arrays"]:
        dtype = np.dtype([tuple(field) for field in kind] if isinstance(kind, list) else kind)
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(raw, dtype, count, at).reshape(shape).copy()
        at += count * dtype.itemsize
    blobs = []
    for size in index["blobs"]:
        blobs.append(raw[at : at + size])
        at += size
    return Saved(index["header"], arrays, blobs)
