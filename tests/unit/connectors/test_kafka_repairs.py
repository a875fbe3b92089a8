"""kafka-python understands answers whatever its threads do at the same moment, and reads batches as they are."""

from __future__ import annotations

import gc
from importlib import util
from typing import Any

import pytest
from kafka.errors import CorruptRecordError
from kafka.protocol.api_header import RequestHeader, ResponseClassRegistry
from kafka.protocol.consumer import ListOffsetsResponse
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

import connectors.kafka_clients


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


def as_published() -> Any:
    """kafka-python's class, as no one has touched it."""
    spec = util.find_spec(DefaultRecordBatch.__module__)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.DefaultRecordBatch


def batch_of(codec: int) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=0, producer_id=1, producer_epoch=0, base_sequence=0,
        batch_size=1 << 20,
    )  # fmt: skip
    for n, value in enumerate((b"x" * 70_000, b"", None, bytes(range(256)))):
        builder.append(n, timestamp=1000 + n, key=b"k", value=value, headers=[("h", b"1"), ("none", None)])
    return bytes(builder.build())


def fields(batch: Any) -> list[tuple[Any, ...]]:
    return [(one.offset, one.timestamp, one.key, one.value, one.headers) for one in batch]


@pytest.mark.parametrize("codec", [NONE, GZIP, LZ4])
def test_batches_are_read_as_kafka_python_reads_them(codec: int) -> None:
    raw = batch_of(codec)
    found = fields(DefaultRecordBatch(raw))
    assert found == fields(as_published()(raw))
    assert len(found) == 4
    assert all(isinstance(value, bytes | None) for _, _, _, value, _ in found)


def test_a_batch_that_is_cut_short_is_refused() -> None:
    cut = DefaultRecordBatch(batch_of(LZ4))
    cut._buffer = cut._buffer[:-100]
    with pytest.raises((RuntimeError, CorruptRecordError)):
        fields(cut)


def test_what_was_decompressed_is_not_copied() -> None:
    batch = DefaultRecordBatch(batch_of(LZ4))
    fields(batch)
    assert isinstance(batch._buffer, bytes)
