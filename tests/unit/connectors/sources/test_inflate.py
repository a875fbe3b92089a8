"""Whatever is compressed comes out whole, and never more of it at a time than was asked for."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources.inflate import Inflater
from tests.examples import examples


@examples(60)
@given(
    text=st.binary(max_size=200) | st.builds(bytes.__mul__, st.binary(max_size=3), st.integers(0, 5000)),
    encoding=st.sampled_from(["gzip", "x-gzip", "deflate", "GZIP", "", "identity"]),
    cut=st.integers(1, 50),
    size=st.integers(1, 300),
)
def test_what_goes_in_comes_out(text: bytes, encoding: str, cut: int, size: int) -> None:
    packed = (
        gzip.compress(text) if "gzip" in encoding.lower() else zlib.compress(text) if encoding == "deflate" else text
    )
    inflater = Inflater(encoding, size)
    pieces = [one for at in range(0, len(packed), cut) for one in inflater.pieces(packed[at : at + cut])]
    assert b"".join(pieces) == text
    assert all(len(one) <= max(size, cut) for one in pieces)


def test_a_bomb_is_unpacked_no_further_than_it_is_read() -> None:
    packed = gzip.compress(bytes(50_000_000))
    pieces = Inflater("gzip", 1000).pieces(packed)
    assert [len(next(pieces)) for _ in range(3)] == [1000, 1000, 1000]


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_what_was_not_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(ValueError, match="only gzip, deflate were asked for"):
        Inflater(encoding, 10)


def test_what_is_not_compressed_is_refused() -> None:
    with pytest.raises(ValueError, match="is not: Error -3"):
        list(Inflater("gzip", 10).pieces(b"no gzip at all"))
