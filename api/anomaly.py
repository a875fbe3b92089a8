"""``/api/anomalies/{id}``: one anomaly with what people said of it, and the way to say it."""

from __future__ import annotations

import re
from functools import partial
from http import HTTPStatus
from typing import Annotated

import orjson
from fastapi import Body, Query, Response
from pydantic import Field, ValidationInfo, field_validator
from sqlalchemy import Connection, select

from api.anomalies import FRESH_S, REACH_S
from api.context import Context
from api.feedback_rows import read_said
from api.holding import HoldingAnomalies
from api.json_route import JSON, JsonRoute
from api.problems import ApiError, Code
from api.router import Router
from api.rule_proposal import RuleProposal, WouldHide, would_hide
from api.store_tables import anomaly_events
from connectors.anomaly import Anomaly
from connectors.errors import StoreUnavailable, Unavailable
from connectors.feedback import NOTHING, Author, FeedbackKind, Rule, Said, Text, Verdict, feedback
from connectors.messages import Message
from flows.rules import MOST_RULES

router = Router(prefix="/api/anomalies/{anomaly_id}", tags=["anomalies"], route_class=JsonRoute)

ID = re.compile(r"[0-9a-f]{32}")
NOBODY = "api"
"""Who says it when nobody is named."""


class AnomalyDetail(Anomaly):
    """The last event of one episode, and what people said of it."""

    feedback: Said
    links: Annotated[dict[str, str], Field(description="addresses of what belongs to it")]


class Speaker(Message):
    """Who says it."""

    author: Author = NOBODY


class NewComment(Speaker):
    """What somebody wrote."""

    text: Text


class NewVerdict(Speaker):
    """What somebody takes it for, and maybe a rule, so that the like of it is not told for a while."""

    verdict: Annotated[Verdict | None, Field(description="null takes back what was said")]
    rule: Annotated[RuleProposal | None, Field(description="{} for the one that the anomaly suggests")] = None

    @field_validator("rule")
    @classmethod
    def _has_a_verdict(cls, rule: RuleProposal | None, info: ValidationInfo) -> RuleProposal | None:
        if rule is not None and "verdict" in info.data and info.data["verdict"] is None:
            message = "must be left out where verdict is null; DELETE /api/rules/{id} removes one"
            raise ValueError(message)
        return rule


class Judged(Said):
    """All that is said by then, and the rule that was added or would be."""

    rule: Annotated[Rule | None, Field(description="that was added, or would be")] = None
    rule_id: Annotated[str | None, Field(description="of the rule that was added")] = None
    would_hide: Annotated[WouldHide | None, Field(description="of the history, of a preview")] = None


UNNAMED = Speaker()


@router.get("", response_model=AnomalyDetail)
async def read_anomaly(anomaly_id: str, context: HoldingAnomalies) -> Response:
    """The last event of one episode, acknowledgement, verdict and comments, and addresses of what belongs to it."""

    async def work() -> bytes:
        event, said = await context.store.read(partial(_both, anomaly_id=anomaly_id))
        return _detail(event or await event_of(context, anomaly_id), said)

    if await _is_stored(context, anomaly_id):
        version = (context.history.version, context.feedback.version)
        whole = await context.shared.answer(("anomaly", anomaly_id), version, work, FRESH_S)
    else:
        whole = _detail(await event_of(context, anomaly_id), await _said(context, anomaly_id))
    return Response(whole, media_type=JSON)


@router.post("/acknowledge")
async def acknowledge(
    anomaly_id: str, context: HoldingAnomalies, speaker: Annotated[Speaker, Body()] = UNNAMED
) -> Said:
    """Say that somebody takes care of it; whoever says it first stands. Answered once Kafka has it."""
    return await _say(context, FeedbackKind.ACKNOWLEDGE, anomaly_id, speaker.author)


@router.post("/unacknowledge")
async def unacknowledge(
    anomaly_id: str, context: HoldingAnomalies, speaker: Annotated[Speaker, Body()] = UNNAMED
) -> Said:
    """Say that nobody takes care of it after all."""
    return await _say(context, FeedbackKind.UNACKNOWLEDGE, anomaly_id, speaker.author)


@router.post("/comments", status_code=HTTPStatus.CREATED)
async def comment(anomaly_id: str, context: HoldingAnomalies, written: NewComment) -> Said:
    """Write something under it."""
    return await _say(context, FeedbackKind.COMMENT, anomaly_id, written.author, text=written.text)


