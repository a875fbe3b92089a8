"""kill -9 of ingest while logs are pushed: what it has answered stands in Kafka, be it the embedded one or Apache's."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import pytest

from connectors.topics import create_topics
from tests import pushes
from tests.conftest import unique_settings
from tests.ingests import process
from tests.processes import wait_until
from tests.pushes import JSON, PROTOBUF, T, json_request, push, written

pytestmark = pytest.mark.integration

PUSHES, LINES = 4_000, 50
BEFORE = 2_000
"""Lines that are answered before the kill."""


@pytest.mark.parametrize("kafka", ["broker", "apache_kafka"])
def test_nothing_that_was_answered_is_lost(kafka: str, request: pytest.FixtureRequest) -> None:
    settings = unique_settings(request.getfixturevalue(kafka))
    create_topics(settings)
    answered: list[bytes] = []

    with process(settings, code=-signal.SIGKILL) as (ingest, pid):

        def send(number: int) -> None:
            lines = [b"%d-%d" % (number, line) for line in range(LINES)]
            body, headers = body_of(number, lines)
            try:
                status = push(ingest, body, headers).status
            except (OSError, HTTPException):
                return
            if status == 204:
                answered.extend(lines)

        with ThreadPoolExecutor(4) as threads:
            work = [threads.submit(send, number) for number in range(PUSHES)]
            wait_until(lambda: len(answered) >= BEFORE, 60.0, "answers")
            os.kill(pid, signal.SIGKILL)
            for one in work:
                one.result()
    assert BEFORE <= len(answered) < PUSHES * LINES
    with process(settings) as (again, _):
        assert push(again, body_of(0, [b"after"])[0]).status == 204
        found = [line for lines in written(again, "anonymous").values() for _, line, _ in lines]
    assert {*answered, b"after"} <= set(found)


def body_of(number: int, lines: list[bytes]) -> tuple[bytes, dict[str, str]]:
    """Half of the pushes are JSON; the lines of each belong to one of seven streams."""
    labels = {"app": "shop", "n": str(number % 7)}
    if number % 2:
        return json_request((labels, [[str(T), line.decode()] for line in lines])), JSON
    return pushes.request((f'{{app="shop", n="{number % 7}"}}', lines)), PROTOBUF
