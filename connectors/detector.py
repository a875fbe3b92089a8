"""Detectors: what an operator writes, and the records of ``tocsin.detectors``, typed and versioned. Pure."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from connectors.messages import DEFAULT_TENANT, Message


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


LABEL_NAME = r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$"
LabelName = Annotated[str, Field(pattern=LABEL_NAME)]
LabelText = Annotated[str, Field(max_length=200)]
"""Of labels that a detector bears."""


class DetectorConfig(Message):
    """What an operator writes. Kind, selector and params are checked by ``flows.validator``."""

    name: Annotated[str, Field(min_length=1, max_length=200, description="for people; free to change")]
    kind: Annotated[str, Field(description="which detector, see docs/detectors.md")] = "auto"
    selector: Annotated[str, Field(min_length=1, max_length=4096, description="PromQL matchers")]
    params: Annotated[dict[str, Any], Field(description="parameters of the kind")] = {}  # noqa: RUF012 - pydantic copies it
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
    min_change: Annotated[
        float,
        Field(
            strict=True,
            ge=0,
            description="a value nearer to the expected one is no anomaly, however surprising; in the signal's unit",
        ),
    ] = 0.0
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
    ] = {}  # noqa: RUF012 - pydantic copies it


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
