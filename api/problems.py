"""Every refusal of the REST API as problem details (RFC 9457) with a code from a closed list.

A client decides by ``code`` and ``retryable`` alone; ``detail`` and ``errors`` are for people. ``request_id`` is
also in the ``X-Request-ID`` header of every answer. The log names it for ``internal``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from api.secrecy import without_secrets
from connectors.errors import (
    KafkaUnavailable,
    Loading,
    Overloaded,
    Rejected,
    SourceRefused,
    SourceUnreachable,
    StoreUnavailable,
    TocsinError,
    TooLarge,
    Unavailable,
)
from connectors.messages import DetectorConfig, Message
from connectors.refusals import expected_of, place_of

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-ID"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
READING = ("GET", "HEAD")
MAX_SHOWN_CHARS = 200
"""A refused value is echoed up to this length."""
MAX_EXPECTED_CHARS = 1000


class Code(StrEnum):
    """Stable names of all refusals; none is ever renamed or reused.

    Who may ask at all, and how often, is decided later; their codes (401, and 429 by caller) have their place here.
    """

    BAD_REQUEST = "bad_request"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    DUPLICATE_DETECTOR = "duplicate_detector"
    DETECTOR_LIMIT = "detector_limit"
    RULE_LIMIT = "rule_limit"
    NOT_REPLAYABLE = "not_replayable"
    DUPLICATE_SOURCE = "duplicate_source"
    SOURCE_LIMIT = "source_limit"
    STALE_REVISION = "stale_revision"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    HEADER_TOO_LARGE = "header_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    INVALID = "invalid"
    PRECONDITION_REQUIRED = "precondition_required"
    OVERLOADED = "overloaded"
    INTERNAL = "internal"
    SOURCE_REFUSED = "source_refused"
    UNAVAILABLE = "unavailable"
    LOADING = "loading"
    KAFKA_UNAVAILABLE = "kafka_unavailable"
    STORE_UNAVAILABLE = "store_unavailable"
    SOURCE_UNAVAILABLE = "source_unavailable"


STATUS: Mapping[Code, HTTPStatus] = {
    Code.BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    Code.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Code.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    Code.DUPLICATE_DETECTOR: HTTPStatus.CONFLICT,
    Code.DETECTOR_LIMIT: HTTPStatus.CONFLICT,
    Code.RULE_LIMIT: HTTPStatus.CONFLICT,
    Code.NOT_REPLAYABLE: HTTPStatus.CONFLICT,
    Code.DUPLICATE_SOURCE: HTTPStatus.CONFLICT,
    Code.SOURCE_LIMIT: HTTPStatus.CONFLICT,
    Code.STALE_REVISION: HTTPStatus.PRECONDITION_FAILED,
    Code.TIMEOUT: HTTPStatus.REQUEST_TIMEOUT,
    Code.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.HEADER_TOO_LARGE: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    Code.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Code.INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    Code.PRECONDITION_REQUIRED: HTTPStatus.PRECONDITION_REQUIRED,
    Code.OVERLOADED: HTTPStatus.TOO_MANY_REQUESTS,
    Code.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    Code.SOURCE_REFUSED: HTTPStatus.BAD_GATEWAY,
    Code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.LOADING: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.KAFKA_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.STORE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.SOURCE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
TITLES: Mapping[Code, str] = {
    Code.BAD_REQUEST: "The request cannot be understood",
    Code.FORBIDDEN: "This may not be asked from here",
    Code.NOT_FOUND: "There is no such thing",
    Code.METHOD_NOT_ALLOWED: "The address exists, but not with this method",
    Code.DUPLICATE_DETECTOR: "Another detector already computes this",
    Code.RULE_LIMIT: "There are as many rules as are allowed",
    Code.DETECTOR_LIMIT: "There are as many detectors as are allowed",
    Code.NOT_REPLAYABLE: "The dead letter cannot be replayed",
    Code.DUPLICATE_SOURCE: "Another data source has this name",
    Code.SOURCE_LIMIT: "There are as many data sources or collectors as are allowed",
    Code.STALE_REVISION: "It was changed by someone else",
    Code.TIMEOUT: "The request body did not come in time",
    Code.TOO_LARGE: "What is sent or asked for is too much",
    Code.HEADER_TOO_LARGE: "The request's headers are too large",
    Code.UNSUPPORTED_MEDIA_TYPE: "The body has a content type that is not read here",
    Code.INVALID: "A value is not allowed",
    Code.PRECONDITION_REQUIRED: "The If-Match header is missing",
    Code.OVERLOADED: "Too much at once",
    Code.INTERNAL: "The server failed",
    Code.SOURCE_REFUSED: "The data source refuses what it was asked",
    Code.UNAVAILABLE: "What this needs does not answer or has no room now",
    Code.LOADING: "The topics are still being read",
    Code.KAFKA_UNAVAILABLE: "Kafka does not answer",
    Code.STORE_UNAVAILABLE: "The store does not answer",
    Code.SOURCE_UNAVAILABLE: "The data source does not answer",
}
ACTIONS: Mapping[Code, str] = {
    Code.BAD_REQUEST: "Send what the OpenAPI document at /api/docs describes.",
    Code.FORBIDDEN: "Add the page's origin to TOCSIN_API_ORIGINS, or open it from the api's own host.",
    Code.NOT_FOUND: "Look at the list that the address belongs to, or at /api/docs.",
    Code.METHOD_NOT_ALLOWED: "Use a method that the Allow header names.",
    Code.DUPLICATE_DETECTOR: "Change the detector that detail names instead.",
    Code.RULE_LIMIT: "Delete a rule that is not needed.",
    Code.DETECTOR_LIMIT: "Delete a detector that is not needed.",
    Code.NOT_REPLAYABLE: "Have its sender send it again.",
    Code.DUPLICATE_SOURCE: "Change that data source instead, or give this one another name.",
    Code.SOURCE_LIMIT: "Delete one that is not needed.",
    Code.STALE_REVISION: "Read it again and base the change on its new ETag.",
    Code.TIMEOUT: "Send the body without pauses, over a faster line, or raise TOCSIN_API_BODY_TIMEOUT_S.",
    Code.TOO_LARGE: "Send less at a time, or raise the setting that detail names.",
    Code.HEADER_TOO_LARGE: "Send fewer and shorter headers.",
    Code.UNSUPPORTED_MEDIA_TYPE: "Send JSON in UTF-8 under the content type that detail names.",
    Code.INVALID: "Correct the fields that errors names.",
    Code.PRECONDITION_REQUIRED: "Send If-Match with the ETag that the change is based on, or * for whatever holds.",
    Code.OVERLOADED: "Wait for Retry-After seconds and send the same again.",
    Code.INTERNAL: "Report it with the request id, under which the api's log has the error.",
    Code.SOURCE_REFUSED: "Correct the query or the data source's settings by what detail says.",
    Code.UNAVAILABLE: "Wait for Retry-After seconds and send the same again; /health says what is wrong.",
    Code.LOADING: "Wait for Retry-After seconds and ask again; /ready says when all is read.",
    Code.KAFKA_UNAVAILABLE: "Bring Kafka back; then read what holds before sending a change again.",
    Code.STORE_UNAVAILABLE: "Bring the database back (TOCSIN_API_STORE); what is live goes on meanwhile.",
    Code.SOURCE_UNAVAILABLE: "Bring the data source back, or correct its address; then ask again.",
}
"""What to do, for people."""
RETRYABLE = frozenset(
    {Code.TIMEOUT, Code.OVERLOADED, *(code for code in Code if STATUS[code] is HTTPStatus.SERVICE_UNAVAILABLE)}
)
OUTAGES: tuple[tuple[type[Unavailable], Code], ...] = (
    (Loading, Code.LOADING),
    (KafkaUnavailable, Code.KAFKA_UNAVAILABLE),
    (StoreUnavailable, Code.STORE_UNAVAILABLE),
    (SourceUnreachable, Code.SOURCE_UNAVAILABLE),
    (Unavailable, Code.UNAVAILABLE),
)
"""The first kind of error that fits has its code."""
RETRY_AFTER_S = 1


class FieldProblem(Message):
    """One bad field: where it stands, what it was, and what would be right."""

    field: str = Field(description="path in the body, or header and query parameter name")
    value: str = Field(description="the refused value as JSON, shortened")
    expected: str


class Problem(Message):
    """Body of every answer from 400 on."""

    type: str = Field(description="urn:tocsin:problem: and the code")
    title: str
    status: int
    detail: str
    instance: str = Field(description="path of the request")
    code: Code
    request_id: str
    action: str = Field(description="what to do, one sentence for people")
    retryable: bool = Field(description="whether the same request may succeed later")
    errors: list[FieldProblem] = Field(default=[], description="bad fields, for code invalid")


class ApiError(TocsinError):
    """A refusal that the REST API itself decides on."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def install_problems(app: FastAPI) -> None:
    """Answer every error of the app with a problem; what nobody expected is a 500 that shows nothing of the inside."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(Rejected, _on_rejected)
    app.add_exception_handler(Overloaded, _on_overloaded)
    app.add_exception_handler(Unavailable, _on_unavailable)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected)


def problem_response(
    request: Request,
    code: Code,
    detail: str,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build the answer; the request id is the one that the middleware gave."""
    problem = problem_of(code, detail, request.url.path, getattr(request.state, "request_id", ""), errors)
    extra = {"Retry-After": str(RETRY_AFTER_S)} if code in RETRYABLE else {}
    return Response(problem.encode(), STATUS[code], {**extra, **(headers or {})}, MEDIA_TYPE)


