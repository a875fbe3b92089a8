"""``python -m tests.benchmarks.matching [DETECTORS SERIES] [--json]``: 10,000 detectors meet 20,000 series.

The blocks of all partitions in one thread, as in a flow's worker, fed with records as a flow reads them; with 1
partition, and with 8. In both orders: series that are there when detectors come, announced by control records once a
second; and detectors that are there when series come, a record of 1,000 new ones after the other. CPU seconds of
decoding and compiling the configs, which the reader of their log does; of matching, by the worker; the longest time for
which it kept the worker from judging, where the control records of a second come to all partitions at once; and the
seconds of log time until every detector was there. Once more with selectors of the same forms of which no two are the
same text, so that nothing can be asked once for all.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from connectors.catalogue import Topics
from connectors.codec.encode import encode_labels, encode_write_request
from connectors.codec.series_hash import series_hash
from connectors.detector import DetectorConfig, DetectorRevision
from connectors.messages import CONTROL_HEADER, DEFAULT_TENANT, ControlRecord, Header
from connectors.received import Received
from flows.block import Block
from flows.chunks import Chunk
from flows.config_logs import compile_ahead, decode_revision
from flows.decode import Decoder
from flows.metrics import YOUNG_OBJECTS
from flows.notices import Notices
from flows.revisions import CompileOnce
from flows.settings import FlowSettings
from flows.warm import warm
from tests.benchmarks.load import START_MS

DETECTORS, SERIES = 10_000, 20_000
SERIES_PER_RECORD = 1_000
METRICS, INSTANCES = 400, 50
SELECTORS = (
    'metric_{metric}_total{{job="job-{job}"}}',
    '{{__name__=~"metric_{metric}_.*",env!~"dev|test",instance="host-{instance}"}}',
    'metric_{metric}_total{{pod=~"checkout-{instance}-.*"}}',
    '{{instance="host-{instance}",job=~"job-(1|2|{job})"}}',
    '{{__name__="metric_{metric}_total",env=~"dev|test"}}',
)
WIDE = '{__name__=~"metric_.+"}'
SWEEP_S = 61
"""So long control records go on, so that the sweep of each minute meets all of them too."""
WIDE_EVERY = 1_000
"""One detector of so many watches everything."""


class Logged(NamedTuple):
    """What the decoder asks for."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]


class Met(NamedTuple):
    """What it took until all had met."""

    compiling_s: float
    matching_s: float
    longest_hold_up_s: float
    log_time_s: int
    lanes: int


def labels_of(number: int) -> dict[str, str]:
    """Ten labels: each metric on each instance."""
    metric, instance = number % METRICS, number // METRICS % INSTANCES
    return {
        "__name__": f"metric_{metric}_total",
        "cluster": "prod-eu-1",
        "container": f"container-{number % 7}",
        "env": ("prod", "prod", "prod", "dev", "test")[number % 5],
        "instance": f"host-{instance}",
        "job": f"job-{metric % 17}",
        "namespace": f"team-{metric % 11}",
        "pod": f"checkout-{instance}-{number:06x}",
        "region": "eu-central-1",
        "zone": f"zone-{instance % 3}",
    }


def selector_of(number: int, *, distinct: bool) -> str:
    """As people write them: names, labels, beginnings, alternatives, and now and then everything.

    ``distinct``: each excludes a container of its own besides, which none of the series is in.
    """
    selector = WIDE
    if number % WIDE_EVERY:
        form = SELECTORS[number % len(SELECTORS)]
        selector = form.format(metric=number % METRICS, job=number % METRICS % 17, instance=number % INSTANCES)
    return f'{selector[:-1]},container!="gone-{number}"}}' if distinct else selector


def revision_of(number: int, *, distinct: bool = False) -> DetectorRevision:
    """One detector."""
    selector = selector_of(number, distinct=distinct)
    config = DetectorConfig(name=f"detector {number}", kind="mad", selector=selector, threshold=4.0 + 1e-4 * number)
    return DetectorRevision(detector_id=f"d{number}", base_revision=0, config=config, author="benchmark", time_ms=0)


