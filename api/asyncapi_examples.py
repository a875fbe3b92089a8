"""A message of each kind, as they stand in the AsyncAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from api.socket_messages import (
    AnomalyEvent,
    ComponentChange,
    ErrorCode,
    Ping,
    Pong,
    SocketError,
    StatusEvent,
    Subscribe,
    Subscribed,
    SystemEvent,
    TrainingEvent,
    Unsubscribe,
)
from api.training import Training
from connectors.anomaly import (
    Anomaly,
    AnomalyDetector,
    AnomalySignal,
    Change,
    Direction,
    EventType,
    Notice,
    Peak,
    Severity,
)
from connectors.detector import Shape
from connectors.messages import Message
from connectors.probes import Status
from connectors.status import DetectorStatus, PartitionStatus
from connectors.training import TrainingState

CURSOR = "5f0c1d3a-120-98-133-101"
TIME_MS = 1_767_225_600_000
ANOMALY = Anomaly(
    version=1,
    id="3f2b9c04a1d57e68b0c94f1e2d3a5b77",
    event=EventType.OPENED,
    notice=Notice.OPENED,
    sequence=0,
    tenant="anonymous",
    detector=AnomalyDetector(id="default-cpu", name="CPU busy", kind="mad", revision=3),
    signal=AnomalySignal(labels={"__name__": "up", "job": "shop"}, shape=Shape.RAW, expression=None),
    start_ms=TIME_MS,
    time_ms=TIME_MS,
    end_ms=None,
    closed_by=None,
    severity=Severity.WARNING,
    direction=Direction.UP,
    value=98.5,
    expected=12.25,
    lower=8.0,
    upper=16.5,
    surprise=11.5,
    peak=Peak(time_ms=TIME_MS, value=98.5, surprise=11.5),
    samples=1,
    duration_ms=0,
    change=Change.SPIKE,
    chance_per_week=2e-6,
    contributors=[],
    sentence='up{job="shop"} is 8.04 times its expected 12.2.',
    learned=None,
)
CHANGED = ComponentChange(component="detectors", status=Status.OK, reason="", before=Status.DOWN, time_ms=TIME_MS)
PARTITION = PartitionStatus(
    type="partition", version=1, partition=0, log_ms=TIME_MS, looked_ms=TIME_MS - 2_000, detectors_offset=12,
    detectors=5, series=120, lanes=140, samples=86_400, judged=80_000, drops={"late": 3},
)  # fmt: skip
DETECTOR = DetectorStatus(
    type="detector", version=1, detector="default-cpu", partition=0, log_ms=TIME_MS, revision=3, enabled=True,
    matched=4, members=0, warming=1, running=3, silent=0, open=1, needs=37, step_s=15.0, last_ms=TIME_MS, samples=5_760,
    anomalies=2, since_ms=TIME_MS - 86_400_000, anomalies_per_day=2.0, threshold=9.0, drops={}, state_bytes=4_096,
    signals=[],
)  # fmt: skip
TRAINING = Training(
    id="t-1f2e3d4c5b6a7980", detector="default-cpu", revision=3, state=TrainingState.SENDING, reason="",
    started_ms=TIME_MS, updated_ms=TIME_MS + 2_000, seconds=2.0, series_matched=4, series_unmatched=0, duplicates=0,
    samples=40_000, sent=20_000, learned=10_000, ahead=0, rows_replaced=0, partitions=4, partitions_done=0,
)  # fmt: skip
EXAMPLES: Mapping[type[Message], Sequence[Message]] = {
    Subscribe: [
        Subscribe(type="subscribe", topics=["anomalies", "system"]),
        Subscribe(
            type="subscribe",
            topics=["anomalies"],
            severities=[Severity.CRITICAL],
            selector='{job=~"shop.*"}',
            since=CURSOR,
        ),
    ],
    Unsubscribe: [Unsubscribe(type="unsubscribe", topics=["system"])],
    Ping: [Ping(type="ping")],
    Subscribed: [Subscribed(type="subscribed", version=1, topics=["anomalies"], missed=2, cursor=CURSOR)],
    AnomalyEvent: [AnomalyEvent(type="anomaly", cursor=CURSOR, data=ANOMALY)],
    StatusEvent: [
        StatusEvent(type="status", topic="status", data=PARTITION),
        StatusEvent(type="status", topic="status", data=DETECTOR),
    ],
    TrainingEvent: [TrainingEvent(type="training", topic=f"training/{TRAINING.id}", data=TRAINING)],
    SystemEvent: [SystemEvent(type="system", topic="system", data=CHANGED)],
    Pong: [Pong(type="pong", cursor=CURSOR)],
    SocketError: [SocketError(type="error", code=ErrorCode.UNKNOWN_TOPIC, detail="topics.0: 'logs' is not a topic")],
}
