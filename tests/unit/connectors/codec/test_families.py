from __future__ import annotations

import pytest

from connectors.codec.encode import encode_write_request
from connectors.codec.families import encode_types, read_types
from connectors.errors import Rejected
from connectors.messages import MetricType
from tests.wire import V1


def test_what_is_written_is_read() -> None:
    types = [(f"family_{kind}", kind) for kind in MetricType]
    assert read_types(encode_types(types)) == types


def test_it_is_a_write_request_of_remote_write_1() -> None:
    made = V1["Request"].FromString(encode_types([("é", MetricType.SUMMARY)]))
    (one,) = made.metadata
    assert (one.family.decode(), one.type) == ("é", 5)


def test_types_are_found_among_other_fields_and_unknown_numbers_are_unknown() -> None:
    made = V1["Request"]()
    made.metadata.add(family=b"x", type=99, help=b"h", unit=b"u")
    made.metadata.add(type=1)
    value = encode_write_request([({"__name__": "m"}, [(1, 1.0)])]) + made.SerializeToString()
    assert read_types(value) == [("x", MetricType.UNKNOWN)]


@pytest.mark.parametrize("bad", [b"\x1a", b"\x1a\x05\x08", b"\x1b", b"\x19\x01"])
def test_malformed_bytes_are_poison(bad: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        read_types(bad)
    assert caught.value.reason == "poison"
