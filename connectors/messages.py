"""What all messages share, on Kafka, REST and the WebSocket; and the records that stand beside samples. Pure.

``encode`` gives the record value, ``decode`` the model or ``Rejected``. The records of each other topic are typed and
versioned in a module of their own: ``detector``, ``anomaly``, ``feedback``, ``training``, ``status``.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connectors.errors import Rejected
from connectors.refusals import expected_of, path_of

DEFAULT_TENANT = "anonymous"
TENANT_RULE = "1 to 150 characters of a-z A-Z 0-9 ! - _ . * ' ( ), and neither . nor .."
"""Mimir's rule: https://grafana.com/docs/mimir/latest/configure/about-tenant-ids/"""
_TENANT = re.compile(r"[a-zA-Z0-9!\-_.*'()]{1,150}")
CONTROL_HEADER = "tocsin-control"
"""Kafka header that marks a control record; other readers of the topic skip records that bear it."""
DEAD_LETTER_REASON_HEADER = "tocsin-reason"
DEAD_LETTER_ORIGIN_HEADER = "tocsin-origin"
DEAD_LETTER_BYTES_HEADER = "tocsin-bytes"
"""How long the record was, where only its beginning is kept."""
REPLAY_HEADER = "tocsin-replay-of"
"""On a dead letter that was written to its topic once more, and on what becomes of it: its place as a dead letter."""
REQUEST_HEADER = "tocsin-request-id"
"""On what a request to the api has written: its id, as the log of the api has it."""
Header = tuple[str, bytes]
MAX_PARTITIONS = 4096
MAX_TIME_MS = 4_102_444_800_000
"""The year 2100: a control record beyond it is poison, because log time never goes back."""


def is_tenant(name: str) -> bool:
    """Whether the name keeps the TENANT_RULE; series and detectors of any other tenant are refused."""
    return _TENANT.fullmatch(name) is not None and name not in (".", "..")


class Message(BaseModel):
    """Base of everything that crosses the wire as JSON: immutable, no unknown fields, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def encode(self) -> bytes:
        """Compact UTF-8 JSON."""
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Parse a record value; raises ``Rejected`` that names the first bad field."""
        try:
            return cls.model_validate_json(value)
        except ValidationError as error:
            first = error.errors()[0]
            message = f"{cls.__name__}: {path_of(first['loc']) or 'record'}: {expected_of(cls, first)}"
            raise Rejected(reason="bad_json", message=message) from error


class Record(Message):
    """Base of records that a newer version may write and an older one read: fields it does not know are left out."""

    model_config = ConfigDict(extra="ignore")


class ControlRecord(Record):
    """Once a second in every partition of an input topic: log time and how far the configuration logs are announced."""

    version: Literal[1] = 1
    time_ms: int = Field(ge=1, le=MAX_TIME_MS)
    detectors_offset: int = Field(ge=0, description="next offset of tocsin.detectors; all before it apply")
    feedback_offset: int = Field(ge=0, description="next offset of tocsin.feedback; all before it apply")
    partitions: int = Field(
        default=1, ge=1, le=MAX_PARTITIONS, description="of this topic, over which the series are spread"
    )


class MetricType(StrEnum):
    """Type of a metric family, in the order of their numbers in both versions of remote write."""

    UNKNOWN = "unknown"
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    GAUGEHISTOGRAM = "gaugehistogram"
    SUMMARY = "summary"
    INFO = "info"
    STATESET = "stateset"

    @classmethod
    def of(cls, number: int) -> MetricType:
        """Type of that number on the wire; what is not known there is UNKNOWN."""
        types = list(cls)
        return types[number] if 0 <= number < len(types) else cls.UNKNOWN


class Metadata(Message):
    """Value of one record of ``tocsin.metadata``; its key is ``metadata_key``."""

    version: Literal[1] = 1
    tenant: str
    family: str
    type: MetricType
    unit: str
    help: str


def metadata_key(tenant: str, family: str) -> bytes:
    """Key of a metric family: tenant and family, separated by a zero byte, which no tenant contains."""
    return f"{tenant}\0{family}".encode()


class OutRecord(NamedTuple):
    """A record to be produced: what flows hand to the sink."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    partition: int | None = None
