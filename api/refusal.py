"""Whatever goes wrong in a handler, or before one is found, becomes a problem of ``api.problems``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from api.literal_paths import Refused
from api.problems import (
    OUTAGES,
    REQUEST_ID_HEADER,
    ApiError,
    Code,
    FieldProblem,
    problem_response,
    shortened,
    shown,
)
from api.secrecy import without_secrets
from connectors.detector import DetectorConfig
from connectors.errors import Overloaded, Rejected, SourceRefused, TooLarge, Unavailable
from connectors.refusals import expected_of, given_of, path_of

log = logging.getLogger(__name__)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
READING = ("GET", "HEAD")
MAX_EXPECTED_CHARS = 1000


def install_problems(app: FastAPI) -> None:
    """Answer every error of the app with a problem; what nobody expected is a 500 that shows nothing of the inside."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(Rejected, _on_rejected)
    app.add_exception_handler(Overloaded, _on_overloaded)
    app.add_exception_handler(Unavailable, _on_unavailable)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected)


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
    """The bad field of a ``flows.validator.ConfigError``; nothing for errors that name none."""
    field, expected = getattr(error, "field", None), getattr(error, "expected", None)
    if field is None or expected is None:
        return []
    return [
        FieldProblem(field=shortened(str(field)), value=shown(getattr(error, "value", None)), expected=str(expected))
    ]


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
    expected = shortened(expected_of(model, item, loc), MAX_EXPECTED_CHARS)
    value = without_secrets(loc, given_of(item))
    return FieldProblem(field=shortened(path_of(loc)), value=shown(value), expected=expected)


_HTTP_CODES = {
    400: Code.BAD_REQUEST,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    408: Code.TIMEOUT,
    413: Code.TOO_LARGE,
    415: Code.UNSUPPORTED_MEDIA_TYPE,
    426: Code.UPGRADE_REQUIRED,
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
        first = next((route for route in request.app.routes if route.matches(dict(asked))[0] is Match.FULL), None)
        files = isinstance(first, Mount) and method not in READING  # a mount takes files alone
        if not (first is None or files or isinstance(first, Refused)):
            allowed.append(method)
    return allowed


async def _on_unexpected(request: Request, error: Exception) -> Response:
    """The server logs the stack; the client gets the id to ask for. The gate does not see this answer."""
    request_id = getattr(request.state, "request_id", "")
    log.error("request %s: %s %s: %r", request_id, request.method, request.url.path, error)
    detail = "unexpected error; the log has it under the request id"
    return problem_response(request, Code.INTERNAL, detail, headers={REQUEST_ID_HEADER: request_id})
