"""``/api/detectors/lint`` and ``/api/detectors/{id}/lint``: what is to be said of a config, with numbers."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import Field

from api.change import Revisions, existing
from api.context import Context
from api.holding import HoldingStatus
from api.json_route import JsonRoute
from api.revisions import RevisionLog
from api.router import Router
from api.standing import standing_of
from connectors.detector import Detector, DetectorConfig
from connectors.messages import Message
from flows.linter import Finding, Known, LintSeverity, lint

router = Router(prefix="/api/detectors", tags=["detectors"], route_class=JsonRoute)

Horizon = Annotated[
    float | None,
    Field(gt=0, le=10**9, description="s that history goes back or the detector is to live, if that is known"),
]


class LintRequest(Message):
    """A config that need not be saved."""

    config: DetectorConfig
    horizon_s: Horizon = None


class Lint(Message):
    """What was found; refusals first, then warnings."""

    ok: Annotated[bool, Field(description="whether the config would be taken; warnings do not matter")]
    findings: list[Finding]


@router.post("/lint")
async def lint_config(asked: LintRequest, context: HoldingStatus, revisions: Revisions) -> Lint:
    """What is to be said of a config: whether it is refused, can hardly fire, needs long history, or watches too much.

    How many series it would watch is known if a detector has the same selector; else it is said to be unknown.
    """
    return _linted(context, asked.config, _like(revisions, asked.config), asked.horizon_s)


@router.get("/{detector_id}/lint")
async def lint_detector(
    detector_id: str,
    context: HoldingStatus,
    revisions: Revisions,
    horizon_s: Annotated[float | None, Query(gt=0, le=10**9, description="as in POST …/lint")] = None,
) -> Lint:
    """The same of a detector as it stands, with what the flow tells of it."""
    detector = existing(revisions, detector_id)
    return _linted(context, detector.config, detector, horizon_s)


def _like(revisions: RevisionLog, config: DetectorConfig) -> Detector | None:
    """A running detector that watches the same series."""
    wanted = (config.selector.strip(), config.tenant, config.group)
    like = (
        one
        for one in revisions.after("")
        if one.config.enabled and (one.config.selector.strip(), one.config.tenant, one.config.group) == wanted
    )
    return next(like, None)


def _linted(context: Context, config: DetectorConfig, told_of: Detector | None, horizon_s: float | None) -> Lint:
    partitions = context.settings.partitions
    known = Known(horizon_s=horizon_s, partitions=partitions)
    if told_of is not None:
        told = context.told
        standing = standing_of(told_of, told.of(told_of.id), told.partitions, partitions, context.now_ms())
        whole = standing.partitions_told == partitions and standing.in_force
        if whole and told_of.config.enabled:
            known = known._replace(series=standing.series, signals=standing.signals, step_s=standing.step_s)
    findings = lint(config, known)
    return Lint(ok=all(one.severity is not LintSeverity.REFUSAL for one in findings), findings=findings)
