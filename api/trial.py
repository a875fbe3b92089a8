"""A detector on samples of the past: by the code of the flow, in a thread, beside all that is live."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field

from api.meters import ApiMeters
from api.numbers import Numbers, numbers_of
from api.problems import ApiError, Code
from connectors.anomaly import Anomaly
from connectors.detector import DetectorConfig
from connectors.errors import Unavailable
from connectors.messages import Message
from connectors.workers import Workers
from flows.frame import Frame

WAITING_MOST = 8
"""One trial runs at a time, since each takes a core; so many may wait for it."""
LONGEST_S = 60.0
DAY_MS = 86_400_000.0


class Verdicts(Message):
    """What was said of one signal, row by row; null where nothing is known, as while warming up."""

    labels: Annotated[list[dict[str, str]], Field(description="of the series; of several, they are one entity")]
    times_ms: list[int]
    value: Numbers
    score: Annotated[Numbers, Field(description="surprise, −log10 of the tail probability")]
    expected: Numbers
    lower: Numbers
    upper: Numbers
    alert: Annotated[list[bool], Field(description="whether people would have been notified at this row")]
    learned: Annotated[str | None, Field(description="what kind of signal it was taken for, if the kind says so")]


class Trial(Message):
    """What a detector would have said."""

    signals: list[Verdicts]
    anomalies: Annotated[list[Anomaly], Field(description="the last event of each episode, the earliest first")]
    alerts: Annotated[int, Field(description="how often people would have been notified")]
    alerts_per_day: Annotated[float | None, Field(description="from the first to the last sample; null: no time")]
    drops: Annotated[dict[str, int], Field(description="samples that were not judged, by reason")]


class Trials:
    """Runs one trial after the other."""

    def __init__(self, meters: ApiMeters) -> None:
        self._workers = Workers("trials", 1, WAITING_MOST)
        self._ended = False
        meters.watch(self._workers)

    async def run(self, config: DetectorConfig, frames: Sequence[Frame]) -> Trial:
        """Judge each frame by itself; raises ``Overloaded`` if many wait, ``ApiError`` past ``LONGEST_S``."""
        return await self._workers.run(partial(self._judge, config, frames))

    def stop(self) -> None:
        """End the one that runs as soon as it tells how far it is: the process waits for its thread."""
        self._ended = True
        self._workers.stop()

    def _judge(self, config: DetectorConfig, frames: Sequence[Frame]) -> Trial:
        return judge(config, frames, partial(self._hurry, time.monotonic() + LONGEST_S))

    def _hurry(self, deadline_s: float, _share: float) -> None:
        if self._ended:
            message = "the api ends"
            raise Unavailable(message)
        if time.monotonic() > deadline_s:
            message = f"the trial took more than {LONGEST_S:g} s: send fewer samples, or take a cheaper kind"
            raise ApiError(Code.TOO_LARGE, message)


def judge(config: DetectorConfig, frames: Sequence[Frame], tell: Callable[[float], None]) -> Trial:
    """Replay every frame; ``tell`` may raise to end it."""
    from flows.replay import replay  # imports all that a flow has: for who tries nothing, it takes a second in vain

    signals, anomalies, drops = list[Verdicts](), list[Anomaly](), Counter[str]()
    for frame in frames:
        replayed = replay(config, frame, tell)
        scored = {name: numbers_of(column) for name, column in replayed.scored._asdict().items()}
        signals.append(
            Verdicts(
                labels=[dict(labels) for labels in frame.labels],
                times_ms=frame.times_ms.tolist(),
                value=numbers_of(replayed.value),
                alert=replayed.alert.tolist(),
                learned=replayed.learned[0] if len(replayed.learned) == 1 else None,
                **scored,
            )
        )
        anomalies += replayed.anomalies
        drops.update(replayed.drops)
    alerts = sum(sum(one.alert) for one in signals)
    return Trial(
        signals=signals,
        anomalies=sorted(anomalies, key=lambda anomaly: (anomaly.start_ms, anomaly.id)),
        alerts=alerts,
        alerts_per_day=_per_day(alerts, frames),
        drops={reason: count for reason, count in drops.items() if count},
    )


def times_of(trial: Trial) -> tuple[int, int] | None:
    """Times of the first and the last sample; None without any."""
    times_ms = [time_ms for one in trial.signals for time_ms in (one.times_ms[:1] + one.times_ms[-1:])]
    return (min(times_ms), max(times_ms)) if times_ms else None


def _per_day(alerts: int, frames: Sequence[Frame]) -> float | None:
    times_ms = np.concatenate([frame.times_ms for frame in frames])
    days = float(times_ms.max() - times_ms.min()) / DAY_MS if len(times_ms) else 0.0
    return alerts / days if days else None
