"""The five detectors that a first start brings along. They fit the demo source, and node_exporter's metrics as well.

``python -m api.default_detectors`` writes them to a detector log that has never held a revision, and to no other: who
deletes one does not get it back.
"""

from __future__ import annotations

import logging
import sys

from api.journal import publish
from connectors.clock import wall_clock_ms
from connectors.detector import DetectorConfig, DetectorRevision, Shape
from connectors.errors import TocsinError
from connectors.follower import Follower
from connectors.settings import KafkaSettings
from connectors.startup import start_process

log = logging.getLogger(__name__)

AUTHOR = "tocsin"
READ_TIMEOUT_S = 30.0

BURSTY = {"window": 300, "warmup": 120}
"""For what a machine does in bursts: the mean and deviation of five minutes, which earlier bursts widen."""

TRIFLING_BYTES_PER_S = 1e6
"""Of disks and interfaces; what was idle has no deviation, and the first packet would be critical. It is less than one
hundredth of what a disk writes or a gigabit carries."""

DEFAULTS: dict[str, DetectorConfig] = {
    "default-cpu": DetectorConfig(
        name="CPU idle",
        kind="zscore",
        selector='{__name__="node_cpu_seconds_total", mode="idle"}',
        shape=Shape.RATE,
        params=BURSTY,
        threshold=30.0,
    ),
    "default-memory": DetectorConfig(
        name="Memory available",
        kind="zscore",
        selector='{__name__="node_memory_MemAvailable_bytes"}',
        params={**BURSTY, "floor_ratio": 0.005},
        threshold=30.0,
    ),
    "default-io": DetectorConfig(
        name="Disk and network",
        kind="zscore",
        selector=(
            '{__name__=~"node_(disk_written|network_(receive|transmit))_bytes_total", device!~"lo|(veth|docker|br-).*"}'
        ),
        shape=Shape.RATE,
        params=BURSTY,
        threshold=60.0,
        min_change=TRIFLING_BYTES_PER_S,
    ),
    "default-shop-traffic": DetectorConfig(
        name="Shop requests and errors",
        kind="zscore",  # counts of a few a second are equal most of the time: their MAD is next to nothing
        selector='{__name__=~"shop_(requests|errors)_total"}',
        shape=Shape.RATE,
        params={"window": 60},
        threshold=12.0,
    ),
    "default-shop-latency": DetectorConfig(
        name="Shop latency",
        kind="mad",
        selector='{__name__="shop_latency_seconds"}',
        params={"window": 60},
        threshold=12.0,
    ),
}


def first_revisions(time_ms: int) -> list[DetectorRevision]:
    """The defaults as they are written at the first start."""
    return [
        DetectorRevision(detector_id=name, base_revision=0, config=config, author=AUTHOR, time_ms=time_ms)
        for name, config in DEFAULTS.items()
    ]


def write_defaults(settings: KafkaSettings, time_ms: int) -> int:
    """Write the defaults unless the detector log holds any record; returns how many were written."""
    with Follower(settings, settings.topics.detectors, lambda _: None) as log_of_detectors:
        log_of_detectors.wait_caught_up(READ_TIMEOUT_S)
        if log_of_detectors.position(0) > 0:
            return 0
    revisions = first_revisions(time_ms)
    publish(settings, revisions)
    return len(revisions)


def main() -> int:
    """Write the defaults where the environment says."""
    settings = start_process("default_detectors", KafkaSettings)
    try:
        written = write_defaults(settings, wall_clock_ms())
    except TocsinError as error:
        log.critical("%s", error)
        return 1
    log.info("%d default detectors written", written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
