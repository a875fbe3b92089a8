"""``/api/detectors``: create, list, read, replace and delete. The ETag of a detector is its revision."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Header, Request, Response

from api.context import DETECTORS, Context
from api.json_route import JsonRoute
from api.problems import ApiError, Code
from api.revisions import RevisionLog, Written
from connectors.errors import Rejected
from connectors.messages import Detector, DetectorConfig, Message
from flows.revisions import MAX_DETECTORS, Outcome

router = APIRouter(prefix="/api/detectors", tags=["detectors"], route_class=JsonRoute)

ID_BYTES = 6
MAX_TRIES = 40
"""How often a change of whatever holds (``If-Match: *``) is based anew after others were faster. In a race of n writers
one wins each round, and there are at most TOCSIN_API_MAX_WRITES of them per replica."""
ANYTHING = "*"
ETAG = re.compile(r'"(\d{1,18})"')
T = TypeVar("T")
IfMatch = Annotated[
    str | None, Header(description='ETag that the change is based on, e.g. "3", or * for whatever holds')
]


class DetectorList(Message):
    """All detectors, ordered by id."""

    detectors: list[Detector]


def revision_log(request: Request) -> RevisionLog:
    """The detectors, once the log has been read; raises ``Unavailable`` before."""
    context: Context = request.app.state.context
    context.require(DETECTORS)
    return context.revisions


Revisions = Annotated[RevisionLog, Depends(revision_log)]


@router.get("")
async def list_detectors(revisions: Revisions) -> DetectorList:
    """All detectors, ordered by id."""
    return DetectorList(detectors=revisions.list())


@router.get("/{detector_id}")
async def read_detector(detector_id: str, revisions: Revisions, response: Response) -> Detector:
    """One detector with its revision, which is also its ETag."""
    detector = _existing(revisions, detector_id)
    response.headers["ETag"] = _etag(detector)
    return detector


@router.post("", status_code=201)
async def create_detector(config: DetectorConfig, revisions: Revisions, response: Response) -> Detector:
    """Create a detector; its id is drawn at random. It is in force once this is answered."""
    detector_id = f"d-{secrets.token_hex(ID_BYTES)}"
    detector = await _put(revisions, detector_id, 0, config)
    response.headers["ETag"] = _etag(detector)
    response.headers["Location"] = f"/api/detectors/{detector_id}"
    return detector


@router.put("/{detector_id}")
async def replace_detector(
    detector_id: str, config: DetectorConfig, revisions: Revisions, response: Response, if_match: IfMatch = None
) -> Detector:
    """Replace the whole config, if nobody changed it since the revision in If-Match."""

    async def put(base: int) -> Detector:
        return await _put(revisions, detector_id, base, config)

    detector = await _change(revisions, detector_id, if_match, put)
    response.headers["ETag"] = _etag(detector)
    return detector


@router.delete("/{detector_id}", status_code=204, response_class=Response)
async def delete_detector(detector_id: str, revisions: Revisions, if_match: IfMatch = None) -> None:
    """Delete a detector, if nobody changed it since the revision in If-Match; its open episodes are closed."""

    async def delete(base: int) -> None:
        _check(await revisions.write(detector_id, base, None), detector_id, base)

    await _change(revisions, detector_id, if_match, delete)


async def _change(
    revisions: RevisionLog, detector_id: str, if_match: str | None, change: Callable[[int], Awaitable[T]]
) -> T:
    """Make a change on the revision that If-Match asks for; one of whatever holds is tried again when overtaken."""
    for _ in range(MAX_TRIES - 1):
        base = _base_revision(_existing(revisions, detector_id), if_match)
        try:
            return await change(base)
        except ApiError as error:
            if error.code is not Code.STALE_REVISION or not _is_anything(if_match):
                raise
    return await change(_base_revision(_existing(revisions, detector_id), if_match))


async def _put(revisions: RevisionLog, detector_id: str, base: int, config: DetectorConfig) -> Detector:
    """Refuse early what would be refused in the log too, so that the log is not filled with it; then write."""
    _refuse_twin(revisions, detector_id, config)
    written = await revisions.write(detector_id, base, config)
    if written.outcome is Outcome.DUPLICATE:
        _refuse_twin(revisions, detector_id, config)
    _check(written, detector_id, base)
    assert written.detector is not None  # noqa: S101 - applied and no deletion
    return written.detector


def _refuse_twin(revisions: RevisionLog, detector_id: str, config: DetectorConfig) -> None:
    twin = revisions.twin_of(detector_id, config)
    if twin is not None:
        message = f"detector {twin.id} ({twin.config.name!r}) computes the same: change that one instead"
        raise ApiError(Code.DUPLICATE_DETECTOR, message)


def _check(written: Written, detector_id: str, base: int) -> None:
    """Turn what the log said into a refusal."""
    match written.outcome:
        case Outcome.APPLIED:
            return
        case Outcome.STALE:
            message = f"detector {detector_id}: revision {base} was overtaken by another change; read it and try again"
            raise ApiError(Code.STALE_REVISION, message)
        case Outcome.DUPLICATE:
            message = f"detector {detector_id}: another detector computed the same a moment ago"
            raise ApiError(Code.DUPLICATE_DETECTOR, message)
        case Outcome.LIMIT:
            message = f"there are {MAX_DETECTORS} detectors; delete one first"
            raise ApiError(Code.DETECTOR_LIMIT, message)
        case Outcome.INVALID:
            message = f"detector {detector_id}: the config was refused when the log was read"
            raise written.refusal or Rejected(reason="bad_config", message=message)


def _existing(revisions: RevisionLog, detector_id: str) -> Detector:
    detector = revisions.get(detector_id)
    if detector is None:
        message = f"detector {detector_id!r} does not exist"
        raise ApiError(Code.NOT_FOUND, message)
    return detector


def _base_revision(detector: Detector, if_match: str | None) -> int:
    """The revision that a change is based on; raises ``ApiError`` when If-Match is missing, unreadable or stale."""
    if if_match is None:
        message = f"If-Match: missing; send the ETag that the change is based on, now {_etag(detector)}"
        raise ApiError(Code.PRECONDITION_REQUIRED, message)
    if _is_anything(if_match):
        return detector.revision
    tags = [ETAG.fullmatch(tag.strip()) for tag in if_match.split(",")]
    if None in tags:
        message = f"If-Match: {if_match[:100]!r}: expected the ETag of a GET, like {_etag(detector)}"
        raise ApiError(Code.BAD_REQUEST, message)
    if detector.revision not in {int(tag[1]) for tag in tags if tag}:
        message = f"detector {detector.id}: is at revision {detector.revision}, If-Match says {if_match}"
        raise ApiError(Code.STALE_REVISION, message)
    return detector.revision


def _is_anything(if_match: str | None) -> bool:
    return if_match is not None and if_match.strip() == ANYTHING


def _etag(detector: Detector) -> str:
    return f'"{detector.revision}"'
