"""The rule that an anomaly suggests, and what of the history it would have hidden."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from sqlalchemy import Connection

from api.anomalies import REACH_S
from api.context import Context
from api.history_query import LATEST_MOST, latest
from api.history_wanted import Wanted
from connectors.anomaly import Anomaly
from connectors.errors import StoreUnavailable
from connectors.feedback import MOST_LABELS, Minute, Rule
from connectors.messages import Message
from flows.validator import ConfigError

WEEK_S = 604_800
YEAR_S = 366 * 86_400
NAMED = 100


class RuleProposal(Message):
    """What a rule shall be, as far as it is not to be as the anomaly suggests: its detector, signal and direction."""

    any_detector: Annotated[bool, Field(description="of whatever detector")] = False
    labels: Annotated[
        dict[str, str] | None, Field(max_length=MOST_LABELS, description="null: all of the anomaly's signal")
    ] = None
    any_direction: bool = False
    from_minute: Minute | None = None
    to_minute: Minute | None = None
    lasts_s: Annotated[int, Field(ge=60, le=YEAR_S, description="of log time, from now on")] = WEEK_S

    @field_validator("to_minute")
    @classmethod
    def _is_some_time(cls, to_minute: int | None, info: ValidationInfo) -> int | None:
        if to_minute is not None and to_minute == info.data.get("from_minute"):
            message = "must differ from from_minute; leave both out for the whole day"
            raise ValueError(message)
        return to_minute

    def rule_for(self, anomaly: Anomaly, now_ms: int) -> Rule:
        """The rule from now on; raises ``ConfigError`` for one without bounds."""
        labels = anomaly.signal.labels if self.labels is None else self.labels
        fields: dict[str, Any] = {
            "detector": None if self.any_detector else anomaly.detector.id,
            "tenant": anomaly.tenant,
            "labels": dict(sorted(labels.items())[:MOST_LABELS]),
            "direction": None if self.any_direction else anomaly.direction,
            "from_minute": self.from_minute,
            "to_minute": self.to_minute,
            "expires_ms": max(anomaly.time_ms, now_ms) + 1000 * self.lasts_s,
        }
        try:
            return Rule(**fields)
        except ValidationError as error:
            raise _refusal(fields, error) from error


def _refusal(fields: Mapping[str, Any], error: ValidationError) -> ConfigError:
    """The first thing that is wrong, by the name that it has in the proposal."""
    first = error.errors()[0]
    said = first["msg"].removeprefix("Value error, ")
    name, _, expected = (str(first["loc"][0]), "", said) if first["loc"] else said.partition(": ")
    return ConfigError(field=f"rule.{name}", value=fields[name], expected=expected)


class WouldHide(Message):
    """What a rule would have hidden, had it always stood."""

    count: int
    anomalies: Annotated[list[str], Field(description=f"ids, the latest first, at most {NAMED}")]
    looked_at: Annotated[int, Field(description=f"of the same detector and labels, the latest {LATEST_MOST} at most")]


async def would_hide(context: Context, rule: Rule) -> WouldHide:
    """Look at the latest of the history; raises ``Unavailable`` when the store does not answer or lacks some."""
    if not await context.history.reach(context.backlog.reached, REACH_S):
        raise StoreUnavailable(context.history.incomplete)
    events = await context.store.read(partial(_latest, rule=rule))
    fit = await asyncio.to_thread(_fitting, rule, events)  # some 50 ms, for which nobody else is to wait
    return WouldHide(count=len(fit), anomalies=fit[:NAMED], looked_at=len(events))


def _latest(connection: Connection, rule: Rule) -> list[bytes]:
    wanted = Wanted(detector=rule.detector, labels=tuple(rule.labels.items()))
    return latest(connection, wanted)


def _fitting(rule: Rule, events: Sequence[bytes]) -> list[str]:
    """Ids of those that the rule fits."""
    return [event.id for event in map(Anomaly.decode, events) if _fits(rule, event)]


def _fits(rule: Rule, event: Anomaly) -> bool:
    return rule.hides(event.detector.id, event.tenant, event.signal.labels, event.direction, event.start_ms)
