"""Errors that a caller treats differently, and no others.

TocsinError
├── Rejected      the input is bad: answer 400, count the reason, never retry
│   ├── TooLarge        over a size limit: 413
│   ├── Unsupported     a content type or encoding that nobody here reads: 415
│   ├── TooSlow         not whole within its time-out: 408
│   ├── NothingGiven    well-formed, and nothing in it: 422
│   └── SourceRefused   a data source refuses what it was asked, or is none: tell why, never retry
├── Overloaded    too much at once: 429 with Retry-After
├── Unavailable   what it needs does not answer, or a disk is full: 503, retry
│   ├── KafkaUnavailable   Kafka does not answer or did not confirm
│   ├── StoreUnavailable   the SQL store does not answer
│   ├── Loading            a topic is still being read at the start: a moment later it is
│   └── SourceUnreachable  a data source does not answer, or is too busy
└── Misplaced     stored offsets do not fit the broker: stop loudly
    ├── OffsetGone      Kafka no longer holds the offset
    └── ForeignOffsets  the offsets belong to another broker or topic
"""


class TocsinError(Exception):
    """Root of the tree."""


class Rejected(TocsinError):  # noqa: N818 - a verdict on the input, named as the caller sees it
    """Bad input. ``reason`` is a short word for counters, the message names field, value and what would be right."""

    def __init__(self, *, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TooLarge(Rejected):
    """A body or record above its limit."""


class Unsupported(Rejected):
    """A content type or encoding that nobody here reads."""


class TooSlow(Rejected):
    """A body that was not whole in time."""


class NothingGiven(Rejected):
    """A request that is well-formed and holds nothing of what it is for."""


class SourceRefused(Rejected):
    """A data source refuses what it was asked, or does not speak its API; the message has what it said."""


class Overloaded(TocsinError):  # noqa: N818 - as Rejected
    """Too much at once; ``retry_after_s`` says when to come back."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(TocsinError):  # noqa: N818 - as Rejected
    """Kafka did not confirm in time, or a disk did not take it; the same request may succeed later."""


class KafkaUnavailable(Unavailable):
    """Kafka does not answer, or did not confirm in time; what was written may be there all the same."""


class StoreUnavailable(Unavailable):
    """The SQL store does not answer in time; what is live goes on without."""


class Loading(Unavailable):
    """What was asked for is still being read: half of it would be a wrong answer."""


class SourceUnreachable(Unavailable):
    """A data source cannot be reached or does not answer in time, after all tries; the message has what it said."""


class Misplaced(TocsinError):  # noqa: N818 - as Rejected
    """Stored offsets do not fit what the broker holds; of which topic, if that is known."""

    def __init__(self, message: str, topic: str = "") -> None:
        super().__init__(message)
        self.topic = topic


class OffsetGone(Misplaced):
    """Kafka no longer holds the offset that the flow must continue from."""


class ForeignOffsets(Misplaced):
    """The recovery store belongs to another broker or to another incarnation of the topic."""
