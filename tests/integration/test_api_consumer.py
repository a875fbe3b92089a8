"""Another system reads the anomalies topic with its own tools, in a process that imports nothing of ours."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import Phase, given, seed, settings

from api.schema import SCHEMA_PATH
from connectors.anomaly import Anomaly
from connectors.kafka_clients import confirm, make_producer
from connectors.settings import KafkaSettings
from tests import consumer
from tests.anomalies import anomalies, closed, make_anomaly
from tests.integration.test_api_feed import produce

pytestmark = pytest.mark.integration


def judge(kafka: KafkaSettings) -> tuple[int, consumer.Verdict]:
    command = [sys.executable, str(Path(consumer.__file__)), kafka.kafka, kafka.topics.anomalies, str(SCHEMA_PATH)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, consumer.Verdict(**json.loads(done.stdout))


def test_it_imports_nothing_of_ours() -> None:
    tree = ast.parse(Path(consumer.__file__).read_text(encoding="utf-8"))
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    roots = {name.partition(".")[0] for name in names if name}
    assert {"confluent_kafka", "jsonschema"} <= roots
    assert not roots & {"api", "connectors", "flows", "tests"}


def many_anomalies() -> list[Anomaly]:
    """A hundred events from the whole range of the contract, always the same."""
    found: list[Anomaly] = []

    @seed(7)
    @settings(max_examples=100, phases=[Phase.generate], database=None, deadline=None)
    @given(anomalies)
    def collect(event: Anomaly) -> None:
        found.append(event.model_copy(update={"id": f"{len(found):032x}"}))

    collect()
    return found


def test_whatever_the_contract_allows_is_read_and_valid(kafka_settings: KafkaSettings) -> None:
    stream = many_anomalies()
    assert len(stream) > 50
    produce(kafka_settings, stream)
    code, verdict = judge(kafka_settings)
    assert (code, verdict.problems) == (0, [])
    assert verdict.records == len(stream)
    assert verdict.last == {event.id: json.loads(event.encode()) for event in stream}


def test_the_last_event_of_an_id_wins_also_after_a_replay(kafka_settings: KafkaSettings) -> None:
    events = [make_anomaly(1, sequence) for sequence in range(4)]
    last = closed(events[-1])
    produce(kafka_settings, [*events, last, *events[1:3]])
    code, verdict = judge(kafka_settings)
    assert (code, verdict.records) == (0, 7)
    assert verdict.last == {last.id: json.loads(last.encode())}


def test_it_notices_what_is_wrong(kafka_settings: KafkaSettings) -> None:
    event = make_anomaly()
    producer = make_producer(kafka_settings, "test")
    bad = event.encode().replace(b'"version":1', b'"version":2')
    sent = [
        producer.send(kafka_settings.topics.anomalies, key=event.id.encode(), value=bad, partition=0),
        producer.send(kafka_settings.topics.anomalies, key=b"x", value=event.encode(), partition=0),
        producer.send(kafka_settings.topics.anomalies, key=event.id.encode(), value=event.encode(), partition=1),
    ]
    confirm(sent, kafka_settings.delivery_timeout_s)
    producer.close()
    code, verdict = judge(kafka_settings)
    assert code == 1
    text = "\n".join(verdict.problems)
    assert "$.version" in text
    assert "is not the id" in text
    assert "two partitions" in text
