"""``/api/detectors``: create, list, read, replace, patch, start, stop and delete. The ETag is the revision."""

from __future__ import annotations

import secrets
from itertools import islice
from math import inf
from typing import Annotated, Any

from fastapi import Body, Query, Response
from pydantic import Field

from api.change import Revisions, create, delete, existing, replace
from api.holding import Holding
from api.if_match import ANYTHING, IfMatch, tagged
from api.json_route import JSON, MERGE_PATCH, JsonRoute, MergePatchRoute
from api.kinds import KindName
from api.merge_patch import patched
from api.router import Router
from api.selection import Filter, RunState, parse_labels
from connectors.detector import Detector, DetectorConfig
from connectors.messages import Message

router = Router(prefix="/api/detectors", tags=["detectors"], route_class=JsonRoute)
patches = Router(prefix="/api/detectors", tags=["detectors"], route_class=MergePatchRoute)

ID_BYTES = 6
LIMIT, LIMIT_MOST = 100, 1000
MAX_TEXT = 200


class DetectorPage(Message):
    """Some of the detectors, ordered by id."""

    detectors: list[Detector]
    next: Annotated[str | None, Field(description="give it as ``after`` to get the following page; null at the end")]


@router.get("", response_model=DetectorPage)
async def list_detectors(
    context: Holding,
    revisions: Revisions,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MOST, description="detectors on a page")] = LIMIT,
    after: Annotated[str, Query(max_length=64, description="``next`` of the page before")] = "",
    state: Annotated[RunState | None, Query(description="running or stopped")] = None,
    kind: Annotated[KindName | None, Query(description="as GET /api/detector-kinds names it")] = None,
    label: Annotated[
        list[str], Query(max_length=32, description="a label that it bears, as name=value; of several each")
    ] = [],  # noqa: B006 - FastAPI reads the default, nobody changes it
    text: Annotated[
        str, Query(max_length=MAX_TEXT, description="stands in its name, its id or its selector, in any case")
    ] = "",
) -> Response:
    """Detectors ordered by id, those alone that meet all that is asked for."""
    wanted = Filter(state=state, kind=kind, labels=parse_labels(label), text=text)

    async def work() -> bytes:
        found = list(islice(wanted.of(revisions.after(after)), limit + 1))
        following = f'"{found[limit - 1].id}"' if len(found) > limit else "null"
        return f'{{"detectors":[{",".join(one.text for one in found[:limit])}],"next":{following}}}'.encode()

    key = ("detectors", limit, after, state, kind, tuple(label), text)
    return Response(await context.shared.answer(key, revisions.version, work, fresh_s=inf), media_type=JSON)


@router.get("/{detector_id}")
async def read_detector(detector_id: str, revisions: Revisions, response: Response) -> Detector:
    """One detector with its revision, which is also its ETag."""
    return tagged(existing(revisions, detector_id), response)


@router.post("", status_code=201)
async def create_detector(config: DetectorConfig, revisions: Revisions, response: Response) -> Detector:
    """Create a detector; its id is drawn at random. It is in force once this is answered."""
    detector_id = f"d-{secrets.token_hex(ID_BYTES)}"
    response.headers["Location"] = f"/api/detectors/{detector_id}"
    return tagged(await create(revisions, detector_id, config), response)


@router.put("/{detector_id}")
async def replace_detector(
    detector_id: str, config: DetectorConfig, revisions: Revisions, response: Response, if_match: IfMatch = None
) -> Detector:
    """Replace the whole config, if nobody changed it since the revision in If-Match."""
    return tagged(await replace(revisions, detector_id, if_match, lambda _: config), response)


@patches.patch("/{detector_id}")
async def patch_detector(
    detector_id: str,
    patch: Annotated[dict[str, Any], Body(media_type=MERGE_PATCH)],
    revisions: Revisions,
    response: Response,
    if_match: IfMatch = None,
) -> Detector:
    """Change some fields of the config by a JSON merge patch (RFC 7396): null stands for a field's default."""
    return tagged(await replace(revisions, detector_id, if_match, lambda config: patched(config, patch)), response)


@router.post("/{detector_id}/start")
async def start_detector(
    detector_id: str, revisions: Revisions, response: Response, if_match: IfMatch = ANYTHING
) -> Detector:
    """Let a stopped detector run; it learns anew. One that runs stays as it is."""
    return tagged(await replace(revisions, detector_id, if_match, lambda config: _running(config, run=True)), response)


@router.post("/{detector_id}/stop")
async def stop_detector(
    detector_id: str, revisions: Revisions, response: Response, if_match: IfMatch = ANYTHING
) -> Detector:
    """Stop a detector and close its episodes; it keeps its config. One that is stopped stays as it is."""
    return tagged(await replace(revisions, detector_id, if_match, lambda config: _running(config, run=False)), response)


@router.delete("/{detector_id}", status_code=204, response_class=Response)
async def delete_detector(detector_id: str, revisions: Revisions, if_match: IfMatch = None) -> None:
    """Delete a detector, if nobody changed it since the revision in If-Match; its open episodes are closed."""
    await delete(revisions, detector_id, if_match)


def _running(config: DetectorConfig, *, run: bool) -> DetectorConfig:
    return config.model_copy(update={"enabled": run})