class Worker:
    """The blocks of all partitions, and what the reader of the detector log has done before."""

    def __init__(self, partitions: int, log: Sequence[bytes]) -> None:
        compiled, limits = CompileOnce(), FlowSettings(partitions=partitions).limits
        decode_revision.cache_clear()
        before = time.thread_time()
        compile_ahead([Received("", 0, at, 0, None, value, []) for at, value in enumerate(log)], compiled, Notices())
        self.compiling_s = time.thread_time() - before
        self.decoder = Decoder(3600, 10**6)
        self.blocks = [
            Block(Topics(), limits, lambda start, end: list(map(decode_revision, log[start:end])), compiled)
            for _ in range(partitions)
        ]
        self.begin()

    def control(self, detectors_offset: int) -> None:
        """The second hand, to all partitions at once."""
        self.log_time_s += 1
        control = ControlRecord(
            time_ms=START_MS + 1000 * self.log_time_s, detectors_offset=detectors_offset, feedback_offset=0
        )
        header = [(CONTROL_HEADER, b"1")]
        self._take([Logged("", p, 0, None, control.encode(), header) for p in range(len(self.blocks))])

    def series(self, numbers: range) -> None:
        """Their first samples, a record for each partition; the first record of all is what holds up."""
        parts: dict[int, list[tuple[dict[str, str], list[tuple[int, float]]]]] = {}
        for number in numbers:
            labels = labels_of(number)
            partition = series_hash(encode_labels(labels), DEFAULT_TENANT) % len(self.blocks)
            parts.setdefault(partition, []).append((labels, [(START_MS + 1000 * self.log_time_s, 1.0)]))
        self._take([Logged("", p, 0, None, encode_write_request(mine), []) for p, mine in parts.items()])

    def _take(self, records: list[Logged]) -> None:
        chunks = [(int(key), found) for key, found in self.decoder.decode(records)]
        took_s = sum(self._time(self.blocks[partition], found) for partition, found in chunks)
        self.cpu_s += took_s
        self.longest_hold_up_s = max(self.longest_hold_up_s, took_s)

    @staticmethod
    def _time(block: Block, chunks: list[Chunk]) -> float:
        before = time.thread_time()
        block.take(chunks)
        return time.thread_time() - before

    def begin(self) -> None:
        """Count from here."""
        self.cpu_s = self.longest_hold_up_s = 0.0
        self.log_time_s = 0

    @property
    def met(self) -> Met:
        """What was counted."""
        lanes = sum(len(block.watch.routes.lanes) for block in self.blocks)
        return Met(self.compiling_s, self.cpu_s, self.longest_hold_up_s, self.log_time_s, lanes)


def feed(worker: Worker, series: int) -> None:
    """All series, a record after the other."""
    for first in range(0, series, SERIES_PER_RECORD):
        worker.series(range(first, min(first + SERIES_PER_RECORD, series)))


def detectors_come(partitions: int, log: Sequence[bytes], series: int) -> Met:
    """The series are there."""
    worker = Worker(partitions, log)
    worker.control(0)
    feed(worker, series)
    worker.begin()
    while any(block.configuration.offset < len(log) for block in worker.blocks):
        worker.control(len(log))
    met = worker.met
    while worker.log_time_s <= met.log_time_s + SWEEP_S:
        worker.control(len(log))
    return met._replace(longest_hold_up_s=max(met.longest_hold_up_s, worker.longest_hold_up_s))


def series_come(partitions: int, log: Sequence[bytes], series: int) -> Met:
    """The detectors are there."""
    worker = Worker(partitions, log)
    worker.control(len(log))
    worker.begin()
    feed(worker, series)
    met = worker.met
    while worker.log_time_s <= SWEEP_S:
        worker.control(len(log))
    return met._replace(longest_hold_up_s=max(met.longest_hold_up_s, worker.longest_hold_up_s))


def run(detectors: int, series: int) -> dict[str, dict[str, float]]:
    """Both orders, with one partition and with eight, and with equal selectors among them or none."""
    warm()
    found: dict[str, dict[str, float]] = {}
    for distinct in (False, True):
        log = [revision_of(number, distinct=distinct).encode() for number in range(detectors)]
        name = ", all selectors different" if distinct else ""
        for partitions in (1, 8):
            for order in (detectors_come, series_come):
                gc.collect()
                gc.freeze()  # this and the next as the flow does at its start
                gc.set_threshold(YOUNG_OBJECTS)
                found[f"{order.__name__}, {partitions} partitions{name}"] = order(partitions, log, series)._asdict()
    return found


def main(arguments: Sequence[str]) -> None:
    """Run and print."""
    counts = [int(argument) for argument in arguments if not argument.startswith("--")] or [DETECTORS, SERIES]
    found = run(*counts)
    if "--json" in arguments:
        print(json.dumps(found))
        return
    for name, figures in found.items():
        print(f"{name}: " + ", ".join(f"{key} {value:,.4g}" for key, value in figures.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
