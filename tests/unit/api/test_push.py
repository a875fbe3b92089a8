from __future__ import annotations

import itertools

import cramjam
import httpx
import pytest

from api.push import HEADERS, MAX_BACKOFF_S, MAX_WAITING, Outbox
from connectors.codec.encode import encode_write_request

URL = "http://ingest/api/v1/write"
SAMPLES = [({"__name__": "up", "job": "node"}, 1.0)]


class Ingest:
    """Answers with the given codes in turn, then 204; keeps what it was sent."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answers.pop(0) if self.answers else httpx.Response(204)

    def times_ms(self) -> list[int]:
        sent = {bytes(encoded(time_ms)): time_ms for time_ms in range(MAX_WAITING + 5)}
        return [sent[request.content] for request in self.requests]


def encoded(time_ms: int) -> bytes:
    return bytes(cramjam.snappy.compress_raw(encode_write_request([(SAMPLES[0][0], [(time_ms, 1.0)])])))


def outbox(ingest: Ingest) -> Outbox:
    return Outbox(httpx.Client(transport=httpx.MockTransport(ingest)), URL)


def test_a_body_is_remote_write_1_0() -> None:
    ingest = Ingest()
    box = outbox(ingest)
    box.put(SAMPLES, time_ms=3)
    box.flush(now_s=0.0)
    [request] = ingest.requests
    assert request.content == encoded(3)
    assert {key: request.headers[key] for key in HEADERS} == HEADERS
    assert (box.accepted, len(box)) == (1, 0)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_must_wait_is_sent_later_in_order(status: int) -> None:
    ingest = Ingest(httpx.Response(status, headers={"Retry-After": "4"}))
    box = outbox(ingest)
    box.put(SAMPLES, time_ms=1)
    box.put(SAMPLES, time_ms=2)
    box.flush(now_s=10.0)
    box.flush(now_s=13.9)
    assert ingest.times_ms() == [1]
    box.flush(now_s=14.0)
    assert ingest.times_ms() == [1, 1, 2]
    assert box.accepted == 2


def test_the_pauses_grow_without_retry_after() -> None:
    ingest = Ingest(*(httpx.Response(503) for _ in range(20)))
    box = outbox(ingest)
    box.put(SAMPLES, time_ms=1)
    tried_s = []
    for step in range(200):
        before = len(ingest.requests)
        box.flush(now_s=step * 0.25)
        if len(ingest.requests) > before:
            tried_s.append(step * 0.25)
    pauses_s = [after - before for before, after in itertools.pairwise(tried_s)]
    assert pauses_s[:6] == [0.5, 1.0, 2.0, 4.0, 8.0, MAX_BACKOFF_S]
    assert set(pauses_s[6:]) == {MAX_BACKOFF_S}


def test_what_is_refused_for_good_is_not_sent_again() -> None:
    ingest = Ingest(httpx.Response(400, text="no __name__"))
    box = outbox(ingest)
    box.put(SAMPLES, time_ms=1)
    box.put(SAMPLES, time_ms=2)
    box.flush(now_s=0.0)
    assert ingest.times_ms() == [1, 2]
    assert (box.accepted, box.dropped_refused, len(box)) == (1, 1, 0)


def test_the_queue_is_bounded_and_drops_the_oldest() -> None:
    ingest = Ingest()
    box = outbox(ingest)
    for time_ms in range(MAX_WAITING + 3):
        box.put(SAMPLES, time_ms)
    assert (len(box), box.dropped_full) == (MAX_WAITING, 3)
    box.flush(now_s=0.0)
    assert ingest.times_ms() == list(range(3, MAX_WAITING + 3))


def test_a_server_that_is_gone_is_waited_for() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        message = "refused"
        raise httpx.ConnectError(message, request=request)

    box = Outbox(httpx.Client(transport=httpx.MockTransport(refuse)), URL)
    box.put(SAMPLES, time_ms=1)
    box.flush(now_s=0.0)
    assert len(box) == 1
    assert "ConnectError" in box.last_problem


def test_trouble_is_told_when_nothing_is_accepted_for_a_while() -> None:
    ingest = Ingest(httpx.Response(503, text="Kafka at k:1 (TOCSIN_KAFKA) is silent"))
    box = outbox(ingest)
    assert box.trouble(now_s=0.0, patience_s=5.0) == "nothing pushed yet"
    box.put(SAMPLES, time_ms=1)
    box.flush(now_s=10.0)
    assert "TOCSIN_KAFKA" in box.trouble(now_s=10.0, patience_s=5.0)
    box.flush(now_s=20.0)
    assert box.trouble(now_s=25.0, patience_s=5.0) == ""
    assert box.trouble(now_s=27.0, patience_s=5.0) == f"{URL} has accepted nothing for 7 s: it does not answer"
