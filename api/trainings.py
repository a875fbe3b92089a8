"""``/api/detectors/{id}/train`` and ``/api/trainings``: a detector learns history, and how far it has come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from api.change import Revisions, existing
from api.context import STATUS, Context
from api.json_route import JsonRoute
from api.problems import ApiError, Code
from api.trainer import Trainer
from api.training_board import Training, TrainingBoard
from api.training_history import PastSeries, TrainingHistory, history_of
from api.trial_samples import Samples
from connectors.messages import Detector, Message
from connectors.training import TrainingState
from flows.config import ConfigError, compile_config

router = APIRouter(prefix="/api/trainings", tags=["trainings"], route_class=JsonRoute)
train = APIRouter(prefix="/api/detectors", tags=["trainings"], route_class=JsonRoute)

PATHS = ("/train",)
"""How the addresses end whose bodies hold history."""


class TrainingRequest(Message):
    """What a detector is to learn."""

    samples: Annotated[
        Samples, Field(description="of the past, in any order of time; a value that is null is no sample")
    ]


class TrainingList(Message):
    """The latest trainings, newest first."""

    trainings: list[Training]


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    context.require(STATUS)
    return context


def trainer_of(request: Request) -> Trainer:
    """The one place where trainings are started, once the topic has been read; raises ``Unavailable`` before."""
    return _context(request).trainer


def board_of(request: Request) -> TrainingBoard:
    """What is known of trainings; raises ``Unavailable`` before it is."""
    return _context(request).trainings


Running = Annotated[Trainer, Depends(trainer_of)]
Board = Annotated[TrainingBoard, Depends(board_of)]


@train.post("/{detector_id}/train", status_code=202)
async def train_detector(
    detector_id: str, asked: TrainingRequest, revisions: Revisions, trainer: Running, response: Response
) -> Training:
    """Let a detector learn history, as if it had met it live; nothing is told of the past.

    It goes on in the background: follow it at the address in ``Location``, or on the WebSocket's ``training/{id}``.
    """
    detector = existing(revisions, detector_id)
    _check_trainable(detector)
    history = await asyncio.to_thread(_history_of, detector, asked.samples)

    async def fetched() -> TrainingHistory:
        return history

    training = await trainer.start(detector, fetched)
    response.headers["Location"] = f"/api/trainings/{training.id}"
    return training


@router.get("")
async def list_trainings(
    board: Board,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    detector: Annotated[str | None, Query(max_length=64, description="detector id")] = None,
    state: TrainingState | None = None,
) -> TrainingList:
    """The latest trainings, newest first; a thousand are remembered."""
    return TrainingList(
        trainings=board.page(
            limit,
            lambda one: (detector is None or one.detector == detector) and (state is None or one.state is state),
        )
    )


@router.get("/{training_id}")
async def read_training(training_id: str, board: Board) -> Training:
    """How far a training has come."""
    training = board.get(training_id)
    if training is None:
        raise _unknown(training_id)
    return training


@router.post("/{training_id}/cancel")
async def cancel_training(training_id: str, board: Board, trainer: Running) -> Training:
    """End a training; the detector stays as it was. One that has ended stays as it is."""
    head = board.head_of(training_id)
    if head is None:
        raise _unknown(training_id)
    return await trainer.cancel(head, "cancelled on request")


def _unknown(training_id: str) -> ApiError:
    return ApiError(Code.NOT_FOUND, f"training {training_id!r} is not among the latest ones")


def _check_trainable(detector: Detector) -> None:
    """Raise ``ConfigError`` for a detector that cannot learn from history."""
    if detector.config.group is not None:
        expected = "a detector with groups cannot be trained yet: history of its groups' values is not read"
        raise ConfigError(field="group", value=detector.config.group.model_dump(mode="json"), expected=expected)
    if not detector.config.enabled:
        raise ConfigError(field="enabled", value=False, expected="must be true: start the detector first")


def _history_of(detector: Detector, samples: Samples) -> TrainingHistory:
    try:
        samples.check()
    except ConfigError as error:
        raise ConfigError(field=f"samples.{error.field}", value=error.value, expected=error.expected) from error
    selector = compile_config(detector).selector
    history = history_of(_series_of(samples), selector.matches)
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
