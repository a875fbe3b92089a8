"""Files that must not be half: written beside and put in place; and what a disk refuses, in words."""

from __future__ import annotations

import errno
import os
import tempfile
from io import FileIO
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def refusal(error: OSError, path: Path) -> str:
    """What the disk said to a write to ``path``, for people: the usual reason by its plain name."""
    if error.errno in FULL:
        return f"disk full at {path}"
    return f"cannot write to {path}: {error.strerror}"


def room_reason(folder: Path, size_bytes: int) -> str:
    """Why ``size_bytes`` more cannot be written in the folder now; empty when they can. Leaves nothing behind."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            put(file, bytes(size_bytes))
    except OSError as error:
        return refusal(error, folder)
    return ""


def put(file: FileIO, content: bytes) -> None:
    """Write all of ``content`` to an unbuffered file; raises ``OSError`` when only a part of it found room."""
    while content:
        content = content[file.write(content) or 0 :]


def replace_durably(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``: after a power cut it is all there, or what was there before. Raises ``OSError``."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Names are kept by the folder, which is written apart from the files in it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
