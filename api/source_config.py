"""What an operator writes of a data source. Secrets are taken and never given back: they are read as stars."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

import httpx
import orjson
from fastapi import Path
from pydantic import AfterValidator, Field, SecretStr

from api.settings import http_url
from connectors.messages import Message
from connectors.sources import loki, prometheus
from connectors.sources.client import Endpoint
from flows.validator import ConfigError

KEPT = "**********"
"""How secrets are read (as pydantic shows them). Written, it stands for the secret that is stored."""
NO_NUL = r"^[^\x00]*$"
"""PostgreSQL keeps no text with a zero character, and looks for none."""
TENANT_HEADER = "X-Scope-OrgID"
MAX_HEADERS = 32
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
OURS = frozenset({
    "accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "expect", "host",
    "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "x-scope-orgid",
})  # fmt: skip
"""Headers that the client itself sets, or that ``auth`` and ``tenant`` are for."""


NumbersQuery = Annotated[str, Field(min_length=1, max_length=8192, description="PromQL, or LogQL that gives numbers")]
WANTED = "must be told: nothing is stored for it, or what is belongs to another server"


class SourceKind(StrEnum):
    """Which API it speaks."""

    PROMETHEUS = "prometheus"
    LOKI = "loki"


API_PATHS = {SourceKind.PROMETHEUS: prometheus.API, SourceKind.LOKI: loki.API}
"""What clients add to ``url``."""


def _plain_url(text: str) -> str:
    http_url(text)
    url = httpx.URL(text)
    if url.userinfo:
        message = "must have no user or password: they go into auth"
        raise ValueError(message)
    if not text or url.query or url.fragment or "?" in text or "#" in text:
        message = "must be http[s]://host[:port][/path], without ? and #"
        raise ValueError(message)
    return text.rstrip("/")


def _sendable(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        message = "must be printable ASCII, as HTTP headers are"
        raise ValueError(message)
    return text


def _sendable_secret(secret: SecretStr) -> SecretStr:
    _sendable(secret.get_secret_value())
    return secret


def _header_name(name: str) -> str:
    if HEADER_NAME.fullmatch(name) is None or name.lower() in OURS:
        message = "must be the name of a header, and none of " + ", ".join(sorted(OURS))
        raise ValueError(message)
    return name


def _no_colon(text: str) -> str:
    if ":" in text:
        message = "must have no colon: it ends the name in the header"
        raise ValueError(message)
    return text


SourceId = Annotated[str, Path(max_length=64, pattern=NO_NUL, description="of a data source")]
Secret = Annotated[
    SecretStr,
    Field(max_length=8192, description="write-only; null or ********** on a change: what is stored"),
]
SendableSecret = Annotated[Secret, AfterValidator(_sendable_secret)]
Tenant = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_sendable)]
HeaderName = Annotated[str, AfterValidator(_header_name)]


class BasicAuth(Message):
    """User and password."""

    type: Literal["basic"]
    username: Annotated[str, Field(max_length=200), AfterValidator(_no_colon)]
    password: Secret | None = None


class BearerToken(Message):
    """A token."""

    type: Literal["bearer"]
    token: Annotated[SendableSecret, Field(min_length=1)] | None = None


class SourceConfig(Message):
    """A server that is asked, and what it is sent with every question."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=200, pattern=NO_NUL, description="for people; no two have the same"),
    ]
    kind: SourceKind
    url: Annotated[
        str,
        Field(max_length=2048, description="up to where /api/v1 or /loki/api/v1 begins"),
        AfterValidator(_plain_url),
    ]
    tenant: Annotated[Tenant | None, Field(description=f"sent as {TENANT_HEADER}")] = None
    headers: Annotated[
        dict[HeaderName, SendableSecret | None],
        Field(default_factory=dict, max_length=MAX_HEADERS, description="more headers; their values are secrets"),
    ]
    auth: Annotated[BasicAuth | BearerToken | None, Field(discriminator="type")] = None
    timeout_s: Annotated[float, Field(ge=1, le=120, description="how long an answer may keep still")] = 30.0

    def proposed(self, stored: SourceConfig | None) -> SourceConfig:
        """With the secrets that are stored; raises ``ConfigError``, also for an address that names the API as well."""
        path = API_PATHS[self.kind]
        if self.url.endswith(path) and (stored is None or stored.url != self.url):
            expected = f"must end before {path}, which is added: {self.url.removesuffix(path)}"
            raise ConfigError(field="url", value=self.url, expected=expected)
        return self.with_secrets_of(stored)

    def with_secrets_of(self, stored: SourceConfig | None) -> SourceConfig:
        """Secrets that are not told are those stored; raises ``ConfigError`` where there are none to take.

        None are taken along to another server: who may change an address could read them there.
        """
        same = stored is not None and origin_of(stored.url) == origin_of(self.url)
        known = _secrets(stored) if stored is not None and same else {}
        fields = self.model_dump()
        for (outer, name), secret in _secrets(self).items():
            if secret is None or secret.get_secret_value() == KEPT:
                kept = known.get((outer, name))
                if kept is None:
                    raise ConfigError(field=f"{outer}.{name}", value=None, expected=WANTED)
                fields[outer][name] = kept
        return SourceConfig.model_validate(fields)

    def revealed(self) -> str:
        """JSON with the secrets, for the store alone."""
        return orjson.dumps(self.model_dump(), default=_reveal).decode()

    def endpoint(self) -> Endpoint:
        """Where and with what it is asked."""
        headers = {name: value.get_secret_value() for name, value in self.headers.items() if value is not None}
        if self.tenant is not None:
            headers[TENANT_HEADER] = self.tenant
        basic, bearer = None, None
        match self.auth:
            case BasicAuth(username=username, password=SecretStr() as password):
                basic = (username, password.get_secret_value())
            case BearerToken(token=SecretStr() as token):
                bearer = token.get_secret_value()
        return Endpoint(self.url, headers, basic, bearer, timeout_s=self.timeout_s)


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Which server it is."""
    parsed = httpx.URL(url)
    return parsed.scheme, parsed.host, parsed.port


def _secrets(config: SourceConfig) -> Mapping[tuple[str, str], SecretStr | None]:
    """All secrets by their place; those of another user or sort of ``auth`` are others."""
    found: dict[tuple[str, str], SecretStr | None] = {
        ("headers", name): value for name, value in config.headers.items()
    }
    match config.auth:
        case BasicAuth(password=secret):
            found["auth", "password"] = secret
        case BearerToken(token=secret):
            found["auth", "token"] = secret
    return found


def _reveal(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    raise TypeError(type(value))
