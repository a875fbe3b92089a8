import asyncio
import json

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from api.problems import (
    ACTIONS,
    MAX_SHOWN_CHARS,
    RETRYABLE,
    STATUS,
    TITLES,
    ApiError,
    Code,
    FieldProblem,
    Problem,
    problem_response,
    shown,
)
from api.refusal import field_problems, install_problems
from connectors.errors import (
    KafkaUnavailable,
    Loading,
    Overloaded,
    Rejected,
    SourceRefused,
    SourceUnreachable,
    StoreUnavailable,
    TooLarge,
    Unavailable,
)
from flows.validator import ConfigError


def make_request() -> Request:
    scope = {"type": "http", "method": "GET", "path": "/api/x", "headers": [], "query_string": b"", "server": ("a", 1)}
    return Request({**scope, "scheme": "http", "root_path": "", "state": {"request_id": "r1"}})


def test_every_code_has_a_status_and_a_title() -> None:
    assert set(STATUS) == set(TITLES) == set(ACTIONS) == set(Code)
    assert len(Code) >= 18
    assert all(400 <= status < 600 for status in STATUS.values())
    assert set(Code) >= RETRYABLE


@pytest.mark.parametrize("code", Code)
def test_a_problem_says_all_that_rfc_9457_and_we_ask(code: Code) -> None:
    answer = problem_response(make_request(), code, "why")
    problem = Problem.decode(bytes(answer.body))
    assert answer.media_type == "application/problem+json"
    assert (answer.status_code, problem.status) == (STATUS[code], STATUS[code])
    assert problem.type == f"urn:tocsin:problem:{code}"
    assert (problem.detail, problem.instance, problem.request_id) == ("why", "/api/x", "r1")
    assert problem.action == ACTIONS[code]
    assert ACTIONS[code].endswith(".")
    assert problem.retryable is (answer.status_code in (408, 429, 503))
    assert ("retry-after" in answer.headers) is problem.retryable


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ApiError(Code.NOT_FOUND, "m"), Code.NOT_FOUND),
        (Rejected(reason="r", message="m"), Code.INVALID),
        (TooLarge(reason="r", message="m"), Code.TOO_LARGE),
        (Overloaded("m", retry_after_s=7), Code.OVERLOADED),
        (Unavailable("m"), Code.UNAVAILABLE),
        (Loading("m"), Code.LOADING),
        (KafkaUnavailable("m"), Code.KAFKA_UNAVAILABLE),
        (StoreUnavailable("m"), Code.STORE_UNAVAILABLE),
        (SourceUnreachable("m"), Code.SOURCE_UNAVAILABLE),
        (SourceRefused(reason="r", message="m"), Code.SOURCE_REFUSED),
        (HTTPException(418, "teapot"), Code.BAD_REQUEST),
        (HTTPException(502, "gateway"), Code.INTERNAL),
    ],
)
def test_each_error_has_its_code(error: Exception, code: Code) -> None:
    from fastapi import FastAPI

    app = FastAPI()
    install_problems(app)
    handler = next(app.exception_handlers[kind] for kind in type(error).__mro__ if kind in app.exception_handlers)
    answer = asyncio.run(handler(make_request(), error))  # type: ignore[arg-type]
    assert Problem.decode(bytes(answer.body)).code is code
    if isinstance(error, Overloaded):
        assert answer.headers["retry-after"] == "7"


def test_a_config_error_names_field_value_and_what_is_right() -> None:
    (found,) = field_problems(ConfigError(field="params.window", value=-1, expected="at least 5"))
    assert (found.field, found.value, found.expected) == ("params.window", "-1", "at least 5")


json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.binary(max_size=20) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(json_like)
def test_any_refused_value_can_be_shown(value: object) -> None:
    text = shown(value)
    assert len(text) <= MAX_SHOWN_CHARS * 2
    answer = problem_response(
        make_request(), Code.INVALID, "\ud800", [FieldProblem(field="f", value=text, expected="e")]
    )
    assert json.loads(bytes(answer.body))["errors"][0]["value"] == text
