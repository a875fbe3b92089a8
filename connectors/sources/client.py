"""HTTP to one source: a pool of connections, time-outs, retries, and answers that are read as they come."""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn, Protocol, Self, TypeVar

import httpx

from connectors.errors import Rejected, SourceRefused, SourceUnreachable, TooLarge
from connectors.sources.address import AddressPolicy, GuardedTransport
from connectors.sources.inflate import ACCEPTED, Inflater
from connectors.sources.retry import PASSING, RETRYABLE, Retry

LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=30)
CONNECT_TIMEOUT_S = 5.0
CHUNK_BYTES = 65_536
MAX_ANSWER_BYTES = 512 * 1024 * 1024
"""Of one answer after decompression; it is never held whole, this only ends one that does not end."""
MAX_ERROR_BYTES = 4096
MAX_TOLD = 500
"""Characters of what a server said that are passed on."""
BROKEN = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
"""The connection failed; a server that takes too long would only be asked for more by a second try."""
Form = Iterable[tuple[str, str]]
T = TypeVar("T", covariant=True)  # noqa: PLC0105 - the usual name


class Sink(Protocol[T]):
    """Takes the bytes of an answer as they come; ``end`` gives what they say. Both raise ``ValueError`` of nonsense."""

    def feed(self, chunk: bytes) -> None:
        """Take some more."""

    def end(self) -> T:
        """Tell what it was."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a source is and what it is sent with every request; secrets are not in its ``repr``."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    basic: tuple[str, str] | None = field(default=None, repr=False)
    bearer: str | None = field(default=None, repr=False)
    timeout_s: float = 30.0
    """Between two pieces of an answer, the first among them."""
    deadline_s: float = 120.0
    """For a whole answer."""

    @property
    def shown(self) -> str:
        """The address without a password."""
        url = httpx.URL(self.url)
        return str(url.copy_with(userinfo=b"")).rstrip("/") if url.userinfo else self.url.rstrip("/")

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may show."""
        kept = [*self.headers.values(), *(self.basic or ())[1:], self.bearer or "", httpx.URL(self.url).password]
        if self.basic is not None:  # as it stands in the header, which a server may echo
            kept.append(b64encode(":".join(self.basic).encode()).decode())
        kept += [repr(text)[1:-1] for text in kept if text]  # as Python's own messages quote it
        return tuple(sorted((text for text in kept if len(text) > 3), key=len, reverse=True))


