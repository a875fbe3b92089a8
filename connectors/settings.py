"""Settings, read from the environment and validated whole at start; here how, and those that all processes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from connectors.catalogue import Topics
from connectors.errors import TocsinError

PREFIX = "TOCSIN_"
MAX_PORT = 65_535


def is_ipv6(host: str) -> bool:
    """Whether this is an IPv6 address, which no name and no other address can be taken for."""
    return ":" in host


def authority(host: str, port: int) -> str:
    """Host and port as they stand in a URL: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if is_ipv6(host) else f"{host}:{port}"


def _servers(text: str) -> str:
    """Refuse what is not a list of addresses."""
    for server in text.split(","):
        host, _, port = server.strip().rpartition(":")
        if not (host and port.isascii() and port.isdecimal() and 1 <= int(port) <= MAX_PORT):
            message = f"{server.strip()!r} is not host:port"
            raise ValueError(message)
        if is_ipv6(host) and not (host.startswith("[") and host.endswith("]")):
            message = f"{server.strip()!r} is not host:port: an IPv6 address stands in brackets, as [::1]:9092"
            raise ValueError(message)
    return text


Servers = Annotated[str, AfterValidator(_servers)]
"""Addresses of Kafka, ``host:port[,host:port]``."""


def _named(path: object) -> object:
    """Refuse an empty path, which would silently mean the working folder."""
    if isinstance(path, str) and not path.strip():
        message = "must be a path, . for the working folder"
        raise ValueError(message)
    return path


NamedPath = Annotated[Path, BeforeValidator(_named)]
"""A path that somebody named: not empty."""


def _address(host: str) -> str:
    """Refuse an empty address, which would silently mean all of the machine's."""
    if not host.strip():
        message = "must be an address or a name, 0.0.0.0 for every address of this machine"
        raise ValueError(message)
    return host


Host = Annotated[str, AfterValidator(_address), Field(description="address to listen on")]
"""Where a process listens."""


class Settings(BaseSettings):
    """Base of all settings: from variables with our prefix, immutable, no NaN and nothing infinite."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, allow_inf_nan=False)


class KafkaSettings(Settings):
    """Where Kafka is and how the topics are laid out."""

    kafka: Annotated[Servers, Field(description="bootstrap servers, host:port[,host:port]")] = "127.0.0.1:9092"
    topic_prefix: Annotated[
        str, Field(pattern=r"^[a-zA-Z0-9._-]+$", max_length=200, description="first part of every topic name")
    ] = "tocsin"
    partitions: Annotated[int, Field(ge=1, le=4096, description="partitions of the topics that have many")] = 8
    replication_factor: Annotated[int, Field(ge=1, le=16, description="replicas of every topic")] = 1
    delivery_timeout_s: Annotated[float, Field(ge=1, description="a send not confirmed by then has failed")] = 30.0

    @property
    def topics(self) -> Topics:
        """All topic names."""
        return Topics(self.topic_prefix)

    @property
    def bootstrap(self) -> list[str]:
        """Bootstrap servers as kafka-python takes them."""
        return [server.strip() for server in self.kafka.split(",")]


S = TypeVar("S", bound=BaseSettings)


def read_settings(settings: type[S]) -> S:
    """The settings of this class from the environment.

    Raises ``TocsinError`` with a line for each bad variable: its name, its value, what would be right.
    """
    try:
        return settings()
    except ValidationError as error:
        raise TocsinError("\n".join(complaints(settings, error))) from error


def complaints(settings: type[BaseSettings], error: ValidationError) -> Iterator[str]:
    """A line for each bad setting; what a validator of ours said stands as it is."""
    for found in error.errors():
        said = str(found["msg"]).removeprefix("Value error, ")
        if not found["loc"]:
            yield said
            continue
        name = str(found["loc"][0])
        field = settings.model_fields[name]
        wrong = said if found["type"] == "value_error" else f"must be {_wanted(field)}"
        given = "***" if field.annotation is SecretStr else found["input"]
        yield f"{PREFIX}{name.upper()}={given!s}: {wrong} ({field.description})"


def _wanted(field: FieldInfo) -> str:
    """What a value of this field may be, in words."""
    if get_origin(field.annotation) is Literal:
        return f"one of {', '.join(get_args(field.annotation))}"
    bounds = {key: value for bound in field.metadata for key, value in _bounds(bound)}
    if "pattern" in bounds:
        return f"text that matches {bounds['pattern']}"
    kinds: dict[Any, str] = {int: "a whole number", float: "a number", Path: "a path", str: "text"}
    kind = kinds.get(field.annotation, "a value that fits")
    if {"ge", "le"} <= bounds.keys():
        return f"{kind} from {bounds['ge']} to {bounds['le']}"
    return " ".join([kind, *(f"{word} {bounds[key]}" for key, word in WORDS.items() if key in bounds)])


WORDS = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}


def _bounds(bound: Any) -> Iterator[tuple[str, Any]]:
    """The limits that one piece of a field's metadata sets, by pydantic's names."""
    for key in (*WORDS, "pattern"):
        if getattr(bound, key, None) is not None:
            yield key, getattr(bound, key)
