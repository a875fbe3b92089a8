"""The default detector of disks and interfaces: what is trifling on an idle one is told to nobody, a burst is."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest

from api.default_detectors import DEFAULTS, first_revisions
from connectors.anomaly import Anomaly, Severity
from connectors.catalogue import Topics
from connectors.codec.encode import encode_labels
from connectors.messages import ControlRecord
from flows.block import Block
from flows.chunks import NewSeries, Samples
from flows.limits import BlockLimits
from tests.streams import anomalies

START_MS = 1_700_000_000_000
IDLE_S = 300
COUNTERS = (
    {"__name__": "node_network_receive_bytes_total", "device": "eth0"},
    {"__name__": "node_network_transmit_bytes_total", "device": "eth0"},
    {"__name__": "node_disk_written_bytes_total", "device": "sda"},
)


def opened(labels: dict[str, str], bytes_per_s: list[float]) -> list[Anomaly]:
    """Episodes that open on a counter that stands still for five minutes and then grows so."""
    revisions = first_revisions(START_MS)
    block = Block(Topics(), BlockLimits(), lambda start, end: revisions[start:end])
    new = (NewSeries(1, "anonymous", encode_labels(labels)),)
    records = []
    for second, total in enumerate(accumulate([5e9, *[0.0] * IDLE_S, *bytes_per_s])):
        time_ms = START_MS + 1000 * second
        now = ControlRecord(time_ms=time_ms, detectors_offset=len(DEFAULTS), feedback_offset=0)
        sample = Samples(
            np.array([1], np.uint64), np.array([time_ms]), np.array([total]), None, new if second == 0 else ()
        )
        records += block.take([now, sample])
    return [anomaly for anomaly in anomalies(records) if anomaly.event == "opened"]


@pytest.mark.parametrize("labels", COUNTERS, ids=lambda labels: labels["__name__"])
def test_trifling_traffic_where_there_was_none_is_no_anomaly(labels: dict[str, str]) -> None:
    assert opened(labels, [150.0, 0.0, 900.0, *[4_000.0] * 30, 60_000.0, *[0.0] * 30]) == []


@pytest.mark.parametrize("labels", COUNTERS, ids=lambda labels: labels["__name__"])
@pytest.mark.parametrize("before", [[], [150.0, 0.0, 900.0]], ids=["idle", "trifling"])
def test_a_burst_is(labels: dict[str, str], before: list[float]) -> None:
    (found,) = opened(labels, [*before, *[40e6] * 20, *[0.0] * 90])
    assert found.detector.id == "default-io"
    assert found.start_ms == START_MS + 1000 * (IDLE_S + len(before) + 1)
    assert found.severity is Severity.CRITICAL
