"""Every push of logs that real senders sent is accepted, and read back from Kafka bit for bit."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.codec.stream import labels_text
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.ingests import RunningIngest, running
from tests.pushes import Line, raw_push, written

pytestmark = [pytest.mark.data, pytest.mark.integration]

CAPTURES = sorted((Path(os.environ["TOCSIN_DATA"]) / "captures" / "loki-push").glob("*.json"))


@pytest.fixture(scope="module")
def ingest(broker: str) -> Iterator[RunningIngest]:
    settings = KafkaSettings(kafka=broker, topic_prefix="log-captures", partitions=4)
    create_topics(settings)
    with running(settings) as running_ingest:
        yield running_ingest


def sent(body: bytes) -> dict[str, list[Line]]:
    """Lines of a JSON body by their labels, read in the plainest way."""
    text = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
    found: dict[str, list[Line]] = {}
    for stream in json.loads(text)["streams"]:
        for time_ns, line, *metadata in stream["values"]:
            pairs = tuple((name.encode(), value.encode()) for part in metadata for name, value in part.items())
            found.setdefault(labels_text(stream["stream"]), []).append((int(time_ns), line.encode(), pairs))
    return found


def test_there_are_captures() -> None:
    assert len(CAPTURES) >= 5


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_capture(ingest: RunningIngest, path: Path) -> None:
    said = json.loads(path.read_text())
    headers = {name: value for name, value in said["headers"] if name not in ("Host", "Content-Length")}
    body = path.with_suffix(".body").read_bytes()
    assert len(body) == said["len"]
    answer = raw_push(ingest, body, headers, f"capture-{path.stem}")
    assert (answer.status, answer.body) == (204, b"")
    assert sent(body)
    assert written(ingest, f"capture-{path.stem}") == sent(body)
