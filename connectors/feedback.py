"""What people say of anomalies: the records of ``tocsin.feedback``, and what they amount to for one anomaly. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from connectors.anomaly import Direction
from connectors.messages import MAX_TIME_MS, Record

MOST_COMMENTS = 100
"""Of one anomaly; the latest stay. Kafka has them all."""
ID_BYTES = 16


class FeedbackKind(StrEnum):
    """What somebody did."""

    ACKNOWLEDGE = "acknowledge"
    UNACKNOWLEDGE = "unacknowledge"
    COMMENT = "comment"
    VERDICT = "verdict"
    RULE_ADDED = "rule_added"
    RULE_REMOVED = "rule_removed"


class Verdict(StrEnum):
    """What somebody takes an anomaly for."""

    EXPECTED = "expected"
    """strange, and known to be: a deployment, a load test"""
    FALSE_ALARM = "false_alarm"
    """nothing strange at all"""
    NEW_NORMAL = "new_normal"
    """it will stay so"""


Author = Annotated[str, Field(min_length=1, max_length=200, description="who says it")]
Text = Annotated[str, Field(min_length=1, max_length=4000)]


Minute = Annotated[int, Field(ge=0, lt=1440, description="of the day, in UTC")]
MOST_LABELS = 16
"""That a rule may name."""


class Rule(Record):
    """Which episodes are not told, from where the flow meets it in its log until ``expires_ms`` of log time."""

    detector: Annotated[str | None, Field(max_length=64, description="its id; null: of every detector")] = None
    tenant: Annotated[str | None, Field(max_length=150, description="whose; null: an older version did not say")] = None
    labels: dict[str, str] = Field(
        default={}, max_length=MOST_LABELS, description="that the signal has, with just these values"
    )
    direction: Annotated[Direction | None, Field(description="null: either")] = None
    from_minute: Annotated[Minute | None, Field(description="the episode begins not before, each day")] = None
    to_minute: Annotated[Minute | None, Field(description="and before; may lie beyond midnight")] = None
    expires_ms: Annotated[int, Field(ge=0, le=MAX_TIME_MS)]

    @model_validator(mode="after")
    def _has_bounds(self) -> Self:
        if self.detector is None and not self.labels:
            message = "labels: of every detector and every signal: name a detector or a label"
            raise ValueError(message)
        if (self.from_minute is None) != (self.to_minute is None):
            message = "to_minute: of a time of day both ends are named, or neither"
            raise ValueError(message)
        return self

    def hides(self, detector: str, tenant: str, labels: Mapping[str, str], direction: Direction, start_ms: int) -> bool:
        """Whether it fits an episode that began at this time."""
        return (
            self.detector in (None, detector)
            and self.tenant in (None, tenant)
            and self.direction in (None, direction)
            and self.labels.items() <= labels.items()
            and self._is_time(start_ms)
        )

    def _is_time(self, time_ms: int) -> bool:
        if self.from_minute is None or self.to_minute is None:
            return True
        minute = time_ms // 60_000 % 1440
        if self.from_minute < self.to_minute:
            return self.from_minute <= minute < self.to_minute
        return minute >= self.from_minute or minute < self.to_minute


class Feedback(Record):
    """One record of ``tocsin.feedback``, keyed by anomaly id. Records apply in the order of the log."""

    version: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="of all that it says, so one sent twice is one")]
    kind: FeedbackKind
    anomaly_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    author: Author
    time_ms: Annotated[int, Field(ge=0, le=MAX_TIME_MS)]
    text: Annotated[Text | None, Field(description="of a comment")] = None
    verdict: Annotated[Verdict | None, Field(description="of kind verdict; null takes it back")] = None
    rule: Annotated[Rule | None, Field(description="that is added; this record's id is its own")] = None
    rule_id: Annotated[str | None, Field(description="of the rule that is removed")] = None

    @model_validator(mode="after")
    def _holds_what_its_kind_needs(self) -> Self:
        if (self.text is None) == (self.kind is FeedbackKind.COMMENT):
            message = "text: a comment has it, and nothing else"
            raise ValueError(message)
        if self.verdict is not None and self.kind is not FeedbackKind.VERDICT:
            message = "verdict: of kind verdict alone"
            raise ValueError(message)
        if (self.rule is None) == (self.kind is FeedbackKind.RULE_ADDED):
            message = "rule: a rule that is added has it, and nothing else"
            raise ValueError(message)
        if (self.rule_id is None) == (self.kind is FeedbackKind.RULE_REMOVED):
            message = "rule_id: a rule that is removed has it, and nothing else"
            raise ValueError(message)
        return self


def feedback(
    kind: FeedbackKind,
    anomaly_id: str,
    author: str,
    time_ms: int,
    text: str | None = None,
    verdict: Verdict | None = None,
    rule: Rule | None = None,
    rule_id: str | None = None,
) -> Feedback:
    """The record, with the id that follows from all of it."""
    ruled = "" if rule is None else rule.model_dump_json()
    said = "\0".join((kind, anomaly_id, author, str(time_ms), text or "", verdict or "", ruled, rule_id or ""))
    digest = blake2b(said.encode(errors="surrogatepass"), digest_size=ID_BYTES).hexdigest()
    return Feedback(
        id=digest, kind=kind, anomaly_id=anomaly_id, author=author, time_ms=time_ms, text=text, verdict=verdict,
        rule=rule, rule_id=rule_id,
    )  # fmt: skip


class Acknowledgement(Record):
    """Who has taken care of it."""

    author: str
    time_ms: int


class Comment(Record):
    """What somebody wrote."""

    id: str
    author: str
    time_ms: int
    text: str


class Judgement(Record):
    """What somebody takes it for."""

    author: str
    time_ms: int
    verdict: Verdict


class Said(Record):
    """All that people said of one anomaly."""

    acknowledged: Acknowledgement | None = None
    verdict: Judgement | None = None
    comments: Annotated[
        tuple[Comment, ...], Field(description=f"the oldest first, the latest {MOST_COMMENTS} of them")
    ] = ()

    def after(self, record: Feedback) -> Said:
        """The same with one record more; a comment that is among them already changes nothing."""
        told: dict[str, Any] = {"author": record.author, "time_ms": record.time_ms}
        match record.kind:
            case FeedbackKind.ACKNOWLEDGE:
                taken = self.acknowledged or Acknowledgement(**told)
                return self.model_copy(update={"acknowledged": taken})
            case FeedbackKind.UNACKNOWLEDGE:
                return self.model_copy(update={"acknowledged": None})
            case FeedbackKind.VERDICT:
                judged = None if record.verdict is None else Judgement(**told, verdict=record.verdict)
                return self.model_copy(update={"verdict": judged})
            case FeedbackKind.COMMENT:
                if any(comment.id == record.id for comment in self.comments):
                    return self
                comment = Comment(id=record.id, text=record.text or "", **told)
                return self.model_copy(update={"comments": (*self.comments, comment)[-MOST_COMMENTS:]})
            case FeedbackKind.RULE_ADDED | FeedbackKind.RULE_REMOVED:
                return self


NOTHING = Said()
