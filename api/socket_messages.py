"""What crosses ``/api/ws``, version 1: JSON text messages, one object each, told apart by ``type``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from api.cursor import PATTERN
from api.training import Training
from connectors.anomaly import Anomaly, Severity
from connectors.messages import Message
from connectors.probes import Status
from connectors.status import DetectorStatus, PartitionStatus

SOCKET_VERSION: Literal[1] = 1
TAIL_SUBSCRIBED = "tocsin tail: connected to"
"""How the line of ``tocsin tail`` begins by which one knows that it has subscribed and misses nothing from then on."""
CLOSE_SLOW = 4008
"""The client read more slowly than events came: connect again and load what was missed by REST."""
CLOSE_BUSY = 1013
"""Too many clients: try again later (RFC 6455 registry, "Try Again Later")."""


ALL_ANOMALIES = "anomalies"
STATUS = "status"
TRAINING = "training"
SYSTEM = "system"
_ID = "[a-z0-9][a-z0-9-]{0,63}"
TOPIC = rf"^({ALL_ANOMALIES}(/({'|'.join(Severity)}))?|(detectors|{TRAINING})/{_ID}|{STATUS}|{SYSTEM})$"
TOPIC_FORMS = (
    ALL_ANOMALIES,
    *(f"{ALL_ANOMALIES}/{severity}" for severity in Severity),
    "detectors/{id}",
    STATUS,
    f"{TRAINING}/{{id}}",
    SYSTEM,
)
"""What a client can subscribe to, for people."""
MAX_TOPICS = 256
"""Of one client."""
SocketTopic = Annotated[str, Field(pattern=TOPIC)]
Topics = Annotated[list[SocketTopic], Field(min_length=1, max_length=16)]


CursorText = Annotated[str, Field(pattern=PATTERN, description="an opaque word: how far the client has come")]


class Subscribe(Message):
    """Client: send me these topics from now on, besides those that I have.

    Of the topics of anomalies only what meets ``severities`` and ``selector``, where they are given; a topic that is
    subscribed to again has what is given last.
    """

    type: Literal["subscribe"]
    topics: Topics
    severities: Annotated[list[Severity] | None, Field(min_length=1, description="events that bear one of these")] = (
        None
    )
    selector: Annotated[
        str | None, Field(max_length=4096, description="PromQL matchers that the labels of the signal must meet")
    ] = None
    since: Annotated[
        CursorText | None,
        Field(description="the last cursor of a connection before: what was missed since then is sent first"),
    ] = None


class Unsubscribe(Message):
    """Client: no more of these topics."""

    type: Literal["unsubscribe"]
    topics: Topics


class Ping(Message):
    """Client: are you there? For browsers, which cannot send WebSocket pings."""

    type: Literal["ping"]


ClientMessage = Subscribe | Unsubscribe | Ping
CLIENT_MESSAGE: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])


class Subscribed(Message):
    """Server: what the client is subscribed to now, after ``subscribe`` and ``unsubscribe``.

    Behind it come the events that were missed since the given cursor; then every event that reaches the api after this
    message was queued.
    """

    type: Literal["subscribed"] = "subscribed"
    version: Literal[1] = SOCKET_VERSION
    topics: list[SocketTopic]
    missed: Annotated[int, Field(ge=0, description="events that were missed, and come now")] = 0
    cursor: Annotated[CursorText | None, Field(description="as of an event; null while nothing is read yet")] = None


class AnomalyEvent(Message):
    """Server: one event of one episode, as it stands in ``tocsin.anomalies``."""

    type: Literal["anomaly"] = "anomaly"
    cursor: Annotated[CursorText, Field(description="to be given as ``since`` after a break")]
    data: Anomaly


class StatusEvent(Message):
    """Server: how a detector or a worker of the flow is doing."""

    type: Literal["status"] = "status"
    topic: SocketTopic
    data: Annotated[
        DetectorStatus | PartitionStatus,
        Field(discriminator="type", description="as in ``tocsin.status``; of a detector all but its signals"),
    ]


class TrainingEvent(Message):
    """Server: how far a training has come."""

    type: Literal["training"] = "training"
    topic: SocketTopic
    data: Annotated[Training, Field(description="as ``GET /api/trainings/{id}`` tells it")]


class ComponentChange(Message):
    """A part of the api, as in ``/health``, is doing better or worse than before."""

    component: str
    status: Status
    reason: str
    before: Annotated[Status | None, Field(description="null when it was heard of for the first time")]
    time_ms: int


class SystemEvent(Message):
    """Server: something about the api itself has changed."""

    type: Literal["system"] = "system"
    topic: SocketTopic
    data: ComponentChange


def published_text(topic: str, data: Message) -> str:
    """The text of a ``StatusEvent``, ``TrainingEvent`` or ``SystemEvent``."""
    return f'{{"type":"{topic.partition("/")[0]}","topic":"{topic}","data":{data.model_dump_json()}}}'


def is_of_anomalies(topic: str) -> bool:
    """Whether what comes on this topic are events of anomalies."""
    return topic.partition("/")[0] in (ALL_ANOMALIES, "detectors")


def topics_of(severity: Severity, detector_id: str) -> frozenset[str]:
    """The topics of an event: it reaches whoever has any of them, once."""
    return frozenset({ALL_ANOMALIES, f"{ALL_ANOMALIES}/{severity}", f"detectors/{detector_id}"})


def anomaly_text(event: bytes, cursor: str) -> str:
    """The text of an ``AnomalyEvent`` whose data is JSON already."""
    return f'{{"type":"anomaly","cursor":"{cursor}","data":{event.decode()}}}'


class Pong(Message):
    """Server: the answer to ``ping``. Its cursor is further than that of the last event where others came meanwhile."""

    type: Literal["pong"] = "pong"
    cursor: Annotated[CursorText | None, Field(description="as of an event; null while nothing is read yet")] = None


class ErrorCode(StrEnum):
    """Why a client's message was refused; the connection stays open.

    After ``cursor_gone`` a client subscribes without ``since`` and loads what it missed by REST.
    """

    BAD_JSON = "bad_json"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_TOPIC = "unknown_topic"
    TOO_MANY_TOPICS = "too_many_topics"
    BAD_MESSAGE = "bad_message"
    BAD_SELECTOR = "bad_selector"
    CURSOR_GONE = "cursor_gone"
    NOT_READY = "not_ready"


class SocketError(Message):
    """Server: the message was refused, nothing changed."""

    type: Literal["error"] = "error"
    code: ErrorCode
    detail: str


ServerMessage = Subscribed | AnomalyEvent | StatusEvent | TrainingEvent | SystemEvent | Pong | SocketError
SERVER_MESSAGE: TypeAdapter[ServerMessage] = TypeAdapter(Annotated[ServerMessage, Field(discriminator="type")])
