"""Masking beside its slow twin, on lines as systems write them and on any bytes."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba import config

from connectors.codec.entries import read_entries
from connectors.codec.stream import Entry, encode_stream
from flows.mining.levels import Level
from flows.mining.mask import CLASSES, HASH, LEVEL, MAX_MASKED, MAX_SCANNED, ROOM, TEXT_FROM, TEXT_TO, mask_lines
from tests.naive_mining import mask as naive_mask

ANY = settings(deadline=None, derandomize=True, max_examples=50 if config.DISABLE_JIT else 500)
GOLDEN = {
    b"": b"",
    b"   ": b"   ",
    b"-- ... --": b"-- ... --",
    b"\x00\x01\x02\tx\x7f\r\n": b"    x\x7f  ",
    b'{"time":"2026-11-30T22:47:38.123Z","level":"warn","msg":"took 12.5ms","user":{"id":7}}':
        b'{"time":"\x01","level":"warn","msg":"took \x01","user":{"id":\x01}}',
    b'level=info ts=2026-11-30T22:47:38Z caller=main.go:42 msg="listening" addr=0.0.0.0:9090 tags=[]':
        b'level=info ts=\x01 caller=main.go:\x01 msg="listening" addr=\x01 tags=[\x01]',
    b'127.0.0.1 - bob [10/Oct/2000:13:55:36 -0700] "GET /a/b.gif HTTP/1.0" 200 2326':
        b'\x01 - bob [\x01] "GET \x01 HTTP/\x01" \x01',
    b"Nov 30 22:47:38 host-7 sshd[24208]: Failed password for root from 1.2.3.4 port 22 ssh2":
        b"\x01 sshd[\x01]: Failed password for root from \x01 port \x01",
    b"\tat com.acme.Shop.pay(Shop.java:17)": b" at com.acme.Shop.pay(Shop.java:\x01)",
    b"E1130 22:47:38.123456   24208 reflector.go:138] k8s.io/client-go/f.go:2: Failed to list *v1.Pod":
        b"\x01   \x01 reflector.go:\x01] \x01/client-go/f.go:\x01: Failed to list *\x01",
    "Grüße an Jürgen, 7 neue".encode(): "Grüße an Jürgen, \x01 neue".encode(),
    b"mail to a@b.example and key deadbeef, deadbeef. done": b"mail to \x01 and key \x01. done",
    b"On Mon, 3 May; the sun is in Sun": b"On \x01; the sun is in \x01",
    b"free() /var /var/log /var/log/a-b.txt, a/b": b"free(\x01) /var \x01, a/b",
    b"k" * 64 + b" " + b"k" * 65: b"k" * 64 + b" \x01",
    b'x="" y=\'\' {} ()() """': b'x="\x01" y=\'\' {\x01} (\x01)(\x01) "\x01"\x01"',
}  # fmt: skip
SEPARATORS = st.sampled_from([b" ", b"  ", b":", b", ", b"/", b"//", b"=", b'"', b"()", b"(", b")", b"[]", b"{}", b".",
                              b"..", b"-", b"\x00", b"\x01", b"\t", b";", b"+", b"'", b"<*>"])  # fmt: skip
WORDS = st.sampled_from([b"a", b"GET", b"level", b"severity", b"lvl", b"loglevel", b"error", b"WARN", b"Info", b"7",
                         b"1.5", b"0x1f", b"deadbeef", b"Mon", b"may", b"MAY", b"a@b", b"h" * 64, b"h" * 65,
                         b"\xc3\xbc", b"\xff", b"-",
                         b"informational", b"critically", b"panic", b"x.y-z", b"_"])  # fmt: skip
SENTENCES = st.lists(WORDS | SEPARATORS, max_size=40).map(b"".join)


class Masked(NamedTuple):
    text: bytes
    level: Level
    line: int


def masks(lines: list[bytes], seed: int = 0, level: int = -1, metadata: bytes = b"") -> list[Masked]:
    """What the kernel makes of the lines of one record, in a buffer with no more room than is promised."""
    pairs = [(b"level", metadata)] if metadata else []
    buf = read_entries(encode_stream("{}", [Entry(1, line, pairs) for line in lines], 1))
    out, state, found = np.zeros(ROOM * len(buf.buf), np.uint8), np.zeros(6, np.int64), np.zeros((4, len(lines)), int)
    with np.errstate(over="ignore"):
        mask_lines(buf.buf, buf.table, np.uint64(seed), level, CLASSES, out, state, found)
    return [
        Masked(out[start:to].tobytes(), Level(named), line)
        for line, named, start, to in found[[HASH, LEVEL, TEXT_FROM, TEXT_TO]].T.tolist()
    ]


def one(line: bytes, **how: int) -> Masked:
    (masked,) = masks([line], **how)
    return masked


@pytest.mark.parametrize("line", GOLDEN)
def test_lines_of_many_formats(line: bytes) -> None:
    assert one(line).text == GOLDEN[line] == naive_mask(line)[0]


@ANY
@given(st.lists(SENTENCES | st.binary(max_size=60), max_size=8))
@example([b'""""', b"()()()", b""])
def test_it_masks_as_its_twin_whatever_stands_before_and_after(lines: list[bytes]) -> None:
    assert [(masked.text, masked.level) for masked in masks(lines)] == [naive_mask(line) for line in lines]


@ANY
@given(SENTENCES | st.binary(max_size=60))
def test_it_keeps_to_its_room(line: bytes) -> None:
    masked = one(line).text
    assert len(masked) <= max(ROOM * len(line) - 1, 0)
    if not re.search(rb"""\(\)|\[\]|\{\}|\"\"""", line):
        assert len(masked) <= len(line)


@pytest.mark.parametrize("line", [b'"' * 4000, b"()" * 2000, b'"' * 1_000_000, b"a " * 500_000, b"7" * 1_000_000])
def test_long_lines_are_looked_at_so_far_and_never_written_beyond(line: bytes) -> None:
    line = line[: MAX_SCANNED + 100 if config.DISABLE_JIT else None]
    assert one(line)[:2] == naive_mask(line)
    assert one(line) == one(line[:MAX_SCANNED])
    assert len(one(line).text) <= MAX_MASKED


def test_a_long_line_masks_alike_whatever_the_length_of_its_numbers() -> None:
    first, second = (b" ".join(b"took %d ms;" % (n * factor) for n in range(2000)) for factor in (1, 10_000))
    assert one(first) == one(second)
    assert len(one(first).text) == MAX_MASKED


@ANY
@given(
    st.lists(st.sampled_from(["x", "took", "id=", ": ", "/", "(", ")", '"', "{}", "{}ms", "v{}.{}", " "])), st.data()
)
def test_a_line_that_differs_only_in_numbers_masks_alike(parts: list[str], data: st.DataObject) -> None:
    form = "".join(parts)
    numbers = st.lists(st.integers(0, 10**6), min_size=form.count("{}"), max_size=form.count("{}"))
    one_line, another = (form.format(*data.draw(numbers)).encode() for _ in range(2))
    assert one(one_line) == one(another)


def test_the_hash_is_that_of_text_level_and_seed() -> None:
    lines = [b"it is 1", b"it is 2", b"it was 1"]
    same, again, other = masks(lines)
    assert same == again != other
    levels = {one(b"it is 1", level=level).line for level in range(8)}
    seeds = {one(b"it is 1", seed=1000 * seed).line for seed in range(8)}
    assert len(levels | seeds) == 15  # level 0 is what it has without one