def problem_of(code: Code, detail: str, instance: str, request_id: str, errors: Sequence[FieldProblem] = ()) -> Problem:
    """All that a refusal says."""
    return Problem(
        type=f"urn:tocsin:problem:{code}",
        title=TITLES[code],
        status=STATUS[code],
        detail=detail.encode(errors="backslashreplace").decode(),
        instance=instance,
        code=code,
        request_id=request_id,
        action=ACTIONS[code],
        retryable=code in RETRYABLE,
        errors=list(errors),
    )


def shown(value: object) -> str:
    """A refused value as short JSON text; what JSON lacks is shown as Python writes it."""
    return _short(json.dumps(value, ensure_ascii=False, default=repr))


def _short(text: str, most: int = MAX_SHOWN_CHARS) -> str:
    """Bounded, and without the lone surrogates that JSON may smuggle in and UTF-8 cannot carry."""
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text.encode(errors="backslashreplace").decode()


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - Starlette types every handler for Exception
    return problem_response(request, error.code, str(error))


async def _on_rejected(request: Request, error: Exception) -> Response:
    """A config that the flow's validator refused, or an oversized body."""
    if isinstance(error, TooLarge):
        return problem_response(request, Code.TOO_LARGE, str(error))
    if isinstance(error, SourceRefused):
        return problem_response(request, Code.SOURCE_REFUSED, str(error))
    return problem_response(request, Code.INVALID, str(error), field_problems(error))


