import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.client import Client
from api.context import ANOMALIES, Context
from api.settings import ApiSettings
from api.socket import _read, may_open
from api.socket_answers import answer_to
from api.socket_messages import MAX_TOPICS, SERVER_MESSAGE, SocketError
from api.subscription import ALL

MARK = "0123abcd"
SUBSCRIBE = '{"type": "subscribe", "topics": ["anomalies"]}'


def answer(text: str | None, client: Client | None = None, *, loaded: bool = True) -> dict[str, object]:
    context = Context(ApiSettings(kafka="127.0.0.1:1"))
    if loaded:
        context._loaded.add(ANOMALIES)
    context.feed.mark = MARK
    reply = answer_to(text, client or Client(10), context)
    found: dict[str, object] = json.loads(reply.encode())
    return found


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "may"),
    [
        (None, "a:1", [], True),
        ("http://a:1", "a:1", [], True),
        ("https://A", "a", [], True),
        ("http://a:2", "a:1", [], False),
        ("http://a:1.evil", "a:1", [], False),
        ("null", "", [], False),
        ("", "", [], False),
        ("http://[", "a:1", [], False),
        ("http://b", "a:1", ["http://b"], True),
        ("https://b", "a:1", ["http://b"], False),
        ("http://b", "a:1", ["*"], True),
    ],
)
def test_whose_pages_may_connect(origin: str | None, host: str, allowed: list[str], may: bool) -> None:
    assert may_open(origin, host, allowed) is may


def test_subscribe_and_unsubscribe_are_acknowledged_with_what_holds() -> None:
    client = Client(10)
    assert answer(SUBSCRIBE, client) == {
        "type": "subscribed", "version": 1, "topics": ["anomalies"], "missed": 0, "cursor": MARK,
    }  # fmt: skip
    assert client.topics == {"anomalies": ALL}
    assert answer(SUBSCRIBE.replace("sub", "unsub"), client)["topics"] == []
    assert client.topics == {}


def test_topics_of_a_severity_and_of_a_detector() -> None:
    client = Client(10)
    wanted = ["anomalies/critical", "detectors/default-cpu"]
    assert answer(json.dumps({"type": "subscribe", "topics": wanted}), client)["topics"] == wanted
    assert answer('{"type": "unsubscribe", "topics": ["anomalies/critical"]}', client)["topics"] == wanted[1:]


def test_a_client_has_so_many_topics_and_no_more() -> None:
    client = Client(10)
    client.topics = {f"detectors/d{number}": ALL for number in range(MAX_TOPICS - 1)}
    assert answer(SUBSCRIBE, client)["type"] == "subscribed"
    assert answer(SUBSCRIBE, client)["type"] == "subscribed"
    refused = answer('{"type": "subscribe", "topics": ["anomalies/info"]}', client)
    assert refused["code"] == "too_many_topics"
    assert len(client.topics) == MAX_TOPICS


