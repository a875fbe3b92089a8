import pytest
from pydantic import ValidationError

from api.settings import ApiSettings
from connectors.settings import complaints


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


@pytest.mark.parametrize(
    "origin",
    [
        "foo",
        "a.example",
        "https://",
        "https://a.example/app",
        "ftp://a.example",
        "http://a:0",
        "http://a:99999",
        "https://*",
    ],
)
def test_an_origin_that_no_browser_sends_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ApiSettings(api_origins=f"https://fine.example, {origin}")
    [line] = complaints(ApiSettings, caught.value)
    assert line.startswith(
        f"TOCSIN_API_ORIGINS=https://fine.example, {origin}: '{origin}' is neither https://host[:port]"
    )


@pytest.mark.parametrize("origin", ["http://[::1]:8000", "HTTPS://A.example", "http://10.0.0.1", "*"])
def test_origins_that_browsers_send_are_taken(origin: str) -> None:
    assert ApiSettings(api_origins=origin).origins == {origin.lower()}


@pytest.mark.parametrize("name", ["api_recent_anomalies", "api_max_clients", "api_client_queue", "api_max_writes"])
def test_every_bound_is_positive(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        ApiSettings.model_validate({name: 0})


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9/health", "https://[::1]:8443/health", "http://broker/health"])
def test_an_address_that_can_be_asked(url: str) -> None:
    assert ApiSettings(api_broker_health=url).api_broker_health == url


@pytest.mark.parametrize(
    "url",
    [
        "broker:8004/health",
        "ftp://broker/health",
        "http://",
        "http:///health",
        "http://broker:port/health",
        "http://broker:99999/health",
        "http://bro\x00ker/health",
        "http://ü..de/health",
        "http://xn--/health",
        f"http://{'b' * 64}/health",
    ],
)
def test_an_address_that_cannot_be_asked_is_refused_at_the_start(url: str) -> None:
    """Else each change of a detector would end as an unexpected error."""
    [line] = complaints(ApiSettings, refused(url))
    assert line.startswith(f"TOCSIN_API_BROKER_HEALTH={url}: is not ")


def refused(url: str) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        ApiSettings(api_broker_health=url)
    return caught.value