class SourceClient:
    """One source; ``policy`` None asks any address, through the proxies of the environment, as command lines do."""

    def __init__(
        self,
        endpoint: Endpoint,
        policy: AddressPolicy | None = None,
        retry: Retry = Retry(),  # noqa: B008 - frozen
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._retry = retry
        secure = _tls() if endpoint.url.startswith("https") else _no_tls()
        if transport is None and policy is not None:
            transport = httpx.AsyncHTTPTransport(verify=secure, limits=LIMITS)
        if transport is not None and policy is not None:
            transport = GuardedTransport(policy, transport)
        headers = {
            "User-Agent": "tocsin",
            "Accept": "application/json",
            "Accept-Encoding": ACCEPTED,
            **endpoint.headers,
        }
        if endpoint.bearer is not None:
            headers["Authorization"] = f"Bearer {endpoint.bearer}"
        self._http = httpx.AsyncClient(
            headers=headers,
            auth=endpoint.basic,
            limits=LIMITS,
            timeout=httpx.Timeout(endpoint.timeout_s, connect=CONNECT_TIMEOUT_S),
            transport=transport,
            verify=secure,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def fetch(self, method: str, path: str, form: Form, make_sink: Callable[[], Sink[T]]) -> T:
        """Read an answer into a new sink, again with another one where that may help.

        Raises ``SourceUnreachable`` or ``SourceRefused`` with what the server said, and ``TooLarge``.
        """
        failures = 0
        while True:
            try:
                return await self._try(method, path, list(form), make_sink())
            except _Failed as failed:
                failures += 1
                wait_s = self._retry.wait_s(failures, failed.retry_after)
                if wait_s is None:
                    raise SourceUnreachable(str(failed)) from failed.__cause__
            await self._retry.sleep(wait_s)

    async def _try(self, method: str, path: str, form: list[tuple[str, str]], sink: Sink[T]) -> T:
        given: dict[str, Any] = {"params": form} if method == "GET" else {"data": _multidict(form)}
        where = self.endpoint.shown
        try:
            url = self.endpoint.url.rstrip("/") + path
            async with asyncio.timeout(self.endpoint.deadline_s), self._http.stream(method, url, **given) as answer:
                if not answer.is_success:
                    await self._refuse(answer)
                return await _read(answer, sink)
        except BROKEN as error:
            message = f"cannot reach {where}: {self._told(str(error) or type(error).__name__)}"
            raise _Failed(message, None) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            message = f"{where} did not answer within {self.endpoint.timeout_s:g} s: ask for less"
            raise SourceUnreachable(message) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            message = f"cannot reach {where}: {self._told(str(error))}"
            raise SourceUnreachable(message) from error
        except Rejected:
            raise
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            message = f"{where}{path} answered {answer.status_code} with what is not an answer of this API: {error}"
            raise SourceRefused(reason="not_the_api", message=self._told(message)) from error

    async def _refuse(self, answer: httpx.Response) -> NoReturn:
        """Raise what an answer that is no success means."""
        said = self._told(_said(await _beginning(answer)))
        status, where = answer.status_code, self.endpoint.shown
        message = f"{where} answered {status}: {said}"
        if status in RETRYABLE or any(words in said for words in PASSING):
            raise _Failed(message, answer.headers.get("retry-after"))
        if status >= 500:
            raise SourceUnreachable(message)
        if answer.is_redirect:
            target = httpx.URL(answer.headers.get("location", "")).copy_with(userinfo=b"", query=None)
            message = f"{where} answered {status} and sends to {self._told(str(target))}: give the address that answers"
        reason = "credentials" if status in (401, 403) else "bad_query" if status in (400, 422) else "refused"
        raise SourceRefused(reason=reason, message=message)

    def _told(self, text: str) -> str:
        """What may be passed on of what somebody else wrote."""
        for secret in self.endpoint.secrets:
            text = text.replace(secret, "***")
        return text[:MAX_TOLD]


class _Failed(Exception):  # noqa: N818 - a try, not an error yet
    """A try that may be repeated."""

    def __init__(self, message: str, retry_after: str | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


async def _read(answer: httpx.Response, sink: Sink[T]) -> T:
    read_bytes = 0
    async for chunk in _pieces(answer, CHUNK_BYTES):
        read_bytes += len(chunk)
        if read_bytes > MAX_ANSWER_BYTES:
            message = f"an answer of more than {MAX_ANSWER_BYTES} bytes: ask for fewer series or a shorter range"
            raise TooLarge(reason="answer", message=message)
        sink.feed(chunk)
    return sink.end()


async def _pieces(answer: httpx.Response, size: int) -> AsyncIterator[bytes]:
    """The answer in pieces, between which others have their turn, however much of it has come already."""
    inflater = Inflater(answer.headers.get("content-encoding", ""), size)
    async for chunk in answer.aiter_raw(size):
        for piece in inflater.pieces(chunk):
            yield piece
            await asyncio.sleep(0)


async def _beginning(answer: httpx.Response) -> bytes:
    body = b""
    async for chunk in _pieces(answer, MAX_ERROR_BYTES):
        body += chunk
        if len(body) >= MAX_ERROR_BYTES:
            break
    return body[:MAX_ERROR_BYTES]


def _said(body: bytes) -> str:
    """The error of Prometheus' JSON, or the text that Loki and proxies send."""
    text = body.decode(errors="replace").strip()
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if isinstance(fields, dict):
        text = str(fields.get("error") or fields.get("message") or text)
    return text.encode(errors="backslashreplace").decode() or "nothing"


def _multidict(form: list[tuple[str, str]]) -> dict[str, list[str]]:
    fields = dict[str, list[str]]()
    for name, value in form:
        fields.setdefault(name, []).append(value)
    return fields


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # reads all certificates: once


@cache
def _no_tls() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody; never used, as no redirect is followed
