from __future__ import annotations

from pathlib import Path

import pytest

from connectors.errors import TocsinError
from connectors.ingest_settings import IngestSettings
from connectors.logs import LogSettings
from connectors.settings import KafkaSettings, Settings, authority, read_settings
from tests.settings_page import own_fields, settings_classes, variable


def complaint(monkeypatch: pytest.MonkeyPatch, settings: type[Settings], **values: str) -> str:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TocsinError) as raised:
        read_settings(settings)
    return str(raised.value)


@pytest.mark.parametrize(
    ("settings", "name", "value", "wanted"),
    [
        (KafkaSettings, "TOCSIN_PARTITIONS", "0", "must be a whole number from 1 to 4096"),
        (KafkaSettings, "TOCSIN_PARTITIONS", "", "must be a whole number from 1 to 4096"),
        (KafkaSettings, "TOCSIN_PARTITIONS", "1.5", "must be a whole number from 1 to 4096"),
        (KafkaSettings, "TOCSIN_TOPIC_PREFIX", "a b", "must be text that matches ^[a-zA-Z0-9._-]+$"),
        (KafkaSettings, "TOCSIN_DELIVERY_TIMEOUT_S", "nan", "must be a number of at least 1"),
        (KafkaSettings, "TOCSIN_DELIVERY_TIMEOUT_S", "inf", "must be a number of at least 1"),
        (KafkaSettings, "TOCSIN_DELIVERY_TIMEOUT_S", "0.05", "must be a number of at least 1"),
        (KafkaSettings, "TOCSIN_KAFKA", "", "'' is not host:port"),
        (KafkaSettings, "TOCSIN_KAFKA", "a:1,b", "'b' is not host:port"),
        (KafkaSettings, "TOCSIN_KAFKA", "::1:9092", "'::1:9092' is not host:port: an IPv6 address stands in brackets"),
        (KafkaSettings, "TOCSIN_KAFKA", "a:70000", "'a:70000' is not host:port"),
        (LogSettings, "TOCSIN_LOG_LEVEL", "LOUD", "must be one of DEBUG, INFO, WARNING, ERROR"),
        (IngestSettings, "TOCSIN_HOST", " ", "must be an address or a name"),
        (IngestSettings, "TOCSIN_INGEST_PORT", "abc", "must be a whole number from 0 to 65535"),
    ],
)
def test_a_bad_value_is_one_line_with_variable_value_and_what_is_right(
    monkeypatch: pytest.MonkeyPatch, settings: type[Settings], name: str, value: str, wanted: str
) -> None:
    said = complaint(monkeypatch, settings, **{name: value})
    assert said.startswith(f"{name}={value}: {wanted}")
    assert said.endswith(f"({settings.model_fields[name.removeprefix('TOCSIN_').lower()].description})")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("host", "stands"), [("127.0.0.1", "127.0.0.1:80"), ("localhost", "localhost:80"), ("::1", "[::1]:80")]
)
def test_an_address_as_it_stands_in_a_url(host: str, stands: str) -> None:
    assert authority(host, 80) == stands


def test_every_bad_variable_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    said = complaint(monkeypatch, KafkaSettings, TOCSIN_PARTITIONS="x", TOCSIN_REPLICATION_FACTOR="y")
    assert [line.partition("=")[0] for line in said.splitlines()] == ["TOCSIN_PARTITIONS", "TOCSIN_REPLICATION_FACTOR"]


def test_what_is_wrong_of_all_together_stands_as_it_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said = complaint(monkeypatch, IngestSettings, TOCSIN_INGEST_MAX_IN_FLIGHT_BYTES="4096")
    assert said.startswith("TOCSIN_INGEST_MAX_IN_FLIGHT_BYTES: 4096 is less than one request may take")


@pytest.mark.parametrize("settings", settings_classes(), ids=lambda found: found.__name__)
def test_every_number_of_every_process_refuses_nonsense_by_name(
    monkeypatch: pytest.MonkeyPatch, settings: type[Settings]
) -> None:
    for name, field in own_fields(settings).items():
        if field.annotation in {int, float}:
            with monkeypatch.context() as patch:
                said = complaint(patch, settings, **{variable(settings, name): "nan"})
                assert said.startswith(f"{variable(settings, name)}=nan: must be a "), said


@pytest.mark.parametrize("settings", settings_classes(), ids=lambda found: found.__name__)
def test_every_path_of_every_process_refuses_to_be_empty(
    monkeypatch: pytest.MonkeyPatch, settings: type[Settings]
) -> None:
    """An empty TOCSIN_HOME would be the working folder: a clone, full of logs and stores."""
    for name, field in own_fields(settings).items():
        if "Path" in str(field.annotation):
            for empty in ("", " "):
                with monkeypatch.context() as patch:
                    said = complaint(patch, settings, **{variable(settings, name): empty})
                    assert said.startswith(f"{variable(settings, name)}={empty}: must be a path"), said


@pytest.mark.parametrize("settings", settings_classes(), ids=lambda found: found.__name__)
def test_every_address_to_listen_on_refuses_to_be_empty(
    monkeypatch: pytest.MonkeyPatch, settings: type[Settings]
) -> None:
    if "host" in own_fields(settings):
        assert complaint(monkeypatch, settings, TOCSIN_HOST="").startswith("TOCSIN_HOST=: must be ")


def test_a_path_but_an_empty_one_may_be_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_BROKER_STATUS_FILE", "/nowhere")
    assert read_settings(IngestSettings).broker_status_file == Path("/nowhere")
