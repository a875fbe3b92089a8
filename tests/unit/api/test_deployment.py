import logging

from api.app import create_app
from api.settings import ApiSettings
from connectors.clock import wall_clock_ms
from tests.apis import ask

APP = create_app(ApiSettings(kafka="127.0.0.1:1", environment="staging", commit="abc"), lambda: wall_clock_ms() + 5_000)


def test_it_says_what_it_is() -> None:
    told = ask(APP, "GET", "/api/deployment").json()
    assert (told["environment"], told["commit"]) == ("staging", "abc")
    assert told["settings"]["kafka"] == "127.0.0.1:1"
    assert set(told["settings"]) == set(ApiSettings.model_fields)


def test_it_says_what_it_takes() -> None:
    told = ask(APP, "GET", "/api/system").json()
    assert told["uptime_s"] > 5.0
    assert told["cpu_s"] > 0.0
    assert told["memory_bytes"] > 10_000_000
    assert told["threads"] >= 1
    assert told["open_files"] > 2
    assert len(told["collections"]) == 3
    assert len(told["load"]) == 3


def test_the_log_level_can_be_set_while_it_runs() -> None:
    assert ask(APP, "PUT", "/api/log-level", json={"level": "ERROR"}).json() == {"level": "ERROR"}
    assert logging.getLogger().level == logging.ERROR
    assert ask(APP, "GET", "/api/log-level").json() == {"level": "ERROR"}
    refused = ask(APP, "PUT", "/api/log-level", json={"level": "LOUD"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "level")
    assert ask(APP, "GET", "/api/log-level").json() == {"level": "ERROR"}
