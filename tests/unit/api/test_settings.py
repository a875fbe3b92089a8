import pytest
from pydantic import ValidationError

from api.settings import ApiSettings


def test_the_environment_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"API_PORT": "8123", "KAFKA": "k:1", "API_MAX_CLIENTS": "3", "HOST": "::1"}.items():
        monkeypatch.setenv(f"TOCSIN_{name}", value)
    settings = ApiSettings()
    assert (settings.api_port, settings.kafka, settings.api_max_clients, settings.host) == (8123, "k:1", 3, "::1")


@pytest.mark.parametrize(
    ("text", "origins"),
    [("", set()), ("*", {"*"}), (" https://A.example/, http://b:1 ,", {"https://a.example", "http://b:1"})],
)
def test_origins(text: str, origins: set[str]) -> None:
    assert ApiSettings(api_origins=text).origins == origins


@pytest.mark.parametrize("name", ["api_recent_anomalies", "api_max_clients", "api_client_queue", "api_max_writes"])
def test_every_bound_is_positive(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        ApiSettings.model_validate({name: 0})