def field_problems(error: Exception) -> list[FieldProblem]:
    """The bad field of a ``flows.config.ConfigError``; nothing for errors that name none."""
    field, expected = getattr(error, "field", None), getattr(error, "expected", None)
    if field is None or expected is None:
        return []
    return [FieldProblem(field=_short(str(field)), value=shown(getattr(error, "value", None)), expected=str(expected))]


async def _on_overloaded(request: Request, error: Exception) -> Response:
    assert isinstance(error, Overloaded)  # noqa: S101 - as above
    return problem_response(request, Code.OVERLOADED, str(error), headers={"Retry-After": str(error.retry_after_s)})


async def _on_unavailable(request: Request, error: Exception) -> Response:
    log.warning("%s %s: %s", request.method, request.url.path, error)
    code = next(code for kind, code in OUTAGES if isinstance(error, kind))
    return problem_response(request, code, str(error))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    found = error.errors()
    if any(isinstance(item["input"], bytes) for item in found):  # FastAPI leaves the body unread: it is not called JSON
        given = request.headers.get("content-type", "missing")
        return problem_response(request, Code.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: {given}: send application/json")
    if any(item["loc"] == ("body",) for item in found) and getattr(request.state, "body_bytes", None) == 0:
        return problem_response(request, Code.BAD_REQUEST, "body: not JSON: it is empty")
    if any(item["type"] == "json_invalid" for item in found):
        return problem_response(request, Code.BAD_REQUEST, f"body: not JSON: {found[0]['ctx']['error']}")
    model = _body_of(request)
    errors = [_field_problem(item, model) for item in found]
    first = errors[0]
    return problem_response(request, Code.INVALID, f"{first.field}: {first.value}: {first.expected}", errors)


def _body_of(request: Request) -> type[BaseModel]:
    """What the route reads; a patch is one of a config."""
    field = getattr(request.scope.get("route"), "body_field", None)
    model = getattr(getattr(field, "field_info", None), "annotation", None)
    return model if isinstance(model, type) and issubclass(model, BaseModel) else DetectorConfig


def _field_problem(item: Mapping[str, Any], model: type[BaseModel]) -> FieldProblem:
    """A pydantic error; the leading "body" of its place says nothing, "query" and "header" do."""
    loc = item["loc"][1:] if item["loc"][0] == "body" and len(item["loc"]) > 1 else item["loc"]
    expected = _short(expected_of(model, item, loc), MAX_EXPECTED_CHARS)
    value = without_secrets(loc, item.get("input"))
    return FieldProblem(field=_short(place_of(loc)), value=shown(value), expected=expected)


_HTTP_CODES = {
    400: Code.BAD_REQUEST,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    408: Code.TIMEOUT,
    413: Code.TOO_LARGE,
    415: Code.UNSUPPORTED_MEDIA_TYPE,
}


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: unknown path, wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    code = _HTTP_CODES.get(error.status_code, Code.INTERNAL if error.status_code >= 500 else Code.BAD_REQUEST)
    headers = error.headers
    if code is Code.METHOD_NOT_ALLOWED:
        headers = {**(headers or {}), "Allow": ", ".join(_allowed(request))}
    return problem_response(request, code, f"{request.method} {request.url.path}: {error.detail}", headers=headers)


def _allowed(request: Request) -> list[str]:
    """All methods of this path: a route knows its own alone, and each method has a route."""
    scope = {key: request.scope[key] for key in ("type", "path", "root_path", "headers", "query_string")}
    scope["root_path"] = request.scope.get("app_root_path", scope["root_path"])  # a mount has put itself into the other
    allowed = []
    for method in METHODS:
        asked = {**scope, "method": "GET" if method == "HEAD" else method}  # as the gate does
        found = [route for route in request.app.routes if route.matches(dict(asked))[0] is Match.FULL]
        if any(not isinstance(route, Mount) or method in READING for route in found):  # a mount takes files alone
            allowed.append(method)
    return allowed


async def _on_unexpected(request: Request, error: Exception) -> Response:
    """The server logs the stack; the client gets the id to ask for. The gate does not see this answer."""
    request_id = getattr(request.state, "request_id", "")
    log.error("request %s: %s %s: %r", request_id, request.method, request.url.path, error)
    detail = "unexpected error; the log has it under the request id"
    return problem_response(request, Code.INTERNAL, detail, headers={REQUEST_ID_HEADER: request_id})
