"""A training as REST and the WebSocket tell it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.messages import Message
from connectors.training import TrainingState


class Training(Message):
    """How far a training has come."""

    id: str
    detector: Annotated[str, Field(description="id of the detector that learns")]
    revision: Annotated[int, Field(description="of the detector that learns")]
    state: TrainingState
    reason: Annotated[str, Field(description="why it failed or was cancelled, else empty")]
    started_ms: int
    updated_ms: int
    seconds: Annotated[float, Field(description="from its start to its end, or to its latest news")]
    series_matched: Annotated[int, Field(description="series of the history that the detector selects")]
    series_unmatched: Annotated[int, Field(description="series that it does not select: left out")]
    duplicates: Annotated[int, Field(description="samples left out: their series has another at the same time")]
    samples: Annotated[int, Field(description="samples that are to be learned")]
    sent: Annotated[int, Field(description="samples that were sent so far")]
    learned: Annotated[int, Field(description="samples that the flow has learned so far")]
    ahead: Annotated[
        int, Field(description="samples that it left out: later than the one of their series that it had met live")
    ]
    rows_replaced: Annotated[int, Field(description="live signals that know the history now")]
    partitions: int
    partitions_done: int
