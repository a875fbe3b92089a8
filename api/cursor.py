"""How far a reader of ``tocsin.anomalies`` has come: what a WebSocket client gets with each event and gives to resume.

It names positions in Kafka, so it outlives the api process and holds on every replica: the next offset of each
partition, and of which topic of which cluster these are offsets, for they mean nothing in another one. To clients it is
an opaque word.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from connectors.messages import MAX_PARTITIONS

PATTERN = re.compile(rf"^[0-9a-f]{{8}}(-[0-9]{{1,18}}){{0,{MAX_PARTITIONS}}}$(?!\n)")
"""Compiled by Python, whose ``$`` stands before a last line break too: the engine of pydantic writes out repetitions,
and took 60 ms of every start for this one."""
Offsets = Mapping[int, int]
"""Next offset by partition; 0 for one that is not named."""


class Cursor(NamedTuple):
    """A place in one topic."""

    topic: str
    """``mark_of`` its identity"""
    offsets: Offsets

    def __str__(self) -> str:
        count = max(self.offsets, default=-1) + 1
        return "-".join((self.topic, *(str(self.offsets.get(partition, 0)) for partition in range(count))))

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The cursor of a text that has the pattern."""
        topic, *offsets = text.split("-")
        return cls(topic, dict(enumerate(map(int, offsets))))


def mark_of(identity: str) -> str:
    """Eight digits for what ``connectors.topics.topic_identities`` says."""
    return hashlib.sha256(identity.encode()).hexdigest()[:8]
