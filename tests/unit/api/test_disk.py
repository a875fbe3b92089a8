from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from api.disk import refusal, replace_durably


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    replace_durably(path, b"one")
    replace_durably(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_full_disk_refuses_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"one")
    (tmp_path / "x.jsonl.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        replace_durably(path, b"two")
    assert path.read_bytes() == b"one"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "disk full at /x"),
        (errno.EDQUOT, "disk full at /x"),
        (errno.EROFS, "cannot write to /x: Read-only file system"),
    ],
)
def test_a_full_disk_is_called_so(number: int, said: str) -> None:
    assert refusal(OSError(number, os.strerror(number)), Path("/x")) == said
