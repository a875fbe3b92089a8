"""The contract: what stands in Kafka, on REST and on the WebSocket. Each shape is typed here once, and versioned.

Pure: no I/O. ``encode`` gives the record value, ``decode`` the model or ``Rejected``.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connectors.errors import Rejected
from connectors.refusals import expected_of, place_of

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
Header = tuple[str, bytes]


def is_tenant(name: str) -> bool:
    """Whether the name keeps the TENANT_RULE; series and detectors of any other tenant are refused."""
    return _TENANT.fullmatch(name) is not None and name not in (".", "..")


MAX_PARTITIONS = 4096
MAX_TIME_MS = 4_102_444_800_000
"""The year 2100: a control record beyond it is poison, because log time never goes back."""


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
            message = f"{cls.__name__}: {place_of(first['loc']) or 'record'}: {expected_of(cls, first)}"
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


class Shape(StrEnum):
    """How samples become a signal."""

    AUTO = "auto"
    """``rate`` of what is known or named as a counter, else ``raw``"""
    RAW = "raw"
    RATE = "rate"
    INCREASE = "increase"
    DELTA = "delta"


class Aggregate(StrEnum):
    """How the members of a group become one value, as PromQL's operators of these names; or that they stay many."""

    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    COUNT = "count"
    QUANTILE = "quantile"
    MEMBERS = "members"
    """every member as it is, all of a group judged together"""


class Group(Message):
    """Many series as one signal per group, on a grid of steps; checked by ``flows.group``."""

    by: Annotated[tuple[str, ...] | None, Field(description="labels that make a group; none: one group of all")] = None
    without: Annotated[tuple[str, ...] | None, Field(description="all labels but these make a group")] = None
    aggregate: Annotated[Aggregate, Field(description="how members become one value")] = Aggregate.SUM
    q: Annotated[float | None, Field(description="which quantile, for aggregate quantile")] = None
    denominator: Annotated[
        str | None, Field(min_length=1, max_length=4096, description="selector: judge sum ÷ sum of these series")
    ] = None
    histogram_quantile: Annotated[
        float | None, Field(description="judge this quantile of the group's histograms, classic or native")
    ] = None
    step_s: Annotated[int, Field(ge=1, le=3600, description="length of a step of the grid")] = 15
    range_s: Annotated[
        int | None, Field(ge=1, le=86_400, description="range of rate, increase and delta; default 4 steps")
    ] = None
    grace_s: Annotated[
        int, Field(ge=0, le=600, description="log time that a step waits for late samples after its end")
    ] = 5


class Period(StrEnum):
    """What an alarm budget is for."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


class Budget(Message):
    """How many episodes a detector as a whole may open; ``flows.budget`` sets its threshold accordingly."""

    per: Annotated[Period, Field(description="the period: hour, day or week")]
    alarms: Annotated[float, Field(strict=True, ge=0.001, le=10_000, description="episodes opened in it, over time")]


LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$")]
LabelText = Annotated[str, Field(max_length=200)]
"""Of labels that a detector bears."""


class DetectorConfig(Message):
    """What an operator writes. Kind, selector and params are checked by ``flows.config.compile_config``."""

    name: Annotated[str, Field(min_length=1, max_length=200, description="for people; free to change")]
    kind: Annotated[str, Field(description="which detector, see docs/detectors.md")] = "auto"
    selector: Annotated[str, Field(min_length=1, max_length=4096, description="PromQL matchers")]
    params: Annotated[dict[str, Any], Field(description="parameters of the kind")] = {}
    shape: Annotated[Shape, Field(description="what of a series is judged: its value or how it changes")] = Shape.AUTO
    group: Annotated[Group | None, Field(description="judge groups of series instead of each series")] = None
    calibrate: Annotated[
        bool, Field(strict=True, description="let the tail that each signal shows correct its surprises")
    ] = True
    threshold: Annotated[
        float | None,
        Field(
            strict=True,
            gt=0,
            le=300,
            description="surprise (−log10 of the tail probability) from which it is an anomaly",
        ),
    ] = None
    chance_per_week: Annotated[
        float | None,
        Field(
            strict=True,
            gt=0,
            le=10_000,
            description="in place of a threshold: samples a week that may reach it by chance",
        ),
    ] = None
    budget: Annotated[
        Budget | None, Field(description="in place of a threshold: how many alarms of the detector as a whole")
    ] = None
    quiet_s: Annotated[
        float | None,
        Field(strict=True, ge=1, le=86_400, description="an episode closes after so long without a surprising sample"),
    ] = None
    close_ratio: Annotated[
        float, Field(strict=True, gt=0, le=1, description="an open episode goes on at this share of the threshold")
    ] = 1.0
    min_duration_s: Annotated[
        float, Field(strict=True, ge=0, le=86_400, description="an episode is told once it has lasted so long")
    ] = 0.0
    cooldown_s: Annotated[
        float | None,
        Field(strict=True, ge=0, le=604_800, description="no other episode on the same signal for so long after one"),
    ] = None
    tenant: Annotated[str, Field(min_length=1, max_length=150, description="whose series")] = DEFAULT_TENANT
    enabled: Annotated[bool, Field(strict=True, description="false stops it and closes its episodes")] = True
    labels: Annotated[
        dict[LabelName, LabelText], Field(max_length=32, description='for people and lists, as {"team": "web"}')
    ] = {}


DETECTOR_ID = r"^[a-z0-9][a-z0-9-]{0,63}$"


class DetectorRevision(Message):
    """One record of ``tocsin.detectors``, keyed by detector id.

    It applies only if ``base_revision`` is the detector's revision at that point of the log (0: does not exist yet),
    and makes it ``base_revision + 1``; otherwise every reader skips it. ``config`` None deletes.
    """

    version: Literal[1] = 1
    detector_id: Annotated[str, Field(pattern=DETECTOR_ID)]
    base_revision: Annotated[int, Field(ge=0)]
    config: DetectorConfig | None
    author: Annotated[str, Field(max_length=200)]
    time_ms: int

    @cached_property
    def detector(self) -> Detector | None:
        """The detector as it stands if this revision applies; None if it deletes."""
        if self.config is None:
            return None
        return Detector(
            id=self.detector_id,
            revision=self.base_revision + 1,
            config=self.config,
            author=self.author,
            updated_ms=self.time_ms,
        )


class Detector(Message):
    """A detector as it stands: its id, revision and config."""

    id: str
    revision: int
    config: DetectorConfig
    author: str
    updated_ms: int

    @cached_property
    def text(self) -> str:
        """As JSON, written once."""
        return self.model_dump_json()

    @cached_property
    def read(self) -> str:
        """What people look for in it, in one case: name, id and selector, with what none of them contains between."""
        return "\0".join((self.config.name, self.id, self.config.selector)).casefold()


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


class OutRecord(NamedTuple):
    """A record to be produced: what flows hand to the sink."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    partition: int | None = None
