from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from api.disk import put, refusal, replace_durably, room_reason
from tests.processes import files_bounded


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


def test_a_full_disk_refuses_also_what_it_takes_in_part(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with path.open("wb", buffering=0) as file, files_bounded(10), pytest.raises(OSError, match="too large"):
        put(file, bytes(15))
    assert path.stat().st_size == 10


def test_room_is_tried_out_and_leaves_nothing(tmp_path: Path) -> None:
    assert room_reason(tmp_path, 100_000) == ""
    with files_bounded(99_999):
        assert room_reason(tmp_path, 100_000) == f"cannot write to {tmp_path}: File too large"
    assert room_reason(tmp_path / "nowhere", 1) == f"cannot write to {tmp_path / 'nowhere'}: No such file or directory"
    assert list(tmp_path.iterdir()) == []


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
