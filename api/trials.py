"""``/api/detectors/preview`` and ``/api/detectors/{id}/detect``: what detectors would have said of given samples."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from api.change import Revisions, existing
from api.context import Context
from api.json_route import JSON, JsonRoute
from api.trial import Comparison, Trial, Trials, compare
from api.trial_samples import Samples, check_judgeable, parted
from connectors.messages import DetectorConfig, Message
from flows.config import ConfigError, check_config

router = APIRouter(prefix="/api/detectors", tags=["trials"], route_class=JsonRoute)

PATHS = ("/preview", "/detect")
"""How the addresses end whose bodies hold samples."""


class Preview(Message):
    """What is to be tried on which samples, and what it is compared with."""

    config: DetectorConfig
    samples: Samples
    against: Annotated[str | None, Field(max_length=64, description="id of a detector to compare with")] = None


class Previewed(Message):
    """The trial of a config, and that of the detector that it is compared with."""

    trial: Trial
    against: Trial | None = None
    comparison: Comparison | None = None


def trials_of(request: Request) -> Trials:
    """The one place where trials run."""
    context: Context = request.app.state.context
    return context.trials


Running = Annotated[Trials, Depends(trials_of)]


@router.post("/preview", response_model=Previewed)
async def preview_detector(asked: Preview, trials: Running, revisions: Revisions) -> Response:
    """Try a config, saved or not, on samples of the past; nothing live is touched."""
    other = existing(revisions, asked.against).config if asked.against is not None else None
    with _inside("config"):
        check_config(asked.config)
        check_judgeable(asked.config)
    with _inside("samples"):
        frames = asked.samples.frames()
    trial = await trials.run(asked.config, parted(asked.config.group, frames))
    if other is None:
        return await _json(Previewed(trial=trial))
    check_judgeable(other)
    before = await trials.run(other, parted(other.group, frames))
    return await _json(Previewed(trial=trial, against=before, comparison=compare(before.anomalies, trial.anomalies)))


@router.post("/{detector_id}/detect", response_model=Trial)
async def detect(detector_id: str, samples: Samples, trials: Running, revisions: Revisions) -> Response:
    """What a detector says of these samples if it has seen no others; nothing live is touched."""
    config = existing(revisions, detector_id).config
    check_judgeable(config)
    return await _json(await trials.run(config, parted(config.group, samples.frames())))


@contextmanager
def _inside(field: str) -> Iterator[None]:
    """Name the place of a refused field in the whole body."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(field=f"{field}.{error.field}", value=error.value, expected=error.expected) from error


async def _json(answer: Message) -> Response:
    """Written in a thread: it may be of some megabytes."""
    return Response(await asyncio.to_thread(answer.encode), media_type=JSON)
