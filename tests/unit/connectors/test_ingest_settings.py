from __future__ import annotations

import pytest
from pydantic import ValidationError

from connectors.ingest_settings import IngestSettings


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_INGEST_PORT", "9001")
    monkeypatch.setenv("TOCSIN_INGEST_REQUEST_TIMEOUT_S", "2.5")
    settings = IngestSettings()
    assert (settings.ingest_port, settings.ingest_request_timeout_s) == (9001, 2.5)


def test_one_request_must_fit_into_the_budget() -> None:
    with pytest.raises(ValidationError, match="TOCSIN_INGEST_MAX_IN_FLIGHT_BYTES"):
        IngestSettings(ingest_max_in_flight_bytes=1_000_000)
