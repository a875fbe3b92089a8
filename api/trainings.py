"""``/api/detectors/{id}/train`` and ``/api/trainings``: a detector learns history, and how far it has come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Annotated

import numpy as np
from fastapi import Query, Response
from pydantic import Field, model_validator

from api.change import Revisions, existing
from api.context import Context
from api.group_history import aligned, fetched_groups, sent_groups, signal_of
from api.holding import HoldingStatus
from api.json_route import JsonRoute
from api.past_series import PastSeries
from api.problems import ApiError, Code
from api.router import Router
from api.source_history import plan_of
from api.training import Training
from api.training_history import TrainingHistory, history_of
from api.training_range import TrainingRange, fetched
from api.training_sender import Fetch
from api.trial_samples import Samples
from connectors.detector import Detector
from connectors.messages import Message
from connectors.training import TrainingState
from flows.config import compile_config
from flows.group import GroupPlan
from flows.validator import ConfigError, inside

router = Router(prefix="/api/trainings", tags=["trainings"], route_class=JsonRoute)
train = Router(prefix="/api/detectors", tags=["trainings"], route_class=JsonRoute)

PATHS = ("/train",)
"""How the addresses end whose bodies hold history."""


class TrainingRequest(Message):
    """What a detector is to learn: ``samples`` or a ``history``."""

    samples: Annotated[Samples | None, Field(description="of the past, in any order; null is no sample")] = None
    history: Annotated[TrainingRange | None, Field(description="to be fetched from a data source")] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> TrainingRequest:
        if (self.samples is None) is (self.history is None):
            message = "give either samples or a history"
            raise ValueError(message)
        return self


class TrainingList(Message):
    """The latest trainings, newest first."""

    trainings: list[Training]


@train.post("/{detector_id}/train", status_code=202)
async def train_detector(
    detector_id: str, asked: TrainingRequest, revisions: Revisions, context: HoldingStatus, response: Response
) -> Training:
    """Let a detector learn history, as if it had met it live; nothing is told of the past.

    It goes on in the background: follow it at the address in ``Location``, or on the WebSocket's ``training/{id}``.
    """
    detector = existing(revisions, detector_id)
    _check_trainable(detector)
    plan = plan_of(detector.config)
    signal = signal_of(plan) if plan is not None and asked.history is not None else None
    training = await context.trainer.start(detector, await _fetch_of(context, detector, plan, asked), signal)
    response.headers["Location"] = f"/api/trainings/{training.id}"
    return training


@router.get("")
async def list_trainings(
    context: HoldingStatus,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    detector: Annotated[str | None, Query(max_length=64, description="detector id")] = None,
    state: TrainingState | None = None,
) -> TrainingList:
    """The latest trainings, newest first; a thousand are remembered."""
    return TrainingList(
        trainings=context.trainings.page(
            limit,
            lambda one: (detector is None or one.detector == detector) and (state is None or one.state is state),
        )
    )


@router.get("/{training_id}")
async def read_training(training_id: str, context: HoldingStatus) -> Training:
    """How far a training has come."""
    training = context.trainings.get(training_id)
    if training is None:
        raise _unknown(training_id)
    return training


@router.post("/{training_id}/cancel")
async def cancel_training(training_id: str, context: HoldingStatus) -> Training:
    """End a training; the detector stays as it was. One that has ended stays as it is."""
    head = context.trainings.head_of(training_id)
    if head is None:
        raise _unknown(training_id)
    return await context.trainer.cancel(head, "cancelled on request")


def _unknown(training_id: str) -> ApiError:
    return ApiError(Code.NOT_FOUND, f"training {training_id!r} is not among the latest ones")


def _check_trainable(detector: Detector) -> None:
    """Raise ``ConfigError`` for a detector that cannot learn from history."""
    if not detector.config.enabled:
        raise ConfigError(field="enabled", value=False, expected="must be true: start the detector first")


async def _fetch_of(context: Context, detector: Detector, plan: GroupPlan | None, asked: TrainingRequest) -> Fetch:
    """How the history is had; raises ``ConfigError`` and ``ApiError`` for what cannot be."""
    if asked.history is not None:
        source = await context.sources.read(asked.history.source)
        with inside("history"):
            asked.history.check_source(source)
        if plan is not None:
            aligned(asked.history, plan)
            return partial(fetched_groups, context.sources, source, asked.history, plan, context.trainer.workers)
        return partial(fetched, context.sources, source, asked.history, detector, context.trainer.workers)
    assert asked.samples is not None  # noqa: S101 - one of both is given
    history = await context.sources.work.run(partial(_history_of, detector, asked.samples))

    async def at_once() -> AsyncIterator[TrainingHistory]:
        yield history

    return at_once


def _history_of(detector: Detector, samples: Samples) -> TrainingHistory:
    with inside("samples"):
        samples.check()
    compiled = compile_config(detector)
    if compiled.plan is not None:
        history = sent_groups(_series_of(samples), compiled.plan)
    else:
        history = history_of(_series_of(samples), compiled.selector.matches)
    if not history.series:
        labels = [one.labels for one in samples.series[:1]]
        expected = f"at least one series that the detector selects: {detector.config.selector}"
        raise ConfigError(field="samples.series", value=labels, expected=expected)
    return history


def _series_of(samples: Samples) -> Iterator[PastSeries]:
    times_ms = np.array(samples.times_ms, np.int64)
    for one in samples.series:
        values = np.array([np.nan if value is None else value for value in one.values], np.float64)
        present = ~np.isnan(values)
        yield PastSeries(one.labels, times_ms[present], values[present])
