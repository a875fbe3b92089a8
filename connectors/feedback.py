"""What people say of anomalies: the records of ``tocsin.feedback``, and what they amount to for one anomaly. Pure."""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

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

    @model_validator(mode="after")
    def _holds_what_its_kind_needs(self) -> Self:
        if (self.text is None) == (self.kind is FeedbackKind.COMMENT):
            message = "text: a comment has it, and nothing else"
            raise ValueError(message)
        if self.verdict is not None and self.kind is not FeedbackKind.VERDICT:
            message = "verdict: of kind verdict alone"
            raise ValueError(message)
        return self


def feedback(
    kind: FeedbackKind,
    anomaly_id: str,
    author: str,
    time_ms: int,
    text: str | None = None,
    verdict: Verdict | None = None,
) -> Feedback:
    """The record, with the id that follows from all of it."""
    said = "\0".join((kind, anomaly_id, author, str(time_ms), text or "", verdict or ""))
    digest = blake2b(said.encode(errors="surrogatepass"), digest_size=ID_BYTES).hexdigest()
    return Feedback(
        id=digest, kind=kind, anomaly_id=anomaly_id, author=author, time_ms=time_ms, text=text, verdict=verdict
    )


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


NOTHING = Said()
