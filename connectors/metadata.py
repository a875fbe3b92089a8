"""Metadata of metric families: which of them are news. Senders repeat all of it every minute."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from connectors.codec.families import encode_types
from connectors.codec.remote_write import Family
from connectors.messages import Metadata, OutRecord, metadata_key

KNOWN_FAMILIES = 100_000
"""Families remembered, the longest unseen forgotten first; a forgotten one is merely written again."""
REPEAT_S = 3600.0
"""Written again after this time, for a broker that lost its records."""
TYPES_PER_RECORD = 30
"""With names of at most 16 KiB a record stays below the half megabyte of other records."""


class MetadataNews:
    """Turns families into records for the compacted topic, leaving out what was written lately. Thread-safe."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._lock = threading.Lock()
        self._written: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def records(self, tenant: str, families: Iterable[Family], now_s: float) -> list[OutRecord]:
        """Records of the families that are new, changed or not written for an hour; the last of a name wins."""
        news: dict[bytes, bytes] = {}
        with self._lock:
            for family in families:
                key = metadata_key(tenant, family.name)
                value = Metadata(
                    tenant=tenant, family=family.name, type=family.type, unit=family.unit, help=family.help
                ).encode()
                if self._is_news(key, value, now_s):
                    news[key] = value
            for key, value in news.items():
                self._written[key] = (hash(value), now_s)
                self._written.move_to_end(key)
            while len(self._written) > KNOWN_FAMILIES:
                self._written.popitem(last=False)
        return [OutRecord(self._topic, key, value, []) for key, value in news.items()]

    def _is_news(self, key: bytes, value: bytes, now_s: float) -> bool:
        known, written_s = self._written.get(key, (0, -REPEAT_S))
        return known != hash(value) or now_s - written_s >= REPEAT_S

    def type_records(self, topic: str, tenant: str, news: Iterable[OutRecord], partitions: int) -> list[OutRecord]:
        """The types of these records, told in every partition of ``topic``, where each block needs them."""
        types = [
            (said.family, said.type) for record in news if record.value for said in [Metadata.decode(record.value)]
        ]
        runs = [types[at : at + TYPES_PER_RECORD] for at in range(0, len(types), TYPES_PER_RECORD)]
        key = tenant.encode()
        return [
            OutRecord(topic, key, encode_types(run), [], partition) for run in runs for partition in range(partitions)
        ]

    def forget(self, records: Iterable[OutRecord]) -> None:
        """Kafka did not confirm these: write them again the next time."""
        with self._lock:
            for record in records:
                if record.key is not None:
                    self._written.pop(record.key, None)
