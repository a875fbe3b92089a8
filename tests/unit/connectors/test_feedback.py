from __future__ import annotations

from functools import reduce

import pytest

from connectors.errors import Rejected
from connectors.feedback import MOST_COMMENTS, Feedback, FeedbackKind, Said, Verdict, feedback
from tests.anomalies import make_anomaly

ID = make_anomaly(1).id


def test_the_same_said_twice_is_one_record_and_another_is_not() -> None:
    first = feedback(FeedbackKind.COMMENT, ID, "ann", 5, "hello")
    assert first == feedback(FeedbackKind.COMMENT, ID, "ann", 5, "hello")
    assert Feedback.decode(first.encode()) == first
    others = [
        feedback(FeedbackKind.COMMENT, ID, "ann", 6, "hello"),
        feedback(FeedbackKind.COMMENT, ID, "bob", 5, "hello"),
        feedback(FeedbackKind.COMMENT, make_anomaly(2).id, "ann", 5, "hello"),
        feedback(FeedbackKind.VERDICT, ID, "ann", 5, verdict=Verdict.EXPECTED),
        feedback(FeedbackKind.VERDICT, ID, "ann", 5),
    ]
    assert len({first.id, *(other.id for other in others)}) == 6


def test_records_amount_to_what_was_said_last() -> None:
    said = reduce(
        Said.after,
        [
            feedback(FeedbackKind.ACKNOWLEDGE, ID, "ann", 1),
            feedback(FeedbackKind.ACKNOWLEDGE, ID, "bob", 2),
            feedback(FeedbackKind.COMMENT, ID, "ann", 3, "a deployment"),
            feedback(FeedbackKind.COMMENT, ID, "ann", 3, "a deployment"),
            feedback(FeedbackKind.VERDICT, ID, "bob", 4, verdict=Verdict.FALSE_ALARM),
            feedback(FeedbackKind.VERDICT, ID, "bob", 5, verdict=Verdict.EXPECTED),
        ],
        Said(),
    )
    assert said.acknowledged is not None
    assert said.acknowledged.author == "ann", "whoever says it first stands"
    assert [comment.text for comment in said.comments] == ["a deployment"]
    assert said.verdict is not None
    assert said.verdict.verdict is Verdict.EXPECTED
    after = said.after(feedback(FeedbackKind.UNACKNOWLEDGE, ID, "ann", 6)).after(
        feedback(FeedbackKind.VERDICT, ID, "ann", 7)
    )
    assert (after.acknowledged, after.verdict, after.comments) == (None, None, said.comments)


def test_comments_are_bounded_and_the_latest_stay() -> None:
    said = reduce(
        Said.after, (feedback(FeedbackKind.COMMENT, ID, "ann", n, str(n)) for n in range(MOST_COMMENTS + 5)), Said()
    )
    assert [comment.text for comment in said.comments] == [str(n) for n in range(5, MOST_COMMENTS + 5)]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ('"kind":"comment"', "text"),
        ('"kind":"acknowledge","text":"x"', "text"),
        ('"kind":"acknowledge","verdict":"expected"', "verdict"),
        ('"kind":"shout"', "kind"),
    ],
)
def test_records_that_say_nothing_or_too_much_are_refused(changes: str, complaint: str) -> None:
    common = f'"id":"{"0" * 32}","anomaly_id":"{ID}","author":"ann","time_ms":1'
    with pytest.raises(Rejected, match=complaint):
        Feedback.decode(f"{{{common},{changes}}}".encode())
