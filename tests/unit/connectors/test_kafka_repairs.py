"""kafka-python understands answers whatever its threads do at the same moment, and reads batches as they are."""

from __future__ import annotations

import gc
from importlib import util
from selectors import EVENT_READ
from socket import socket
from typing import Any

import pytest
from kafka.errors import CorruptRecordError
from kafka.protocol.api_header import RequestHeader, ResponseClassRegistry
from kafka.protocol.consumer import ListOffsetsResponse
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

import connectors.kafka_clients
from connectors.kafka_repairs import TerseSelector


def test_a_response_class_that_two_threads_made_is_still_known() -> None:
    """As if each of two threads had made the class, and the second's had been dropped."""
    assert connectors.kafka_clients.make_consumer
    kept = ListOffsetsResponse[3]
    del ListOffsetsResponse._VERSIONS[3]
    assert ListOffsetsResponse[3] is not kept
    ListOffsetsResponse._VERSIONS[3] = kept
    gc.collect()
    header = RequestHeader(request_api_key=ListOffsetsResponse.API_KEY, request_api_version=3)
    assert ResponseClassRegistry.get_response_class(header) is kept


NONE, GZIP, LZ4 = DefaultRecordBatch.CODEC_NONE, DefaultRecordBatch.CODEC_GZIP, DefaultRecordBatch.CODEC_LZ4

VALUES = (b"x" * 70_000, b"", None, bytes(range(256)))


def as_published() -> Any:
    """kafka-python's module of batches, as no one has touched it."""
    spec = util.find_spec(DefaultRecordBatch.__module__)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def batch_of(codec: int, builder_of: Any = DefaultRecordBatchBuilder) -> bytes:
    builder = builder_of(
        magic=2, compression_type=codec, is_transactional=0, producer_id=1, producer_epoch=0, base_sequence=0,
        batch_size=1 << 20,
    )  # fmt: skip
    for n, value in enumerate(VALUES):
        builder.append(n, timestamp=1000 + n, key=b"k", value=value, headers=[("h", b"1"), ("none", None)])
    return bytes(builder.build())


def incompressible(builder_of: Any) -> bytes:
    builder = builder_of(
        magic=2, compression_type=LZ4, is_transactional=0, producer_id=1, producer_epoch=0, base_sequence=0,
        batch_size=1 << 20,
    )  # fmt: skip
    builder.append(0, timestamp=1000, key=None, value=b"ab", headers=[])
    return bytes(builder.build())


def fields(batch: Any) -> list[tuple[Any, ...]]:
    return [(one.offset, one.timestamp, one.key, one.value, one.headers) for one in batch]


@pytest.mark.parametrize("codec", [NONE, GZIP, LZ4])
def test_batches_are_read_as_kafka_python_reads_them(codec: int) -> None:
    raw = batch_of(codec)
    found = fields(DefaultRecordBatch(raw))
    assert found == fields(as_published().DefaultRecordBatch(raw))
    assert len(found) == 4
    assert all(isinstance(value, bytes | None) for _, _, _, value, _ in found)


@pytest.mark.parametrize("codec", [NONE, GZIP, LZ4])
def test_batches_are_written_as_kafka_python_writes_them(codec: int) -> None:
    theirs = as_published()
    raw = batch_of(codec)
    if codec != GZIP:  # which notes the time
        assert raw == batch_of(codec, theirs.DefaultRecordBatchBuilder)
    assert [value for _, _, _, value, _ in fields(theirs.DefaultRecordBatch(raw))] == list(VALUES)


def test_what_compressing_makes_no_smaller_is_written_as_it_is() -> None:
    raw = incompressible(DefaultRecordBatchBuilder)
    assert raw == incompressible(as_published().DefaultRecordBatchBuilder)
    assert DefaultRecordBatch(raw).compression_type == NONE


def test_a_compressed_batch_carries_a_checksum_that_holds() -> None:
    raw = batch_of(LZ4)
    assert len(raw) < 2000
    assert DefaultRecordBatch(raw).validate_crc()


def test_a_batch_that_is_cut_short_is_refused() -> None:
    cut = DefaultRecordBatch(batch_of(LZ4))
    cut._buffer = cut._buffer[:-100]
    with pytest.raises((RuntimeError, CorruptRecordError)):
        fields(cut)


def test_what_was_decompressed_is_not_copied() -> None:
    batch = DefaultRecordBatch(batch_of(LZ4))
    fields(batch)
    assert isinstance(batch._buffer, bytes)


def test_a_selector_says_of_no_socket_but_those_registered() -> None:
    with TerseSelector() as terse, socket() as one, socket() as other:
        key = terse.register(one, EVENT_READ, "what for")
        assert terse.get_key(one) is key
        with pytest.raises(KeyError):
            terse.get_key(other)
        terse.unregister(one)
        with pytest.raises(KeyError):
            terse.get_key(one)


def test_a_socket_that_was_closed_first_is_found_and_unregistered() -> None:
    with TerseSelector() as terse:
        one = socket()
        key = terse.register(one, EVENT_READ)
        one.close()
        assert terse.get_key(one) is key
        terse.unregister(one)
        with pytest.raises(ValueError, match="Invalid file"):
            terse.get_key(one)
