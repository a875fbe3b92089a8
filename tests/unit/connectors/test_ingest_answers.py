from __future__ import annotations

import json
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry

from connectors.codec.pushed import Pushed
from connectors.codec.remote_write import Complaint
from connectors.errors import NothingGiven
from connectors.ingest_answers import error_answer, other_answer, pushed_answer
from connectors.probes import OK, degraded_if, down_if


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/api/v1/write", 405, "method_not_allowed"),
        ("/loki/api/v1/push", 405, "method_not_allowed"),
        ("/api/v1/writes", 404, "not_found"),
        ("/", 404, "not_found"),
    ],
)
def test_what_is_no_write_and_no_probe_is_refused_with_a_reason(path: str, status: int, word: str) -> None:
    answer = other_answer("GET", path, CollectorRegistry(), dict)
    assert (answer.status, json.loads(answer.body)["reason"]) == (status, word)
    assert ((b"allow", b"POST") in answer.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/alive", "/ready?verbose", "/health", "/metrics"])
def test_probes_take_no_other_method(path: str) -> None:
    answer = other_answer("POST", path, CollectorRegistry(), dict)
    assert (answer.status, json.loads(answer.body)["reason"]) == (405, "method_not_allowed")
    assert (b"allow", b"GET, HEAD") in answer.headers
    assert other_answer("HEAD", path, CollectorRegistry(), dict).status != 405


def test_a_full_broker_degrades_and_a_dead_kafka_is_down() -> None:
    parts = {"kafka": OK, "broker": degraded_if("full")}

    def asked(path: str) -> tuple[int, dict[str, object]]:
        answer = other_answer("GET", path, CollectorRegistry(), lambda: parts)
        assert answer.headers == [(b"content-type", b"application/json")]
        return answer.status, json.loads(answer.body)

    assert asked("/ready") == (200, {"ready": True, "reason": ""})
    assert asked("/health")[1]["status"] == "degraded"
    parts["kafka"] = down_if("gone")
    assert asked("/ready") == (503, {"ready": False, "reason": "kafka: gone"})
    assert asked("/health")[0] == 503


def test_a_push_is_answered_by_what_was_refused_of_it() -> None:
    assert pushed_answer(Pushed([], 1, 5, Counter(), None, 0)).status == 204
    complaint = Complaint("bad_time", "stream 0: bad")
    for lines, rest in (
        (2, "3 of 5 lines refused, the others are written"),
        (0, "3 of 3 lines refused, nothing is written"),
    ):
        answer = pushed_answer(Pushed([], 1, lines, Counter({"bad_time": 1, "bad_line": 2}), complaint, 0))
        assert answer.status == 400
        assert json.loads(answer.body) == {"error": f"stream 0: bad ({rest})", "reason": "bad_time"}


def test_nothing_given_is_answered_422() -> None:
    answer = error_answer(NothingGiven(reason="no_streams", message="none"))
    assert (answer.status, json.loads(answer.body)["reason"]) == (422, "no_streams")
