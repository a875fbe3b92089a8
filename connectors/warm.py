"""Kernels of ingest, compiled before the first request needs them."""

from __future__ import annotations

from connectors.codec.encode import encode_field, encode_write_request
from connectors.codec.lean_numba import make_numba_lean
from connectors.codec.limits import USUAL_LIMITS, USUAL_LINE_BYTES
from connectors.codec.push_json import split_json
from connectors.codec.push_protobuf import split_protobuf
from connectors.codec.remote_write import Version, split_request
from connectors.codec.runs import Runs
from connectors.codec.series_hash import tenant_seed
from connectors.codec.stream import Entry, encode_entry
from connectors.codec.stream_names import StreamNames

WARM_2 = b'"\0"\x08__name__"\x04warm*\x0a\x0a\x02\x01\x02\x12\x04\x10\x01\x18\x01'
"""A request of remote write 2.0: three symbols, and one series with a sample that has a start."""


def warm_kernels() -> None:
    """Compile, or load from numba's cache, what requests need, so that the first one does not wait."""
    make_numba_lean()
    usual, unsorted = {"__name__": "warm"}, {"z": "1", "__name__": "warm"}
    bodies = {Version.V1: encode_write_request([(usual, [(1, 1.0)]), (unsorted, [(1, 1.0)])]), Version.V2: WARM_2}
    for version, body in bodies.items():
        split_request(body, version, tenant_seed("warm"), 1, expanded_bytes=1 << 20, known=Runs(1))
    names = StreamNames(USUAL_LIMITS, 1)
    stream = encode_field(1, b'{a="b"}') + encode_entry(Entry(1, b"warm", [(b"a", b"b")])) + b"\x12\x02\x28\x01"
    split_protobuf(encode_field(1, stream), "warm", names, USUAL_LINE_BYTES)
    split_json(b'{"streams": []}', "warm", names, USUAL_LINE_BYTES)
