"""Whether a detector does its job, and if not why, in one sentence. Pure: from what the flows tell of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from api.standing import Standing
from connectors.detector import DetectorConfig
from connectors.messages import Message
from flows.budget import PERIOD_S
from flows.detectors.registry import KINDS, Trait
from flows.futility import futility_text
from flows.mining.names import PASSING
from flows.models import OF_DETECTOR, OF_PARTITION
from flows.selector import parse_selector
from flows.sentence import number

UNHEARD_S = 90.0
"""A partition gives a sign of life every 30 s of log time."""
TOO_MANY_A_DAY = 24.0
"""One an hour, of a detector as a whole: who is on call looks at no more, and soon at none."""
OVER_BUDGET = 3.0
"""A budget is kept over time; for a day it may be exceeded so far."""
DAY_S = 86_400.0
MOST_SILENT = 0.5
"""Share of silent signals from which it is said: pods that were replaced are silent for an hour."""

MODEL_BOUNDS = {OF_DETECTOR: "params.max_keys", OF_PARTITION: "TOCSIN_FLOW_MAX_MODELS"}


class HealthState(StrEnum):
    """Whether it does its job."""

    OK = "ok"
    DEGRADED = "degraded"
    """partly, or not yet"""
    DOWN = "down"


class Why(StrEnum):
    """What is the matter; a closed list."""

    STOPPED = "stopped"
    NEVER_FIRES = "never_fires"
    UNHEARD = "unheard"
    NOT_TOLD = "not_told"
    NOT_IN_FORCE = "not_in_force"
    WATCHES_NOTHING = "watches_nothing"
    OVERFLOWED = "overflowed"
    NO_GROUPS = "no_groups"
    ALL_SILENT = "all_silent"
    MOSTLY_SILENT = "mostly_silent"
    ALL_WARMING = "all_warming"
    BUDGET_LEARNS = "budget_learns"
    SERIES_REFUSED = "series_refused"
    TOO_MANY_ALARMS = "too_many_alarms"


class Finding(Message):
    """One thing that is the matter."""

    state: HealthState
    why: Why
    says: str


class DetectorHealth(Message):
    """The worst of all findings is the state, and its sentence what it says."""

    detector: str
    state: HealthState
    says: Annotated[str, Field(description="in one sentence")]
    findings: Annotated[list[Finding], Field(description="the worst first; none if it is ok")]


def health_of(standing: Standing, config: DetectorConfig, now_ms: int) -> DetectorHealth:
    """What is the matter with a detector at this time."""
    order = list(HealthState)
    findings = sorted(_findings(standing, config, now_ms), key=lambda one: -order.index(one.state))
    return DetectorHealth(
        detector=standing.detector,
        state=findings[0].state if findings else HealthState.OK,
        says=findings[0].says if findings else _fine(standing, now_ms),
        findings=findings,
    )


def _findings(standing: Standing, config: DetectorConfig, now_ms: int) -> Iterator[Finding]:
    if not config.enabled:
        yield _down(Why.STOPPED, "it is stopped: start it, and it learns anew")
        return
    futile = futility_text(config)
    if futile:  # taken by an older version
        yield _down(Why.NEVER_FIRES, futile)
    yield from _heard(standing)
    if not standing.parts:
        return
    if standing.in_force is False:
        behind = [_where(one.partition) for one in standing.parts if one.revision != standing.revision]
        yield _degraded(Why.NOT_IN_FORCE, f"revision {standing.revision} is not in force yet on {_listed(behind)}")
    if not standing.series:
        yield _nothing(standing, config)
        return
    yield from _judging(standing, config, now_ms)
    yield from _bounds(standing)
    yield from _alarms(standing, config)


def _heard(standing: Standing) -> Iterator[Finding]:
    if standing.age_s is None:
        yield _down(Why.UNHEARD, "nothing was ever heard of a flow: it does not run, or no data comes in")
    elif standing.age_s > UNHEARD_S:
        yield _down(
            Why.UNHEARD,
            f"nothing was heard of the flow for {_span(standing.age_s)}: it does not run, is behind, or gets no data",
        )
    if not standing.parts:
        yield _degraded(Why.NOT_TOLD, "the flow has told nothing of it yet")
    elif standing.partitions_told < standing.partitions:
        told = f"{standing.partitions_told} of {standing.partitions}"
        yield _degraded(Why.NOT_TOLD, f"only {told} partitions have told of it yet")


def _nothing(standing: Standing, config: DetectorConfig) -> Finding:
    if (standing.drops or {}).get("overflowed"):
        return _down(
            Why.OVERFLOWED, "its groups are more than there may be, so none is judged: narrow its selector, or split it"
        )
    return _down(Why.WATCHES_NOTHING, f"it watches nothing: no series fits {config.selector}")


def _judging(standing: Standing, config: DetectorConfig, now_ms: int) -> Iterator[Finding]:
    signals, silent, warming = standing.signals or 0, standing.silent or 0, standing.warming or 0
    if not signals:
        if (standing.drops or {}).get("overflowed"):
            yield _nothing(standing, config)
        else:
            yield _degraded(Why.NO_GROUPS, f"its {standing.series} series have made no group that is judged yet")
        return
    if silent and not _expects_silence(config):
        if silent == signals:
            yield _down(Why.ALL_SILENT, f"nothing comes for any of its {signals} signals{_since(standing, now_ms)}")
        elif silent >= MOST_SILENT * signals:
            yield _degraded(Why.MOSTLY_SILENT, f"nothing comes for {silent} of its {signals} signals")
    if warming and warming + silent == signals:
        took = "" if not standing.needs_s else f", {_span(standing.needs_s)} at its usual pace"
        subject = "its signal warms" if signals == 1 else f"all of its {warming} signals warm"
        yield _degraded(Why.ALL_WARMING, f"{subject} up: needs {_samples(standing.needs or 0)}{took}")


def _expects_silence(config: DetectorConfig) -> bool:
    """Whether silence is its job, or its series end by themselves."""
    return Trait.PAUSES in KINDS[config.kind].traits or parse_selector(config.selector).metric in PASSING


def _bounds(standing: Standing) -> Iterator[Finding]:
    refused = (standing.drops or {}).get("series_refused", 0)
    if refused:
        yield _degraded(
            Why.SERIES_REFUSED,
            f"{refused} series found no room beside the {standing.series} that it watches (TOCSIN_FLOW_MAX_KEYS): "
            "narrow its selector, or split it",
        )
    for reason, bound in MODEL_BOUNDS.items():
        without = (standing.drops or {}).get(reason, 0)
        if without:
            yield _degraded(
                Why.SERIES_REFUSED,
                f"{without} series found no room for a model beside the {standing.series} that it watches ({bound}): "
                "narrow its selector, or raise the bound",
            )


def _alarms(standing: Standing, config: DetectorConfig) -> Iterator[Finding]:
    if config.budget is not None and standing.threshold is None:
        yield _degraded(Why.BUDGET_LEARNS, "its budget has set no threshold yet: nothing alarms in its first 6 hours")
    rate = standing.anomalies_per_day
    most, of = TOO_MANY_A_DAY, "the one an hour that people can look at"
    if config.budget is not None:
        planned = config.budget.alarms * DAY_S / PERIOD_S[config.budget.per]
        most, of = max(1.0, OVER_BUDGET * planned), f"its budget of {number(planned)}"
    if rate is not None and rate > most:
        yield _degraded(Why.TOO_MANY_ALARMS, f"it alarms {number(rate)} times a day, far more than {of}")


def _fine(standing: Standing, now_ms: int) -> str:
    warming = f", {standing.warming} more warm up" if standing.warming else ""
    judges = f"it judges {standing.running} signal{'s' * (standing.running != 1)}{warming}"
    return judges if standing.last_ms is None else f"{judges}; the last sample is {_span(_ago(standing, now_ms))} old"


def _ago(standing: Standing, now_ms: int) -> float:
    return max(0, now_ms - (standing.last_ms or now_ms)) / 1000


def _since(standing: Standing, now_ms: int) -> str:
    if standing.last_ms is None:
        return ""
    at = datetime.fromtimestamp(standing.last_ms / 1000, UTC)
    return f" since {at:%Y-%m-%d %H:%M:%S} UTC, {_span(_ago(standing, now_ms))} ago"


def _samples(n: int) -> str:
    return f"{n} more sample{'s' * (n != 1)}"


def _where(partition: int | None) -> str:
    return "the step that judges groups" if partition is None else f"partition {partition}"


def _listed(places: list[str]) -> str:
    return ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")


def _span(seconds: float) -> str:
    """A length of time for people."""
    for unit, length_s in (("days", DAY_S), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _down(why: Why, says: str) -> Finding:
    return Finding(state=HealthState.DOWN, why=why, says=says)


def _degraded(why: Why, says: str) -> Finding:
    return Finding(state=HealthState.DEGRADED, why=why, says=says)
