"""Anomalies: the records of ``tocsin.anomalies``, the same on REST and on the WebSocket, typed and versioned. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from connectors.detector import Shape
from connectors.messages import Record


class EventType(StrEnum):
    """What happened to the episode."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"


class Notice(StrEnum):
    """Why people are to be notified of an event."""

    OPENED = "opened"
    WORSE = "worse"
    """a quarter more surprising than what they were told"""
    ONGOING = "ongoing"
    """it still goes on, a cool-down after they were told"""


class Severity(StrEnum):
    """How bad, from the peak surprise against the threshold, the size of the deviation, and how long it lasts."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Change(StrEnum):
    """What kind of change an episode is, as far as it has shown."""

    SPIKE = "spike"
    DIP = "dip"
    LEVEL_SHIFT = "level_shift"
    VARIANCE = "variance"
    SILENCE = "silence"
    NEW_REGIME = "new_regime"


class Direction(StrEnum):
    """Which way the value left the band."""

    UP = "up"
    DOWN = "down"


class ClosedBy(StrEnum):
    """Why an episode ended."""

    QUIET = "quiet"
    DETECTOR = "detector"
    SERIES_GONE = "series_gone"


class AnomalyDetector(Record):
    """Which detector saw it."""

    id: str
    name: str
    kind: str
    revision: int


class AnomalySignal(Record):
    """What it was seen on."""

    labels: dict[str, str] = Field(description="labels of the series, __name__ among them, or of the group")
    shape: Shape
    expression: str | None = Field(None, description="the signal of a group in PromQL, without this group's labels")


class Peak(Record):
    """The most surprising sample of the episode so far."""

    time_ms: int
    value: float
    surprise: float


class Contributor(Record):
    """A member of a group, and its share in what was seen."""

    labels: dict[str, str]
    value: float = Field(description="value of the member at the end of the step")
    usual: float | None = Field(None, description="what the member usually is, if that is known")


class Anomaly(Record):
    """One event of one episode: the value of ``tocsin.anomalies``, of REST and of the WebSocket.

    The last event of an id holds everything that is known of the episode.
    """

    version: Literal[1] = 1
    id: str = Field(pattern=r"^[0-9a-f]{32}$", description="same for all events of an episode, also after a crash")
    event: EventType
    notice: Notice | None = Field(
        default=None, description="why people are to be notified of this event; null: they need not be"
    )
    sequence: int = Field(ge=0, description="0 for opened, then counts up within the episode")
    tenant: str
    detector: AnomalyDetector
    signal: AnomalySignal
    start_ms: int = Field(description="time of the first surprising sample, ms since 1970")
    time_ms: int = Field(description="time of the latest surprising sample, ms since 1970")
    end_ms: int | None = Field(description="time of the last surprising sample once closed, else null")
    closed_by: ClosedBy | None
    severity: Severity
    direction: Direction
    value: float = Field(description="value of the signal at time_ms")
    expected: float = Field(description="what was expected at time_ms")
    lower: float = Field(description="lower edge of the expected band at time_ms")
    upper: float = Field(description="upper edge of the expected band at time_ms")
    surprise: float = Field(ge=0, description="−log10 of the tail probability at time_ms")
    peak: Peak
    samples: int = Field(ge=1, description="surprising samples so far")
    duration_ms: int = Field(ge=0, description="from the first to the latest surprising sample")
    change: Change
    chance_per_week: float | None = Field(
        ge=0, description="how often a peak like this comes by chance on this signal; null if that means nothing"
    )
    contributors: list[Contributor] = Field(
        description="of a group: the members that weigh most, the heaviest first, if any stands out"
    )
    sentence: str = Field(description="all of it in one English sentence")
    learned: str | None = Field(None, description="what kind of signal the detector takes it for, and why, if it says")
