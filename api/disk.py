"""Files that must not be half: written beside and put in place, and a word for what a disk refuses."""

from __future__ import annotations

import errno
import os
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def refusal(error: OSError, path: Path) -> str:
    """What the disk said to a write to ``path``, for people: the usual reason by its plain name."""
    if error.errno in FULL:
        return f"disk full at {path}"
    return f"cannot write to {path}: {error.strerror}"


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
