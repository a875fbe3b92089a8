"""Changes of detectors through the log, and what the log says of them as refusals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from api.context import DETECTORS, Context
from api.if_match import base_revision, is_anything
from api.problems import ApiError, Code
from api.revisions import RevisionLog, Written
from connectors.detector import Detector, DetectorConfig
from connectors.errors import Rejected
from flows.futility import check_proposal
from flows.revisions import MAX_DETECTORS, Outcome

MAX_TRIES = 40
"""How often a change of whatever holds (``If-Match: *``) is based anew after others were faster. In a race of n writers
one wins each round, and there are at most TOCSIN_API_MAX_WRITES of them per replica."""
T = TypeVar("T")


async def revision_log(request: Request) -> RevisionLog:
    """The detectors, once the log has been read; raises ``Unavailable`` before."""
    context: Context = request.app.state.context
    context.require(DETECTORS)
    return context.revisions


Revisions = Annotated[RevisionLog, Depends(revision_log)]


def existing(revisions: RevisionLog, detector_id: str) -> Detector:
    """The detector as it stands; raises ``ApiError`` if there is none."""
    detector = revisions.get(detector_id)
    if detector is None:
        message = f"detector {detector_id!r} does not exist"
        raise ApiError(Code.NOT_FOUND, message)
    return detector


async def change(
    revisions: RevisionLog, detector_id: str, if_match: str | None, make: Callable[[Detector], Awaitable[T]]
) -> T:
    """Make a change on the revision that If-Match asks for; one of whatever holds is tried again when overtaken."""
    tries = MAX_TRIES if is_anything(if_match) else 1
    while True:
        detector = existing(revisions, detector_id)
        base_revision(detector, if_match)
        tries -= 1
        try:
            return await make(detector)
        except ApiError as error:
            if error.code is not Code.STALE_REVISION or not tries:
                raise


async def replace(
    revisions: RevisionLog,
    detector_id: str,
    if_match: str | None,
    config_of: Callable[[DetectorConfig], DetectorConfig],
) -> Detector:
    """Let another config take the place of the one that holds; one that is the same writes nothing.

    Who only stops what stands, or lets it run again, proposes nothing: an older version may have taken what can never
    fire, and it must be possible to stop that.
    """

    async def make(detector: Detector) -> Detector:
        config = config_of(detector.config)
        if config == detector.config:
            return detector
        if config.model_copy(update={"enabled": detector.config.enabled}) != detector.config:
            check_proposal(config)
        return await _put(revisions, detector_id, detector.revision, config)

    return await change(revisions, detector_id, if_match, make)


async def delete(revisions: RevisionLog, detector_id: str, if_match: str | None) -> None:
    """Write its deletion."""

    async def make(detector: Detector) -> None:
        check(await revisions.write(detector_id, detector.revision, None), detector_id, detector.revision)

    await change(revisions, detector_id, if_match, make)


async def create(revisions: RevisionLog, detector_id: str, config: DetectorConfig) -> Detector:
    """Write the first revision of a detector."""
    check_proposal(config)
    return await _put(revisions, detector_id, 0, config)


async def _put(revisions: RevisionLog, detector_id: str, base: int, config: DetectorConfig) -> Detector:
    """Refuse early what would be refused in the log too, so that the log is not filled with it; then write."""
    _refuse_twin(revisions, detector_id, config)
    written = await revisions.write(detector_id, base, config)
    if written.outcome is Outcome.DUPLICATE:
        _refuse_twin(revisions, detector_id, config)
    check(written, detector_id, base)
    assert written.detector is not None  # noqa: S101 - applied and no deletion
    return written.detector


def _refuse_twin(revisions: RevisionLog, detector_id: str, config: DetectorConfig) -> None:
    twin = revisions.twin_of(detector_id, config)
    if twin is not None:
        message = f"detector {twin.id} ({twin.config.name!r}) computes the same: change that one instead"
        raise ApiError(Code.DUPLICATE_DETECTOR, message)


def check(written: Written, detector_id: str, base: int) -> None:
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
