from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from api.secrecy import HIDDEN, without_secrets
from api.source_config import KEPT, SourceConfig
from flows.validator import ConfigError

PLAIN: dict[str, Any] = {"name": "a", "kind": "prometheus", "url": "http://prometheus:9090/base/"}
BASIC = {"type": "basic", "username": "me", "password": "pass-word"}


def config(**changes: Any) -> SourceConfig:
    return SourceConfig.model_validate({**PLAIN, **changes})


def test_secrets_are_stars_everywhere_but_in_the_store_and_on_their_way() -> None:
    made = config(auth=BASIC, headers={"X-Key": "key-of-mine"}, tenant="team|b")
    for text in (made.model_dump_json(), repr(made), repr(made.endpoint())):
        assert "pass-word" not in text
        assert "key-of-mine" not in text
    shown = json.loads(made.encode())
    assert (shown["auth"]["password"], shown["headers"]) == (KEPT, {"X-Key": KEPT})
    assert SourceConfig.model_validate_json(made.revealed()) == made
    endpoint = made.endpoint()
    assert endpoint.url == "http://prometheus:9090/base"
    assert endpoint.headers == {"X-Key": "key-of-mine", "X-Scope-OrgID": "team|b"}
    assert (endpoint.basic, endpoint.bearer) == (("me", "pass-word"), None)
    assert config(auth={"type": "bearer", "token": "abc"}).endpoint().bearer == "abc"


@pytest.mark.parametrize("left_out", [None, KEPT])
def test_secrets_that_are_not_told_stay(left_out: str | None) -> None:
    stored = config(auth=BASIC, headers={"X-Key": "key-of-mine"})
    told = config(name="b", auth={**BASIC, "password": left_out}, headers={"X-Key": left_out})
    assert told.with_secrets_of(stored) == stored.model_copy(update={"name": "b"})
    path = config(url="http://prometheus:9090/other", auth={**BASIC, "password": left_out})
    assert path.with_secrets_of(stored).endpoint().basic == ("me", "pass-word")
    assert config(auth={**BASIC, "password": "new"}).with_secrets_of(stored).endpoint().basic == ("me", "new")
    assert config().with_secrets_of(stored).auth is None


@pytest.mark.parametrize("url", ["http://attacker:9090", "https://prometheus:9090", "http://prometheus:9091"])
def test_but_not_to_another_server(url: str) -> None:
    stored = config(auth=BASIC, headers={"X-Key": "key-of-mine"})
    with pytest.raises(ConfigError, match=r"auth\.password = None: must be told"):
        config(url=url, auth={**BASIC, "password": None}).with_secrets_of(stored)
    with pytest.raises(ConfigError, match=r"headers\.X-Key = None"):
        config(url=url, headers={"X-Key": None}).with_secrets_of(stored)
    with pytest.raises(ConfigError, match=r"auth\.token"):
        config(auth={"type": "bearer"}).with_secrets_of(stored)
    with pytest.raises(ConfigError, match=r"auth\.password"):
        config(auth={**BASIC, "password": None}).with_secrets_of(None)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"url": "ftp://a"}, "is not http"),
        ({"url": "file:///etc/passwd"}, "is not http"),
        ({"url": ""}, "must be http"),
        ({"url": "http://a:b@c"}, "no user or password"),
        ({"url": "http://a?x=1"}, "without"),
        ({"url": "http://a#x"}, "without"),
        ({"url": "http://a:99999"}, "port"),
        ({"url": "prometheus:9090"}, "is not http"),
        ({"kind": "graphite"}, "prometheus"),
        ({"tenant": "a\nb"}, "printable ASCII"),
        ({"headers": {"Host": "x"}}, "must be the name of a header"),
        ({"headers": {"authorization": "x"}}, "must be the name of a header"),
        ({"headers": {"a b": "x"}}, "must be the name of a header"),
        ({"headers": {"X-A": "a\r\nX-B: c"}}, "printable ASCII"),
        ({"auth": {"type": "bearer", "token": "é"}}, "printable ASCII"),
        ({"auth": {"type": "bearer", "token": ""}}, "at least 1"),
        ({"auth": {"type": "basic", "username": "a:b", "password": "c"}}, "no colon"),
        ({"timeout_s": 0.5}, "greater than"),
    ],
)
def test_what_cannot_be_asked_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        config(**changes)


def test_a_refusal_shows_no_secret() -> None:
    assert without_secrets(("auth", "basic", "password"), 123) == HIDDEN
    assert without_secrets(("headers", "X-A"), "b") == HIDDEN
    assert without_secrets(("auth",), {"type": "basic", "password": "a"}) == {"type": "basic", "password": HIDDEN}
    assert without_secrets((), [{"headers": {"a": "b"}}, "http://a:b@c/d"]) == [
        {"headers": HIDDEN},
        f"http://{HIDDEN}@c/d",
    ]
    assert without_secrets(("limit",), 5) == 5
    assert without_secrets(("auth",), "a") == without_secrets(("auth",), ["a"]) == HIDDEN
    assert without_secrets((), {"auth": "a", "name": "b"}) == {"auth": HIDDEN, "name": "b"}
    assert without_secrets(("auth",), None) is None
    assert without_secrets(("url",), "a:b@c:9090/d") == f"{HIDDEN}@c:9090/d"
    assert without_secrets(("selector",), 'a:b{c="d@e"}') == 'a:b{c="d@e"}'


@pytest.mark.parametrize(("kind", "path"), [("prometheus", "/api/v1"), ("loki", "/loki/api/v1/")])
def test_an_address_that_names_the_api_as_well_is_refused(kind: str, path: str) -> None:
    """It would be asked at .../api/v1/api/v1; one that an older version took can still be changed otherwise."""
    given = config(kind=kind, url=f"http://host:9090/base{path}")
    with pytest.raises(ConfigError, match=r"http://host:9090/base$") as refused:
        given.proposed(None)
    assert refused.value.field == "url"
    with pytest.raises(ConfigError):
        given.proposed(config(kind=kind))
    assert given.proposed(given) == given
    proxied = config(kind=kind, url="http://host/api/v1/namespaces/a/services/b/proxy")
    assert proxied.proposed(None) == proxied
