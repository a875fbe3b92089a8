from __future__ import annotations

import gzip

import pytest

from connectors.codec.inflate import MAX_MEMBERS, inflate, said_bytes
from connectors.errors import Rejected, TooLarge

BODY = b"a line and " * 1000
PACKED = gzip.compress(BODY, mtime=0)


def test_there_and_back() -> None:
    assert said_bytes(PACKED, 1 << 20) == len(BODY)
    assert inflate(PACKED, len(BODY)) == BODY


def test_several_one_behind_the_other() -> None:
    several = PACKED + gzip.compress(b"", mtime=0) + gzip.compress(b"end", mtime=0)
    assert said_bytes(several, 1 << 20) == 3
    assert inflate(several, 1 << 20) == BODY + b"end"
    with pytest.raises(TooLarge):
        inflate(several, len(BODY) + 2)
    with pytest.raises(Rejected, match=f"more than {MAX_MEMBERS}"):
        inflate(gzip.compress(b"", mtime=0) * (MAX_MEMBERS + 1), 1 << 20)


def test_no_more_is_unpacked_than_allowed() -> None:
    with pytest.raises(TooLarge, match="more than 10999 bytes after gzip decompression"):
        inflate(PACKED, len(BODY) - 1)
    bomb = gzip.compress(bytes(50_000_000), mtime=0)
    with pytest.raises(TooLarge):
        inflate(bomb, 1 << 20)


def test_no_more_is_reserved_than_there_can_be() -> None:
    assert said_bytes(PACKED[:-1] + b"\xff", 1 << 20) == min(1 << 20, 1032 * len(PACKED))
    assert said_bytes(PACKED, 100) == 100


@pytest.mark.parametrize(
    "damaged",
    [PACKED[:-1], PACKED[:-9], PACKED[:30], PACKED + b"x", PACKED[:-5] + b"\x00" + PACKED[-4:], PACKED + PACKED[:9]],
)
def test_corrupt(damaged: bytes) -> None:
    with pytest.raises(Rejected, match="are not gzip") as caught:
        inflate(damaged, 1 << 20)
    assert caught.value.reason == "bad_gzip"


@pytest.mark.parametrize("body", [b"", b"{}", BODY, b"\x1f\x8b\x08"])
def test_no_gzip(body: bytes) -> None:
    with pytest.raises(Rejected, match="no header in front"):
        said_bytes(body, 1 << 20)