@router.post("/verdict")
async def judge(
    anomaly_id: str,
    context: HoldingAnomalies,
    judged: NewVerdict,
    preview: Annotated[bool, Query(description="write nothing, but tell what the rule would have hidden")] = False,
) -> Judged:
    """Say what it is: expected, a false alarm, or the new normal; under a rule the like of it is not told."""
    event = Anomaly.decode(await event_of(context, anomaly_id))
    rule = None if judged.rule is None else judged.rule.rule_for(event, context.now_ms())
    if preview:
        hidden = None if rule is None else await would_hide(context, rule)
        return Judged(**dict(await _said(context, anomaly_id)), rule=rule, would_hide=hidden)
    context.feedback.rules.expire(context.now_ms())
    if rule is not None and len(context.feedback.rules) >= MOST_RULES:
        message = f"{MOST_RULES} rules stand"
        raise ApiError(Code.RULE_LIMIT, message)
    said = await _say(context, FeedbackKind.VERDICT, anomaly_id, judged.author, verdict=judged.verdict)
    if rule is None:
        return Judged(**dict(said))
    record = feedback(FeedbackKind.RULE_ADDED, anomaly_id, judged.author, context.now_ms(), rule=rule)
    await context.feedback.write(record)
    return Judged(**dict(said), rule=rule, rule_id=record.id)


async def _say(
    context: Context,
    kind: FeedbackKind,
    anomaly_id: str,
    author: str,
    text: str | None = None,
    verdict: Verdict | None = None,
) -> Said:
    """Write it, wait until this process has read it back, and tell all that is said now."""
    await event_of(context, anomaly_id)
    await context.feedback.write(feedback(kind, anomaly_id, author, context.now_ms(), text, verdict))
    return await _said(context, anomaly_id)


async def event_of(context: Context, anomaly_id: str) -> bytes:
    """Its last event; raises ``ApiError`` if there is none, ``Unavailable`` if that is not known yet."""
    recent = context.recent.get(anomaly_id)
    if recent is not None:
        return recent.event
    event = None
    if ID.fullmatch(anomaly_id):
        whole = await context.history.reach(context.backlog.reached, REACH_S)
        event = await context.store.read(partial(_stored, anomaly_id=anomaly_id))
        if event is None and not whole:
            raise StoreUnavailable(context.history.incomplete)
    if event is None:
        message = f"anomaly {anomaly_id!r} is neither in the history nor among the {len(context.recent)} recent ones"
        raise ApiError(Code.NOT_FOUND, message)
    return event


def _stored(connection: Connection, anomaly_id: str) -> bytes | None:
    return connection.scalar(select(anomaly_events.c.event).where(anomaly_events.c.id == bytes.fromhex(anomaly_id)))


async def _said(context: Context, anomaly_id: str) -> Said:
    """All of it from the store, or what this process remembers if the store does not answer."""
    anomaly = bytes.fromhex(anomaly_id)
    if await context.feedback.reach(context.feedback.seen, REACH_S):
        try:
            said = await context.store.read(lambda connection: read_said(connection, [anomaly]))
            return said.get(anomaly, NOTHING)
        except Unavailable:
            pass
    return context.feedback.get(anomaly_id)


async def _is_stored(context: Context, anomaly_id: str) -> bool:
    """Whether the store has it if anybody has, with all that was said of it."""
    if context.recent.get(anomaly_id) is not None or not ID.fullmatch(anomaly_id):
        return False
    history, said = context.history, context.feedback
    return await history.reach(context.backlog.reached, REACH_S) and await said.reach(said.seen, REACH_S)


def _detail(event: bytes, said: Said) -> bytes:
    """An ``AnomalyDetail`` of an event that is JSON already."""
    beside = b'"feedback":%s,"links":%s}' % (said.encode(), orjson.dumps(_links(event)))
    return event[:-1] + b"," + beside


def _both(connection: Connection, anomaly_id: str) -> tuple[bytes | None, Said]:
    anomaly = bytes.fromhex(anomaly_id)
    return _stored(connection, anomaly_id), read_said(connection, [anomaly]).get(anomaly, NOTHING)


def _links(event: bytes) -> dict[str, str]:
    anomaly = orjson.loads(event)  # it was checked when it came
    here = f"/api/anomalies/{anomaly['id']}"
    steps = {name: f"{here}/{name}" for name in ("series", "acknowledge", "unacknowledge", "comments", "verdict")}
    return {"self": here, "detector": f"/api/detectors/{anomaly['detector']['id']}", **steps}
