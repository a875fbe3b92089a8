"""``/api/rules``: what keeps anomalies from being told, added by verdicts."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Query, Response

from api.context import Context
from api.holding import HoldingRules
from api.json_route import JSON
from api.problems import ApiError, Code
from api.router import Router
from connectors.feedback import FeedbackKind, Rule, feedback
from connectors.messages import Message
from flows.rules import Standing

router = Router(prefix="/api/rules", tags=["anomalies"])


class StandingRule(Message):
    """A rule, who added it, and on which anomaly."""

    id: str
    anomaly_id: str
    author: str
    time_ms: int
    rule: Rule


class RuleList(Message):
    """All rules that stand, in the order in which they came."""

    rules: list[StandingRule]


@router.get("", response_model=RuleList)
async def list_rules(context: HoldingRules) -> Response:
    """All rules that nobody removed and whose time is not over by this machine's clock; there are at most 1,000."""
    rules = [StandingRule(**one._asdict()) for one in _standing(context)]
    return Response(RuleList(rules=rules).encode(), media_type=JSON)


@router.delete("/{rule_id}", status_code=HTTPStatus.NO_CONTENT)
async def remove_rule(
    rule_id: str,
    context: HoldingRules,
    author: Annotated[str, Query(min_length=1, max_length=200, description="who removes it")] = "api",
) -> None:
    """Let a rule hold no longer; what it hides and what still goes on then is told with its next event."""
    found = next((one for one in _standing(context) if one.id == rule_id), None)
    if found is None:
        message = f"no rule {rule_id!r} stands"
        raise ApiError(Code.NOT_FOUND, message)
    removal = feedback(FeedbackKind.RULE_REMOVED, found.anomaly_id, author, context.now_ms(), rule_id=rule_id)
    await context.feedback.write(removal)


def _standing(context: Context) -> list[Standing]:
    context.feedback.rules.expire(context.now_ms())
    return list(context.feedback.rules.standing.values())
