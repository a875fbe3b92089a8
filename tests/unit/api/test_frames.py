"""Frames that the api makes itself, read by the library that its clients use."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from api.frames import frame_of


def parsed(data: bytes) -> Frame:
    """The one frame that the bytes are."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parsing = Frame.parse(reader.read_exact, mask=False, max_size=None)
    with pytest.raises(StopIteration) as done:
        next(parsing)
    assert not reader.buffer
    frame: Frame = done.value.value
    return frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_a_text_is_one_frame(size: int) -> None:
    frame = parsed(frame_of("x" * size))
    assert (frame.opcode, frame.fin, frame.data) == (Opcode.TEXT, True, b"x" * size)


def test_lengths_are_those_of_bytes() -> None:
    assert parsed(frame_of("é" * 100)).data.decode() == "é" * 100