def test_ping_is_answered() -> None:
    assert answer('{"type": "ping"}') == {"type": "pong", "cursor": MARK}
    assert answer('{"type": "ping"}', loaded=False) == {"type": "pong", "cursor": None}


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        (None, "bad_message", "text"),
        ("{", "bad_json", "EOF"),
        ("", "bad_json", "EOF"),
        ("[]", "bad_message", "message: []: must be an object"),
        ("{}", "unknown_type", "subscribe"),
        ('{"type": "dance"}', "unknown_type", "subscribe"),
        ('{"type": "subscribe", "topics": ["anomalies", "logs"]}', "unknown_topic", "'logs' is not a topic"),
        ('{"type": "subscribe", "topics": ["anomalies/loud"]}', "unknown_topic", "anomalies/critical, detectors/{id}"),
        ('{"type": "subscribe", "topics": ["detectors/A b"]}', "unknown_topic", "'detectors/A b' is not a topic"),
        ('{"type": "subscribe", "topics": []}', "bad_message", "topics: []: must have at least 1 item"),
        ('{"type": "subscribe"}', "bad_message", "topics: must be given"),
        ('{"type": "ping", "x": 1}', "bad_message", "x: 1: there is no field 'x': those are type"),
        ('{"type": "subscribe", "topics": ["anomalies"], "severities": []}', "bad_message", "severities"),
        (
            '{"type": "subscribe", "topics": ["anomalies"], "severities": ["bad"]}',
            "bad_message",
            'severities.0: "bad": ',
        ),
        ('{"type": "subscribe", "topics": ["anomalies"], "selector": "{"}', "bad_selector", "character 2"),
        ('{"type": "subscribe", "topics": ["anomalies"], "selector": "{}"}', "bad_selector", "every matcher"),
        ('{"type": "subscribe", "topics": ["anomalies"], "since": "7"}', "bad_message", "'7' is no cursor"),
        ('{"type": "subscribe", "topics": ["anomalies"], "since": "00000000-1"}', "cursor_gone", "another topic"),
        ('{"type": "subscribe", "topics": ["system"], "since": "0123abcd-1"}', "bad_message", "of anomalies"),
    ],
)
def test_a_bad_message_is_refused_and_changes_nothing(text: str | None, code: str, named: str) -> None:
    client = Client(10)
    refusal = answer(text, client)
    assert (refusal["type"], refusal["code"]) == ("error", code)
    assert named in str(refusal["detail"])
    assert client.topics == {}


def test_subscribing_before_the_topic_is_read_is_refused() -> None:
    client = Client(10)
    assert answer(SUBSCRIBE, client, loaded=False)["code"] == "not_ready"
    assert client.topics == {}


@pytest.mark.parametrize("topic", ["status", "training/default-cpu", "system"])
def test_what_is_not_read_from_the_topic_can_be_subscribed_to_before(topic: str) -> None:
    client = Client(10)
    text = json.dumps({"type": "subscribe", "topics": [topic]})
    assert answer(text, client, loaded=False)["topics"] == [topic]
    assert answer(text.replace(topic, f'{topic}", "anomalies'), client, loaded=False)["code"] == "not_ready"
    assert client.topics == {topic: ALL}


def test_a_cursor_is_given_with_the_first_topics_of_anomalies() -> None:
    client = Client(10)
    resume = json.dumps({"type": "subscribe", "topics": ["anomalies", "system"], "since": f"{MARK}-5"})
    client.topics = {"status": ALL}
    assert answer(resume, client)["cursor"] == f"{MARK}-5"
    refused = answer(resume.replace('"anomalies"', '"detectors/a"'), client)
    assert (refused["code"], set(client.topics)) == ("bad_message", {"status", "anomalies", "system"})
    assert answer('{"type": "ping"}', client)["cursor"] == f"{MARK}-5", "it knows more than this replica has read"


@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_whatever_a_client_sends_is_answered_in_the_protocol(text: str) -> None:
    assert isinstance(SERVER_MESSAGE.validate_python(answer(text)), SocketError)


def test_answers_queue_behind_events() -> None:
    async def main() -> tuple[str, ...]:
        client = Client(10)
        client.offer("event")
        client.offer("answer")
        return await client.taken()

    assert asyncio.run(main()) == ("event", "answer")


class Flood:
    """The socket of a client whose next message is always there already."""

    def __init__(self, messages: int) -> None:
        self.left = messages

    async def receive(self) -> dict[str, str]:
        if self.left == 0:
            return {"type": "websocket.disconnect"}
        self.left -= 1
        return {"type": "websocket.receive", "text": '{"type": "ping"}'}


def test_others_have_their_turn_between_the_messages_of_a_flood() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.create_task(other())
        await _read(Flood(100), Client(1_000), Context(ApiSettings(kafka="127.0.0.1:1")))  # type: ignore[arg-type]
        task.cancel()

    asyncio.run(main())
    assert turns >= 100


def test_who_does_not_read_the_answers_is_asked_no_more() -> None:
    flood, client = Flood(100), Client(2)
    asyncio.run(_read(flood, client, Context(ApiSettings(kafka="127.0.0.1:1"))))  # type: ignore[arg-type]
    assert client.slow.is_set()
    assert flood.left == 97
