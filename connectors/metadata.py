"""Metadata of metric families: which of them are news. Senders repeat all of it every minute."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from connectors.catalogue import Topics
from connectors.codec.families import encode_types
from connectors.codec.told import Family
from connectors.messages import Metadata, OutRecord, metadata_key

KNOWN_FAMILIES = 100_000
"""Families remembered, the longest unseen forgotten first; a forgotten one is merely written again."""
REPEAT_S = 3600.0
"""Written again after this time, for a broker that lost its records."""
TYPES_PER_RECORD = 100
"""With names of at most 1 KiB, three times that where bytes were replaced, a record stays below half a megabyte."""
NEWS_BYTES = 16 * 1024 * 1024
"""So much of a request's news is written; what is left is news again when the sender repeats it."""
RECORD_COST_BYTES, TYPE_COST_BYTES = 1024, 32
"""What a record of metadata, and a family in a record of types, cost beside their texts until Kafka confirms them."""


class News(NamedTuple):
    """Records of a request's news, what they cost in memory, and how many families had no room."""

    records: list[OutRecord]
    size_bytes: int
    left: int


class MetadataNews:
    """Turns families into records, leaving out what was written lately. Thread-safe.

    Each goes to the compacted topic of metadata, and its type to every partition of the samples, where each block
    needs it.
    """

    def __init__(self, topics: Topics, partitions: int) -> None:
        self._topics = topics
        self._partitions = partitions
        self._lock = threading.Lock()
        self._written: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def news(self, tenant: str, families: Iterable[Family], now_s: float, room_bytes: int = NEWS_BYTES) -> News:
        """Records of the families that are new, changed or not written for an hour; the last of a name wins."""
        latest = {metadata_key(tenant, family.name): family for family in families}
        fresh = self._fresh(latest, now_s)
        records: list[OutRecord] = []
        size = 0
        for key in fresh:
            value = _metadata(tenant, latest[key])
            cost = self._cost(latest[key], value)
            if size + cost > min(room_bytes, NEWS_BYTES):
                break
            size += cost
            records.append(OutRecord(self._topics.metadata, key, value, []))
        told = fresh[: len(records)]
        self._remember({key: latest[key] for key in told}, now_s)
        types = self._types(tenant, [latest[key] for key in told])
        return News([*records, *types], size, len(fresh) - len(told))

    def forget(self, records: Iterable[OutRecord]) -> None:
        """Kafka did not confirm these: write them again the next time."""
        with self._lock:
            for record in records:
                if record.key is not None:
                    self._written.pop(record.key, None)

    def _fresh(self, latest: dict[bytes, Family], now_s: float) -> list[bytes]:
        """Keys of the news; all that is known counts as seen now."""
        fresh = []
        with self._lock:
            for key, family in latest.items():
                known, written_s = self._written.get(key, (0, -REPEAT_S))
                if key in self._written:
                    self._written.move_to_end(key)
                if known != hash(family) or now_s - written_s >= REPEAT_S:
                    fresh.append(key)
        return fresh

    def _remember(self, told: dict[bytes, Family], now_s: float) -> None:
        with self._lock:
            for key, family in told.items():
                self._written[key] = (hash(family), now_s)
                self._written.move_to_end(key)
            while len(self._written) > KNOWN_FAMILIES:
                self._written.popitem(last=False)

    def _cost(self, family: Family, value: bytes) -> int:
        """Bytes of memory that the records of a family take."""
        in_types = len(family.name.encode()) + TYPE_COST_BYTES
        return RECORD_COST_BYTES + len(value) + self._partitions * in_types

    def _types(self, tenant: str, told: list[Family]) -> Iterator[OutRecord]:
        topic, key = self._topics.metrics, tenant.encode()
        for at in range(0, len(told), TYPES_PER_RECORD):
            value = encode_types((family.name, family.type) for family in told[at : at + TYPES_PER_RECORD])
            for partition in range(self._partitions):
                yield OutRecord(topic, key, value, [], partition)


def _metadata(tenant: str, family: Family) -> bytes:
    return Metadata(tenant=tenant, family=family.name, type=family.type, unit=family.unit, help=family.help).encode()
