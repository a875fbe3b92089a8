"""Pushes of logs on their way to Kafka: a body to records, within the budget, and confirmed."""

from __future__ import annotations

import time

from connectors.budget import Held
from connectors.codec.compression import Decompressor, declared_bytes
from connectors.codec.inflate import inflate, said_bytes
from connectors.codec.negotiation import Encoding
from connectors.codec.push_json import split_json
from connectors.codec.push_negotiation import Layout, Push
from connectors.codec.push_protobuf import split_protobuf
from connectors.codec.pushed import Pushed
from connectors.codec.stream_names import StreamNames
from connectors.courier import Courier
from connectors.errors import NothingGiven, Rejected
from connectors.ingest_meters import IngestMeters
from connectors.ingest_settings import IngestSettings
from connectors.job import Batch
from connectors.messages import OutRecord

RECORD_BYTES_BESIDE = 2048
"""What Kafka's client keeps of a record beside its value until it is confirmed: measured, 1.9 kB."""


class Pushes:
    """What all pushes share: the streams that are known, and counters. ``deliver`` in the event loop."""

    def __init__(self, settings: IngestSettings, meters: IngestMeters) -> None:
        self._settings = settings
        self._meters = meters
        self._names = StreamNames(settings.label_limits, settings.partitions)
        self._decompressor = Decompressor()
        meters.streams_known.set_function(lambda: self._names.known)

    async def deliver(self, courier: Courier, push: Push, body: bytes, held: Held) -> Pushed:
        """Write the good lines of a push; returns once Kafka has confirmed them, without the records.

        Raises ``Rejected``, ``Overloaded`` and ``Unavailable``; nothing is written then, or nobody knows.
        """
        decoded = self._said_bytes(push.layout, body)
        held.take(2 * decoded)
        started_s = time.monotonic()

        def prepare() -> Batch[Pushed]:
            text = self._text(push.layout, body, decoded)
            self._meters.decoded.inc(len(text))
            held.take(2 * max(0, len(text) - decoded))  # of several gzips only the last one tells its length
            split = split_protobuf if push.layout is Layout.PROTOBUF else split_json
            pushed = split(text, push.tenant, self._names, self._settings.ingest_max_line_bytes)
            self._meters.labels_read(self._names.read_total)
            if pushed.streams == 0:
                message = "streams: there are none; send at least one with labels and lines"
                raise NothingGiven(reason="no_streams", message=message)
            # labels stand in each record
            held.take(max(0, pushed.size_bytes - len(text)) + RECORD_BYTES_BESIDE * len(pushed.records))
            records = self._records(push.tenant, pushed)
            return Batch([], records, pushed._replace(records=[]))  # what they were made of is not kept until then

        give = held.hand_over()
        timeout_s = self._settings.ingest_request_timeout_s
        pushed = await courier.deliver(prepare, lambda _: give(), timeout_s)
        self._meters.pushed(pushed, time.monotonic() - started_s)
        return pushed

    def _said_bytes(self, layout: Layout, body: bytes) -> int:
        """Length of the body once decoded, as far as it tells; raises ``Rejected``, ``TooLarge`` above the limit."""
        limit = self._settings.ingest_max_decoded_bytes
        if not body:
            raise Rejected(reason="empty_body", message="body: it is empty; send at least one stream")
        match layout:
            case Layout.PROTOBUF:
                return declared_bytes(body, Encoding.SNAPPY, limit)
            case Layout.GZIPPED_JSON:
                return said_bytes(body, limit)
        return len(body)

    def _text(self, layout: Layout, body: bytes, decoded: int) -> bytes | memoryview:
        limit = self._settings.ingest_max_decoded_bytes
        match layout:
            case Layout.PROTOBUF:
                return self._decompressor.decompress(body, Encoding.SNAPPY, decoded, limit)
            case Layout.GZIPPED_JSON:
                return inflate(body, limit)
        return body

    def _records(self, tenant: str, pushed: Pushed) -> list[OutRecord]:
        topic, key = self._settings.topics.logs, tenant.encode()
        return [OutRecord(topic, key, record.value, [], record.partition) for record in pushed.records]
