"""``/api/detectors/{id}/revisions``: what a detector was before, and the way back."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Response
from pydantic import Field

from api.change import Revisions, existing, replace
from api.if_match import IfMatch, tagged
from api.json_route import JSON, JsonRoute
from api.kept_revisions import PER_DETECTOR
from api.problems import ApiError, Code
from api.revisions import RevisionLog
from api.router import Router
from connectors.detector import Detector
from connectors.messages import Message

router = Router(prefix="/api/detectors/{detector_id}/revisions", tags=["detectors"], route_class=JsonRoute)

Number = Annotated[int, Path(ge=1, le=10**18, description="of the revision")]


class RevisionPage(Message):
    """Some revisions of a detector, newest first; the first of all is the one that stands."""

    revisions: list[Detector]
    next: Annotated[int | None, Field(description="give it as ``before`` to get the following page; null at the end")]


@router.get("", response_model=RevisionPage)
async def list_revisions(
    detector_id: str,
    revisions: Revisions,
    limit: Annotated[int, Query(ge=1, le=PER_DETECTOR, description="revisions on a page")] = 20,
    before: Annotated[int | None, Query(ge=1, le=10**18, description="``next`` of the page before")] = None,
) -> Response:
    """Its revisions, newest first, as far as they are kept: the last 100, fewer when very many detectors change."""
    now = existing(revisions, detector_id)
    older = revisions.kept.before(detector_id, before or now.revision)
    found = older if before is not None else [now.revision, *older]
    texts = [now.text if one == now.revision else revisions.kept.text(detector_id, one) for one in found[:limit]]
    following = str(found[limit - 1]) if len(found) > limit else "null"
    return Response(f'{{"revisions":[{",".join(texts)}],"next":{following}}}', media_type=JSON)


@router.get("/{revision}")
async def read_revision(detector_id: str, revision: Number, revisions: Revisions) -> Detector:
    """The detector as it stood at one revision."""
    return _past(revisions, detector_id, revision)


@router.post("/{revision}/restore")
async def restore_revision(
    detector_id: str, revision: Number, revisions: Revisions, response: Response, if_match: IfMatch = None
) -> Detector:
    """Let the config of a past revision stand again, as a new revision."""
    past = _past(revisions, detector_id, revision)
    return tagged(await replace(revisions, detector_id, if_match, lambda _: past.config), response)


def _past(revisions: RevisionLog, detector_id: str, revision: int) -> Detector:
    now = existing(revisions, detector_id)
    past = now if now.revision == revision else revisions.kept.get(detector_id, revision)
    if past is None:
        message = f"detector {detector_id}: revision {revision} is not kept; GET …/revisions lists those that are"
        raise ApiError(Code.NOT_FOUND, message)
    return past
