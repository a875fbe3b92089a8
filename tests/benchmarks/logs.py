"""``python -m tests.benchmarks.logs [--json]``: lines per CPU second of the logs flow, and how right groups are.

The flow is the process of ``make run``, fed through Kafka: decompress, decode, mask, count, mine, write. ``naive``
masks the same lines in plain Python, by the twin of the tests. With ``TOCSIN_DATA`` the grouping accuracy on Loghub
is told: the share of lines whose group is exactly the true one (Zhu et al., "Tools and Benchmarks for Automated Log
Parsing", ICSE-SEIP 2019).
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from connectors.codec.encode import encode_labels
from connectors.codec.series_hash import series_hash
from connectors.codec.stream import Entry, encode_stream, labels_text
from connectors.kafka_clients import confirm, make_producer
from connectors.messages import CONTROL_HEADER, DEFAULT_TENANT, ControlRecord
from connectors.settings import KafkaSettings
from tests.benchmarks.flow_process import FlowProcess, broker_with_topics
from tests.benchmarks.host import watch_host
from tests.loghub import accuracy, systems
from tests.naive_mining import mask

PARTITIONS, STREAMS, LINES = 8, 200, 250
"""Lines of a stream in a record, as agents gather them in a second."""
WARM_STEPS, STEPS = 4, 40
STEP_MS, START_MS = 10_000, 1_767_225_600_000
NAIVE_LINES = 20_000
SHAPES = (
    "INFO  [http-{0}] c.shop.web.Access - GET /api/v1/orders/{1} 200 in {2} ms from 10.0.{3}.{4}",
    'level=info ts=2026-01-01T00:00:{0}Z caller=cart.go:{1} msg="cart stored" items={2} user={3}',
    '{{"time":"2026-01-01T00:00:{0}Z","level":"debug","msg":"cache hit","key":"k{1}","took_us":{2}}}',
    "WARN  [pool-{0}] c.shop.db.Pool - waited {1} ms for a connection, {2} of {3} in use",
    "ERROR [http-{0}] c.shop.pay.Client - payment {1} refused by bank: code {2}",
)


def records(step: int, rng: random.Random) -> Iterator[tuple[int, bytes]]:
    """Partition and value of every stream's record of a step."""
    for stream in range(STREAMS):
        labels = {"app": f"service-{stream % 40}", "pod": f"pod-{stream}", "namespace": "shop"}
        at_ns = 1_000_000 * (START_MS + STEP_MS * step)
        entries = [Entry(at_ns + n, _line(stream, rng).encode()) for n in range(LINES)]
        home = series_hash(encode_labels(labels), DEFAULT_TENANT)
        yield home % PARTITIONS, encode_stream(labels_text(labels), entries, home)


def _line(stream: int, rng: random.Random) -> str:
    shape = SHAPES[0 if rng.random() < 0.5 else rng.randrange(len(SHAPES))]
    return shape.format(*(rng.randrange(255) for _ in range(5))) + (" retried" if stream % 7 == 0 else "")


def feed(settings: KafkaSettings, steps: range, rng: random.Random) -> int:
    """Put steps into Kafka; how many bytes of lines and labels they are."""
    producer, futures, size = make_producer(settings, "feeder"), [], 0
    for step in steps:
        for partition, value in records(step, rng):
            size += len(value)
            futures.append(producer.send(settings.topics.logs, partition=partition, key=b"anonymous", value=value))
        now = ControlRecord(time_ms=START_MS + STEP_MS * (step + 1), detectors_offset=0, feedback_offset=0).encode()
        for partition in range(PARTITIONS):
            marked = [(CONTROL_HEADER, b"1")]
            futures.append(producer.send(settings.topics.logs, partition=partition, value=now, headers=marked))
    producer.flush()
    confirm(futures, 60)
    producer.close()
    return size


def run_flow() -> dict[str, float]:
    """The first steps, in which all is new, are not measured."""
    rng = random.Random(1)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = stack.enter_context(broker_with_topics(home, PARTITIONS))
        flow = stack.enter_context(FlowProcess(settings, home, ("logs",), port_variable="TOCSIN_LOGS_PORT"))
        flow.await_ready()
        feed(settings, range(WARM_STEPS), rng)
        _await_lines(flow, WARM_STEPS * STREAMS * LINES)
        os.kill(flow.process.pid, signal.SIGSTOP)
        size = feed(settings, range(WARM_STEPS, WARM_STEPS + STEPS), rng)
        os.kill(flow.process.pid, signal.SIGCONT)
        before_s, began_s = flow.cpu_s(), time.monotonic()
        _await_lines(flow, (WARM_STEPS + STEPS) * STREAMS * LINES)
        cpu_s, lines = flow.cpu_s() - before_s, STEPS * STREAMS * LINES
        return {
            "lines_per_cpu_second": lines / cpu_s,
            "lines_per_wall_second": lines / (time.monotonic() - began_s),
            "bytes_per_cpu_second": size / cpu_s,
            "patterns": flow.metrics()["tocsin_logs_patterns"],
        }


def _await_lines(flow: FlowProcess, lines: int) -> None:
    deadline_s = time.monotonic() + 600
    while flow.metrics()["tocsin_logs_lines_total"] < lines:
        flow.check(deadline_s, 0.2)


def run_naive() -> dict[str, float]:
    """Masking alone, in plain Python."""
    rng = random.Random(1)
    lines = [_line(n % STREAMS, rng).encode() for n in range(NAIVE_LINES)]
    began_s = time.process_time()
    for line in lines:
        mask(line)
    return {"lines_per_cpu_second": NAIVE_LINES / (time.process_time() - began_s)}


def main(arguments: Sequence[str]) -> None:
    """Run and print."""
    stolen_share = watch_host()
    flow, naive = run_flow(), run_naive()
    found: dict[str, object] = {
        "flow": {**flow, "stolen_share": stolen_share()}, "naive": naive,
        "ratio_flow_naive": flow["lines_per_cpu_second"] / naive["lines_per_cpu_second"],
    }  # fmt: skip
    if "TOCSIN_DATA" in os.environ:
        found["accuracy"] = {system.name: round(accuracy(system), 4) for system in systems()}
    if "--json" in arguments:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(name, value)


if __name__ == "__main__":
    main(sys.argv[1:])
