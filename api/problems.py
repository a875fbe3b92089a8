"""Every refusal of the REST API as problem details (RFC 9457) with a code from a closed list.

A client decides by ``code`` and ``retryable`` alone; ``detail`` and ``errors`` are for people. ``request_id`` is
also in the ``X-Request-ID`` header of every answer. The log names it for ``internal``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus

from fastapi import Request, Response
from pydantic import Field

from connectors.errors import (
    KafkaUnavailable,
    Loading,
    SourceUnreachable,
    StoreUnavailable,
    TocsinError,
    Unavailable,
)
from connectors.messages import Message

MEDIA_TYPE = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-ID"
MAX_SHOWN_CHARS = 200
"""A refused value is echoed up to this length."""


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
    UPGRADE_REQUIRED = "upgrade_required"
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
    Code.UPGRADE_REQUIRED: HTTPStatus.UPGRADE_REQUIRED,
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
    Code.UPGRADE_REQUIRED: "The address is that of a WebSocket",
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
    Code.UPGRADE_REQUIRED: "Connect with a WebSocket client, to ws:// or wss:// and the same address.",
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
    return shortened(json.dumps(value, ensure_ascii=False, default=repr))


def shortened(text: str, most: int = MAX_SHOWN_CHARS) -> str:
    """Bounded, and without the lone surrogates that JSON may smuggle in and UTF-8 cannot carry."""
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text.encode(errors="backslashreplace").decode()
