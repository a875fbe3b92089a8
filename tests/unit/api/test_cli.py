from __future__ import annotations

from importlib import metadata

import pytest
from typer.testing import CliRunner

from api import default_detectors
from api.app import create_app
from api.cli import app
from api.settings import ApiSettings
from connectors import startup
from connectors.catalogue import Topics
from connectors.settings import KafkaSettings
from tests.brokers import free_port

RUN = CliRunner()


def test_every_command_has_a_word_of_help() -> None:
    shown = RUN.invoke(app, ["--help"]).output
    assert [command for command in ("run", "tail", "topics", "warm", "version") if command not in shown] == []


def test_version() -> None:
    assert RUN.invoke(app, ["version"]).output.strip() in {"0.1.0", "unreleased"}


def test_a_version_that_nobody_installed_is_called_the_same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert RUN.invoke(app, ["version"]).output.strip() == create_app(ApiSettings()).version == "unreleased"


def test_topics_are_created_and_then_found(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_KAFKA", broker)
    monkeypatch.setenv("TOCSIN_TOPIC_PREFIX", "cli")
    made, found = (RUN.invoke(app, ["topics"]) for _ in range(2))
    assert (made.exit_code, found.exit_code) == (0, 0)
    for spec in Topics("cli").specs():
        assert f"created {spec.name} " in made.output
        assert f"found {spec.name} " in found.output


def test_topics_of_a_broker_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_KAFKA", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("TOCSIN_DELIVERY_TIMEOUT_S", "1")
    failed = RUN.invoke(app, ["topics"])
    assert failed.exit_code == 1
    assert "TOCSIN_KAFKA" in failed.output


def test_default_detectors_as_a_command(kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "configure_logging", lambda _: None)  # it would replace pytest's handlers
    monkeypatch.setenv("TOCSIN_KAFKA", kafka_settings.kafka)
    monkeypatch.setenv("TOCSIN_TOPIC_PREFIX", kafka_settings.topic_prefix)
    assert default_detectors.main() == 0
    monkeypatch.setenv("TOCSIN_KAFKA", f"127.0.0.1:{free_port()}")
    monkeypatch.setattr(default_detectors, "READ_TIMEOUT_S", 0.2)
    assert default_detectors.main() == 1


def test_a_run_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("TOCSIN_HOME", str(tmp_path))
    monkeypatch.setenv("TOCSIN_HOST", "192.0.2.1")
    refused = RUN.invoke(app, ["run"])
    assert refused.exit_code == 1
    assert "error: TOCSIN_HOST=192.0.2.1: not an address of this machine" in refused.output


@pytest.mark.parametrize("command", ["run", "tail"])
def test_bad_settings_are_a_line_each(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("TOCSIN_API_PORT", "abc")
    monkeypatch.setenv("TOCSIN_READY_TIMEOUT_S", "nan")
    refused = RUN.invoke(app, [command])
    assert refused.exit_code == 1
    assert [line.partition("=")[0] for line in refused.output.splitlines()] == [
        "error: TOCSIN_API_PORT",
        "error: TOCSIN_READY_TIMEOUT_S",
    ]


def test_topics_with_a_bad_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_PARTITIONS", "0")
    refused = RUN.invoke(app, ["topics"])
    assert (refused.exit_code, refused.output.partition(":")[0]) == (1, "TOCSIN_PARTITIONS=0")
