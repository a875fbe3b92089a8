"""What flows tell of themselves: the values and keys of ``tocsin.status``, typed and versioned. Pure.

A record says how one detector does on one partition, or how one partition does; the last of each key holds. What cannot
be known yet is null, never a guess.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from connectors.messages import Record

GROUPS = "groups"
"""In the place of a partition: what is told of a detector's groups, which are judged beside the partitions."""
MAX_SIGNALS = 50
"""Signals that one record names."""
_KEY = re.compile(
    r"detector/(?P<id>[a-z0-9][a-z0-9-]{0,63})/(?P<where>\d{1,4}|groups)"
    r"|partition/(?P<partition>\d{1,4})|logs/(?P<logs>\d{1,4})"
)
LOGS = "/logs"
"""In the place of a detector: what is told of a partition of ``tocsin.logs``. No detector has such an id."""


class SignalState(StrEnum):
    """How a signal does."""

    WARMING = "warming"
    """it needs more samples before it is judged"""
    RUNNING = "running"
    SILENT = "silent"
    """nothing has come for longer than a minute and six of its usual pauses"""


class SignalStatus(Record):
    """One signal of a detector, as of the record's log time."""

    labels: dict[str, str]
    state: SignalState
    open: bool = Field(description="whether an episode is open on it")
    needs: int = Field(ge=0, description="samples that it still needs before it is judged")
    last_ms: int | None = Field(description="time of its last sample, ms since 1970")
    time_ms: int | None = Field(description="time of the sample that the values below are of; null: none was heard yet")
    value: float | None = Field(description="value of the signal then; of kind missing the pause, s")
    score: float | None = Field(description="its surprise, −log10 of the tail probability")
    expected: float | None
    lower: float | None
    upper: float | None


class DetectorStatus(Record):
    """One detector on one partition, or its groups."""

    version: Literal[1] = 1
    type: Literal["detector"] = "detector"
    detector: str
    partition: Annotated[int | None, Field(ge=0, description="null: its groups, as all partitions together make them")]
    log_ms: int = Field(description="log time of which this is told, ms since 1970")
    revision: int = Field(description="the revision of the detector that runs there")
    enabled: bool
    matched: int = Field(ge=0, description="series that it watches here; in the record of groups, groups")
    members: int = Field(ge=0, description="of these, members of groups, which are judged elsewhere or together")
    warming: int = Field(ge=0, description="signals that need more samples")
    running: int = Field(ge=0, description="signals that are judged")
    silent: int = Field(ge=0, description="signals of which nothing comes")
    open: int = Field(ge=0, description="open episodes")
    needs: int = Field(ge=0, description="the most samples that a signal still needs")
    step_s: float | None = Field(description="usual time from sample to sample, the median of its series")
    last_ms: int | None = Field(description="time of the latest sample")
    samples: int = Field(ge=0, description="samples judged or learned, of the signals that there are")
    anomalies: int = Field(ge=0, description="episodes opened since ``since_ms``")
    since_ms: int = Field(description="log time since which it computes what it does")
    anomalies_per_day: float | None = Field(
        description="rate of the last days, the latest counting most; null in its first hour"
    )
    threshold: float | None = Field(description="surprise from which it alarms now; null: by chance, or not set yet")
    drops: dict[str, int] = Field(description="series refused, or steps and samples not judged, by reason")
    state_bytes: int = Field(ge=0, description="memory of its state; what detectors share is counted for each")
    signals: list[SignalStatus] = Field(
        max_length=MAX_SIGNALS,
        description="those with open episodes, then silent and warming ones, then others; the rest is only counted",
    )


class PartitionStatus(Record):
    """One partition of the flow: the sign of life, every 30 s of log time."""

    version: Literal[1] = 1
    type: Literal["partition"] = "partition"
    partition: int = Field(ge=0)
    log_ms: int = Field(description="log time of which this is told, ms since 1970")
    looked_ms: int | None = Field(description="what is told of any detector here was so at this log time or later")
    detectors_offset: int = Field(ge=0, description="next offset of tocsin.detectors; all before it are in force")
    detectors: int = Field(ge=0)
    series: int = Field(ge=0)
    lanes: int = Field(ge=0, description="pairs of detector and series")
    samples: int = Field(ge=0, description="samples met since the flow started")
    judged: int = Field(ge=0, description="pairs of sample and computation judged since the flow started")
    drops: dict[str, int] = Field(description="samples not judged since the flow started, by reason")


class LogsStatus(Record):
    """One partition of the logs flow: the sign of life, every 30 s of log time."""

    version: Literal[1] = 1
    type: Literal["logs"] = "logs"
    partition: int = Field(ge=0)
    log_ms: int = Field(description="log time of which this is told, ms since 1970")
    lines: int = Field(ge=0, description="lines met since the recovery store was made")
    bytes: int = Field(ge=0, description="their bytes")
    drops: dict[str, int] = Field(description="lines not counted since then, by reason")


Status = DetectorStatus | PartitionStatus


class Place(tuple[str, str]):
    """What a key names: a detector id, empty for a partition itself, or ``LOGS``; and a partition, or ``GROUPS``."""

    __slots__ = ()


def detector_key(detector_id: str, partition: int | None) -> bytes:
    """Key of what is told of a detector on a partition, or of its groups (None)."""
    return f"detector/{detector_id}/{GROUPS if partition is None else partition}".encode()


def partition_key(partition: int) -> bytes:
    """Key of what is told of a partition."""
    return f"partition/{partition}".encode()


def logs_key(partition: int) -> bytes:
    """Key of what is told of a partition of ``tocsin.logs``."""
    return f"logs/{partition}".encode()


def place_of(key: bytes | None) -> Place | None:
    """What a key names; None if it is none of ours."""
    found = _KEY.fullmatch((key or b"").decode(errors="replace"))
    if found is None:
        return None
    if found["logs"] is not None:
        return Place((LOGS, found["logs"]))
    return Place((found["id"] or "", found["where"] or found["partition"]))
