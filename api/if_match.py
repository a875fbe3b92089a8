"""What has revisions bears its revision as ETag; a change says in If-Match on which revision it is based."""

from __future__ import annotations

import re
from typing import Annotated, Protocol, TypeVar

from fastapi import Header, Response

from api.problems import ApiError, Code

ANYTHING = "*"
ETAG = re.compile(r'"(\d{1,18})"')
IfMatch = Annotated[
    str | None, Header(description='ETag that the change is based on, e.g. "3", or * for whatever holds')
]


class Revised(Protocol):
    """What has revisions: a detector, a data source or a collector."""

    @property
    def id(self) -> str:
        """Under which it is found."""

    @property
    def revision(self) -> int:
        """Counts its changes."""


R = TypeVar("R", bound=Revised)


def etag(revised: Revised) -> str:
    """Its revision, as HTTP wants it."""
    return f'"{revised.revision}"'


def tagged(revised: R, response: Response) -> R:
    """What is answered, with its ETag."""
    response.headers["ETag"] = etag(revised)
    return revised


def overtaken(what: str, revised_id: str) -> ApiError:
    """Somebody else made a change between reading and writing."""
    message = f"{what} {revised_id}: it was overtaken by another change; read it and try again"
    return ApiError(Code.STALE_REVISION, message)


def base_revision(revised: Revised, if_match: str | None, what: str = "detector") -> int:
    """The revision that a change is based on; raises ``ApiError`` when If-Match is missing, unreadable or stale."""
    if if_match is None:
        message = f"If-Match: missing; send the ETag that the change is based on, now {etag(revised)}"
        raise ApiError(Code.PRECONDITION_REQUIRED, message)
    if is_anything(if_match):
        return revised.revision
    tags = [ETAG.fullmatch(tag.strip()) for tag in if_match.split(",")]
    if None in tags:
        message = f"If-Match: {if_match[:100]!r}: expected the ETag of a GET, like {etag(revised)}"
        raise ApiError(Code.BAD_REQUEST, message)
    if revised.revision not in {int(tag[1]) for tag in tags if tag}:
        message = f"{what} {revised.id}: is at revision {revised.revision}, If-Match says {if_match}"
        raise ApiError(Code.STALE_REVISION, message)
    return revised.revision


def is_anything(if_match: str | None) -> bool:
    """Whether the change is to be made on whatever holds."""
    return if_match is not None and if_match.strip() == ANYTHING
