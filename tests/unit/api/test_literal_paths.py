"""What a 405 says of an address is true of each method, also where an address with a parameter fits too."""

from __future__ import annotations

import pytest

from api.app import create_app
from api.refusal import METHODS
from connectors.settings import KafkaSettings
from tests.apis import api_settings, ask

APP = create_app(api_settings(KafkaSettings(kafka="127.0.0.1:1", delivery_timeout_s=1.0)))


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/detectors/preview", {"POST"}),
        ("/api/detectors/lint", {"POST"}),
        ("/api/datasources/test", {"POST"}),
        ("/api/detectors/d", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("/api/detectors/d/detect", {"POST"}),
        ("/api/rules", {"GET", "HEAD"}),
        ("/alive", {"GET", "HEAD"}),
    ],
)
def test_a_method_is_refused_if_and_only_if_it_is_not_named(path: str, allowed: set[str]) -> None:
    named = set(ask(APP, "OPTIONS", path).headers["allow"].split(", "))
    assert named == allowed
    for method in METHODS:
        answer = ask(APP, method, path)
        assert (answer.status_code == 405) is (method not in named), (method, answer.text)
        if answer.status_code == 405:
            assert set(answer.headers["allow"].split(", ")) == named
