"""Every remote-write body that real senders sent is accepted, and read back from Kafka bit for bit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.ingests import RunningIngest, running

pytestmark = [pytest.mark.data, pytest.mark.integration]

CAPTURES = [
    path
    for sender in ("prom242", "prom314-v2", "pypi-npm-rw")
    for path in sorted((Path(os.environ["TOCSIN_DATA"]) / "captures" / sender).glob("*.json"))
]


@pytest.fixture(scope="module")
def ingest(broker: str) -> Iterator[RunningIngest]:
    settings = KafkaSettings(kafka=broker, topic_prefix="captures", partitions=4)
    create_topics(settings)
    with running(settings) as running_ingest:
        yield running_ingest


def test_there_are_captures() -> None:
    assert len(CAPTURES) >= 13


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_capture(ingest: RunningIngest, path: Path) -> None:
    ingest.assert_taken(path, tenant=f"{path.parent.name}-{path.stem}")
