from __future__ import annotations

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.codec.compression import (
    KEPT_BYTES,
    MAX_BLOCKS,
    MAX_FRAMES,
    Decompressor,
    actual_encoding,
    declared_bytes,
)
from connectors.codec.negotiation import Encoding
from connectors.errors import Rejected, TooLarge

BODY = b"a sample and " * 1000
SNAPPY = bytes(cramjam.snappy.compress_raw(BODY))
ZSTD = bytes(cramjam.zstd.compress(BODY))


def decompress(body: bytes, encoding: Encoding, limit_bytes: int) -> memoryview:
    return Decompressor().decompress(body, encoding, declared_bytes(body, encoding, limit_bytes), limit_bytes)


ENCODINGS = pytest.mark.parametrize(("encoding", "packed"), [(Encoding.SNAPPY, SNAPPY), (Encoding.ZSTD, ZSTD)])


def streamed_zstd(body: bytes) -> bytes:
    """A frame that does not say how long its content is, as streaming writers make it."""
    compressor = cramjam.zstd.Compressor()
    compressor.compress(body)
    return bytes(compressor.finish())


@ENCODINGS
def test_there_and_back(encoding: Encoding, packed: bytes) -> None:
    assert actual_encoding(packed, Encoding.UNSAID) is encoding
    assert bytes(decompress(packed, encoding, len(BODY))) == BODY


@ENCODINGS
def test_the_declared_length_is_refused_before_decoding(encoding: Encoding, packed: bytes) -> None:
    with pytest.raises(TooLarge, match="more than 12999 bytes"):
        declared_bytes(packed, encoding, len(BODY) - 1)


@ENCODINGS
@pytest.mark.parametrize("damage", [lambda b: b[:-3], lambda b: b + b"x", lambda b: b"\xff\xff" + b[2:]])
def test_corrupt(encoding: Encoding, packed: bytes, damage: object) -> None:
    assert callable(damage)
    with pytest.raises(Rejected):
        decompress(damage(packed), encoding, 1 << 20)


def test_zstd_without_a_length_is_bounded_while_decoding() -> None:
    packed = streamed_zstd(BODY)
    assert declared_bytes(packed, Encoding.ZSTD, 1 << 20) == 1 << 20
    assert bytes(decompress(packed, Encoding.ZSTD, len(BODY))) == BODY
    with pytest.raises(TooLarge):
        decompress(packed, Encoding.ZSTD, len(BODY) - 1)


SKIPPED = b"\x53\x2a\x4d\x18\x05\x00\x00\x00hello"


@pytest.mark.parametrize(
    "frames",
    [[BODY, b"more"], [b"", BODY], [BODY] * MAX_FRAMES, [b"\x00" * 300_000, BODY], [bytes(range(256)) * 2000, b"x"]],
)
@pytest.mark.parametrize("between", [b"", SKIPPED])
def test_several_frames_of_zstd_are_one_body(frames: list[bytes], between: bytes) -> None:
    """RFC 8878, 3: a body is one or more frames, skippable ones among them, and decodes to the contents of all."""
    packed = between + between.join(bytes(cramjam.zstd.compress(frame)) for frame in frames)
    whole = b"".join(frames)
    found = len(frames) * (2 if between else 1)
    assert declared_bytes(packed, Encoding.ZSTD, 1 << 20) == (len(whole) if found <= MAX_FRAMES else 1 << 20)
    assert bytes(decompress(packed, Encoding.ZSTD, 1 << 20)) == whole
    with pytest.raises(TooLarge):
        decompress(packed, Encoding.ZSTD, len(whole) - 1)


def test_frames_of_zstd_that_do_not_say_their_length_are_bounded_while_decoding() -> None:
    packed = ZSTD + streamed_zstd(BODY) + ZSTD
    assert declared_bytes(packed, Encoding.ZSTD, 1 << 20) == 1 << 20
    assert bytes(decompress(packed, Encoding.ZSTD, 3 * len(BODY))) == 3 * BODY
    with pytest.raises(TooLarge):
        decompress(packed, Encoding.ZSTD, 3 * len(BODY) - 1)


@pytest.mark.parametrize(("blocks", "said"), [(MAX_BLOCKS // 2, 10), (MAX_BLOCKS // 2 + 1, 1 << 20)])
def test_blocks_of_all_frames_together_are_bounded(blocks: int, said: int) -> None:
    """Empty blocks of three bytes: a frame of them says that it holds 5 bytes, if anybody looks so far."""
    frame = ZSTD[:4] + b"\x20\x05" + b"\x00\x00\x00" * (blocks - 1) + b"\x01\x00\x00"
    assert declared_bytes(frame * 2, Encoding.ZSTD, 1 << 20) == said


@pytest.mark.parametrize("tail", [b"x", b"\x28\xb5\x2f", ZSTD[:4], ZSTD[:-1], SNAPPY, SKIPPED[:6]])
def test_what_follows_a_frame_of_zstd_must_be_one(tail: bytes) -> None:
    with pytest.raises(Rejected, match="are not zstd"):
        decompress(ZSTD + tail, Encoding.ZSTD, 1 << 20)


def test_a_small_frame_that_unfolds_to_gigabytes_is_refused() -> None:
    with pytest.raises(TooLarge):
        decompress(streamed_zstd(bytes(1 << 26)), Encoding.ZSTD, 1 << 20)
    with pytest.raises(TooLarge):
        decompress(b"\xff\xff\xff\xff\x0f" + SNAPPY, Encoding.SNAPPY, 1 << 20)


@pytest.mark.parametrize("body", [b"", b"\x00"])
def test_nothing_decodes_to_nothing(body: bytes) -> None:
    assert bytes(decompress(body, Encoding.SNAPPY, 10)) == b""


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=100), st.sampled_from([Encoding.SNAPPY, Encoding.ZSTD]))
def test_any_bytes_are_decoded_or_refused(body: bytes, encoding: Encoding) -> None:
    try:
        assert len(decompress(body, encoding, 1000)) <= 1000
    except Rejected:
        return


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=100))
def test_any_zstd_header_is_decoded_or_refused(tail: bytes) -> None:
    try:
        assert len(decompress(ZSTD[:4] + tail, Encoding.ZSTD, 1000)) <= 1000
    except Rejected:
        return


def test_a_kept_buffer_serves_bodies_of_all_sizes() -> None:
    decompressor = Decompressor()
    for size in (1000, 10, 100_000, KEPT_BYTES + 1, 5, 0):
        body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        packed = bytes(cramjam.snappy.compress_raw(body))
        assert bytes(decompressor.decompress(packed, Encoding.SNAPPY, size, KEPT_BYTES + 1)) == body
