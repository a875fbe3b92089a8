"""What kafka-python 3.0.12 gets wrong or does twice, put right before the first client is made.

It makes a class for each version of a response when the first such response is sent for, and every class that it makes
takes its message's place in a table of weak references. Two threads that ask at the same moment make the class twice;
when the one that is dropped stands in the table, no client of this process understands that response again
(``ReferenceError: weakly-referenced object no longer exists``), until the process is started anew.

And of each batch that it decompresses it copies all bytes, and then those of each record twice, where once would do: a
fifth of the time that it takes to read records of samples.
"""

from __future__ import annotations

from typing import Any

import lz4.frame
from kafka.protocol.api_header import ResponseClassRegistry
from kafka.record.default_records import DefaultRecordBatch


def keep_first_registered() -> None:
    """Let the class that a module defines, which lives as long as the process, keep its place in the table."""

    def register(response_class: Any) -> None:
        table = ResponseClassRegistry._response_class_registry  # noqa: SLF001 - there is no other way in
        table.setdefault(response_class.API_KEY, response_class)

    ResponseClassRegistry.register_response_class = register


def copy_records_once() -> None:
    """Let a batch that is compressed with lz4 hand out its records from what decompressing gave, as it is."""
    others = DefaultRecordBatch._maybe_uncompress  # noqa: SLF001 - as above

    def decompress(batch: Any) -> None:
        if batch._decompressed or batch.compression_type != DefaultRecordBatch.CODEC_LZ4:  # noqa: SLF001 - as above
            others(batch)
            return
        batch._buffer = lz4.frame.decompress(memoryview(batch._buffer)[batch._pos :])  # noqa: SLF001 - as above
        batch._pos = 0  # noqa: SLF001 - as above
        batch._decompressed = True  # noqa: SLF001 - as above

    DefaultRecordBatch._maybe_uncompress = decompress  # noqa: SLF001 - as above
