"""What kafka-python 3.0.12 gets wrong or does twice, put right before the first client is made.

It makes a class for each version of a response when the first such response is sent for, and every class that it makes
takes its message's place in a table of weak references. Two threads that ask at the same moment make the class twice;
when the one that is dropped stands in the table, no client of this process understands that response again
(``ReferenceError: weakly-referenced object no longer exists``), until the process is started anew.

And of each batch that it compresses or decompresses it copies all bytes twice more than it must: a fifth of the time
that it takes to read records of samples. Whenever it waits for a socket it has that socket described in words, which
asks the system for both addresses, twice: a tenth of the time of the thread that sends what ingest took in.
"""

from __future__ import annotations

from collections.abc import Mapping
from selectors import DefaultSelector, SelectorKey
from typing import Any

from kafka.codec import lz4_decode, lz4_encode
from kafka.protocol.api_header import ResponseClassRegistry
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder


def keep_first_registered() -> None:
    """Let the class that a module defines, which lives as long as the process, keep its place in the table."""

    def register(response_class: Any) -> None:
        table = ResponseClassRegistry._response_class_registry  # noqa: SLF001 - there is no other way in
        table.setdefault(response_class.API_KEY, response_class)

    ResponseClassRegistry.register_response_class = register


class TerseSelector(DefaultSelector):
    """Says that a socket is not registered without describing it."""

    def get_key(self, fileobj: Any) -> SelectorKey:
        """What is registered of a socket; raises ``KeyError`` for none."""
        descriptor = fileobj.fileno()
        if descriptor < 0:  # closed, and may stand there yet
            return super().get_key(fileobj)
        registered: Mapping[int, SelectorKey] = vars(self)["_fd_to_key"]  # its own look-up puts the error in words
        return registered[descriptor]


def copy_records_once() -> None:
    """Let batches that are compressed with lz4 be read from what decompressing gave, and be written to it, as it is."""
    _decompress_once()
    _compress_once()


def _compress_once() -> None:
    others = DefaultRecordBatchBuilder._maybe_compress  # noqa: SLF001 - as above

    def compress(builder: Any) -> Any:
        if builder._compression_type != DefaultRecordBatch.CODEC_LZ4:  # noqa: SLF001 - as above
            return others(builder)
        at = DefaultRecordBatchBuilder.HEADER_STRUCT.size
        with memoryview(builder._buffer) as whole, whole[at:] as records:  # noqa: SLF001 - as above
            size, compressed = len(records), lz4_encode(records)
        if len(compressed) >= size:
            return False
        builder._buffer[at:] = compressed  # noqa: SLF001 - as above
        return True

    DefaultRecordBatchBuilder._maybe_compress = compress  # noqa: SLF001 - as above


def _decompress_once() -> None:
    others = DefaultRecordBatch._maybe_uncompress  # noqa: SLF001 - as above

    def decompress(batch: Any) -> None:
        if batch._decompressed or batch.compression_type != DefaultRecordBatch.CODEC_LZ4:  # noqa: SLF001 - as above
            others(batch)
            return
        batch._buffer = lz4_decode(memoryview(batch._buffer)[batch._pos :])  # noqa: SLF001 - as above
        batch._pos = 0  # noqa: SLF001 - as above
        batch._decompressed = True  # noqa: SLF001 - as above

    DefaultRecordBatch._maybe_uncompress = decompress  # noqa: SLF001 - as above
