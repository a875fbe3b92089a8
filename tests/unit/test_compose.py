"""docker-compose.yml and deploy/Dockerfile against the code: same topics, same settings, commands that exist."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.ingest import SHUTDOWN_S
from connectors.kafka_clients import MAX_REQUEST_BYTES
from connectors.renewing_producer import CLOSE_TIMEOUT_S
from connectors.settings import KafkaSettings
from tests.settings_page import settings_classes, variable

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "kafka"}
SERVING = {
    "ingest": "TOCSIN_INGEST_PORT",
    "flow": "TOCSIN_FLOW_PORT",
    "logs": "TOCSIN_LOGS_PORT",
    "api": "TOCSIN_API_PORT",
}
MESSAGE_MAX_BYTES = 1_048_588
"""Kafka's default for message.max.bytes, which the compose file leaves as it is."""


def environment_of(name: str) -> dict[str, str]:
    return {key: str(value) for key, value in SERVICES[name].get("environment", {}).items()}


def defaults() -> Iterator[tuple[str, Any]]:
    for settings in settings_classes():
        for name, field in settings.model_fields.items():
            yield variable(settings, name), field.default


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, _ in defaults():
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", OURS)
def test_same_topics_with_the_same_settings_as_the_code(name: str, clean_environment: pytest.MonkeyPatch) -> None:
    here = KafkaSettings()
    for key, value in environment_of(name).items():
        clean_environment.setenv(key, value)
    there = KafkaSettings()
    assert there.topics.specs() == here.topics.specs()
    assert (there.partitions, there.topic_prefix) == (here.partitions, here.topic_prefix)
    assert there.kafka == "kafka:9092"


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_and_its_value_is_taken(name: str, clean_environment: pytest.MonkeyPatch) -> None:
    known = {key for key, _ in defaults()}
    assert set(environment_of(name)) <= known
    for key, value in environment_of(name).items():
        clean_environment.setenv(key, value)
    for settings in settings_classes():
        settings()


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_a_module_that_can_be_run(name: str) -> None:
    module, *_ = SERVICES[name]["command"]
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    assert "__main__" in {
        comparator.value
        for node in ast.walk(ast.parse(Path(found.origin).read_text()))
        if isinstance(node, ast.Compare)
        for comparator in node.comparators
        if isinstance(comparator, ast.Constant)
    }


@pytest.mark.parametrize(("name", "setting"), SERVING.items())
def test_health_and_published_ports_are_those_of_the_settings(name: str, setting: str) -> None:
    port = dict(defaults())[setting]
    assert f"http://127.0.0.1:{port}/ready" in SERVICES[name]["healthcheck"]["test"][-1]
    compile(SERVICES[name]["healthcheck"]["test"][-1], name, "exec")
    assert all(published.endswith(f":{port}") for published in SERVICES[name].get("ports", []))


def test_nothing_starts_before_what_it_needs() -> None:
    def needs(name: str) -> set[str]:
        direct = set(SERVICES[name].get("depends_on", {}))
        return direct.union(*(needs(other) for other in direct))

    assert all("kafka" in needs(name) for name in OURS)
    assert all("topics" in needs(name) for name in OURS if name != "topics")
    for service in OURS.values():
        for other, how in service["depends_on"].items():
            waited_for = "service_healthy" if "healthcheck" in SERVICES[other] else "service_completed_successfully"
            assert how["condition"] == waited_for


def test_state_is_on_volumes() -> None:
    mounts = {name: service["volumes"] for name, service in SERVICES.items() if "volumes" in service}
    ours = {name: [f"{name}:/var/lib/tocsin"] for name in ("flow", "logs", "api")}
    assert mounts == {"kafka": ["kafka:/var/lib/kafka/data"], **ours}
    assert environment_of("kafka")["KAFKA_LOG_DIRS"] == "/var/lib/kafka/data"
    assert all(environment_of(name)["TOCSIN_HOME"] == "/var/lib/tocsin" for name in ours)
    assert set(COMPOSE["volumes"]) == {"kafka", *ours}
    assert "VOLUME" not in DOCKERFILE  # it would give an anonymous volume to containers that keep nothing


def test_a_stop_is_noticed_and_gives_ingest_time_to_send_what_it_took() -> None:
    assert SERVICES["flow"]["init"] is SERVICES["logs"]["init"] is True
    grace_s = int(SERVICES["ingest"]["stop_grace_period"].removesuffix("s"))
    assert grace_s >= SHUTDOWN_S + 2 * CLOSE_TIMEOUT_S


def test_images_are_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    for image in {service["image"] for service in SERVICES.values()} | set(bases):
        assert re.search(r":\d+\.\d+\.\d+", image), image
    assert {service["image"] for service in OURS.values()} == {"tocsin:0.1.0"}


def test_kafka_takes_the_largest_request_of_ours() -> None:
    assert not {"KAFKA_MESSAGE_MAX_BYTES"} & set(environment_of("kafka"))
    assert MAX_REQUEST_BYTES <= MESSAGE_MAX_BYTES
    assert environment_of("kafka")["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_the_image_installs_hashed_and_runs_as_nobody_special() -> None:
    assert "--require-hashes" in DOCKERFILE
    assert re.search(r"^USER tocsin$", DOCKERFILE, re.MULTILINE)
    assert DOCKERFILE.index("USER tocsin") < DOCKERFILE.index("RUN tocsin warm")


def test_the_image_holds_what_it_copies() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        name for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
