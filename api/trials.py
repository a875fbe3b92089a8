"""``/api/detectors/preview`` and ``/api/detectors/{id}/detect``: what detectors would have said of the past."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Response
from pydantic import Field

from api.change import Revisions, existing
from api.comparison import Comparison, compare
from api.confirmed import confirmed_within
from api.context import Context
from api.holding import Holding
from api.json_route import JSON, JsonRoute
from api.router import Router
from api.source_history import History
from api.trial import Trial, times_of
from api.trial_samples import Samples, SeriesList, Times, check_judgeable, parted
from connectors.detector import DetectorConfig
from connectors.messages import Message
from flows.frame import Frame
from flows.futility import check_proposal
from flows.validator import ConfigError, inside

router = Router(prefix="/api/detectors", tags=["trials"], route_class=JsonRoute)

PATHS = ("/preview", "/detect")
"""How the addresses end whose bodies hold samples."""


class Preview(Message):
    """What is to be tried on which samples, and what it is compared with."""

    config: DetectorConfig
    samples: Samples | None = None
    history: Annotated[History | None, Field(description="in place of samples: from a data source")] = None
    against: Annotated[str | None, Field(max_length=64, description="id of a detector to compare with")] = None


class Judged(Message):
    """Samples, or where they are fetched."""

    times_ms: Times | None = None
    series: SeriesList | None = None
    history: Annotated[History | None, Field(description="in place of both: from a data source")] = None

    def samples(self) -> Samples | None:
        """What the body brings; None if it brings nothing; raises ``ConfigError`` for half of it."""
        if self.times_ms is None and self.series is None:
            return None
        for name, given in (("times_ms", self.times_ms), ("series", self.series)):
            if given is None:
                raise ConfigError(field=name, value=None, expected="times_ms and series go together")
        return Samples.model_construct(times_ms=self.times_ms, series=self.series)


class Previewed(Message):
    """The trial of a config, and that of the detector that it is compared with."""

    trial: Trial
    against: Trial | None = None
    comparison: Comparison | None = None


@router.post("/preview", response_model=Previewed)
async def preview_detector(asked: Preview, context: Holding, revisions: Revisions) -> Response:
    """Try a config, saved or not, on samples of the past; nothing live is touched."""
    other = existing(revisions, asked.against).config if asked.against is not None else None
    with inside("config"):
        check_proposal(asked.config)
        if asked.history is None:
            check_judgeable(asked.config)
    with inside("samples"):
        frames = asked.samples.frames() if asked.samples is not None else None
    trial = await _tried(context, asked.config, frames, asked.history)
    if other is None:
        return await _json(Previewed(trial=trial))
    before = await _tried(context, other, frames, asked.history)
    confirmed = await confirmed_within(context, asked.against or "", times_of(trial))
    comparison = await asyncio.to_thread(compare, before.anomalies, trial.anomalies, confirmed)
    return await _json(Previewed(trial=trial, against=before, comparison=comparison))


@router.post("/{detector_id}/detect", response_model=Trial)
async def detect(detector_id: str, asked: Judged, context: Holding, revisions: Revisions) -> Response:
    """What a detector says of these samples if it has seen no others; nothing live is touched."""
    config = existing(revisions, detector_id).config
    samples = asked.samples()
    frames = samples.frames() if samples is not None else None
    return await _json(await _tried(context, config, frames, asked.history))


async def _tried(
    context: Context, config: DetectorConfig, frames: list[Frame] | None, history: History | None
) -> Trial:
    """What a config says of the series given, or of those that a data source has for it."""
    if (frames is None) is (history is None):
        raise ConfigError(field="history", value=None, expected="either samples or a history, and not both")
    if history is not None:
        with inside("history"):
            config, frames = await history.fetch(context.sources, config)
    check_judgeable(config)
    return await context.trials.run(config, parted(config.group, frames or []))


async def _json(answer: Message) -> Response:
    """Written in a thread: it may be of some megabytes."""
    return Response(await asyncio.to_thread(answer.encode), media_type=JSON)
