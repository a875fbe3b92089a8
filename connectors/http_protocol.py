"""HTTP/1.1 with bounds that uvicorn's protocol on httptools lacks: the size of a header, and the time it may take.

Without them one endless header grows in memory and stalls the event loop, because httptools joins each new piece to
all before it, and a connection that sends a header byte by byte is kept for ever.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import ClassVar, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from connectors.http_answer import Answer, json_answer

MAX_HEADER_BYTES = 64 * 1024
"""Request line and headers; also whatever else is no body: chunk sizes and trailers between two pieces of it."""
SEPARATOR_BYTES = 4
"""Colon, space and line end of a header."""
KEEP_ALIVE_S = 75
"""An idle connection is kept for so long, as nginx does: clients and proxies give theirs up after 5 to 60 s. Were the
server first, as uvicorn is after 5 s (the ``batch_send_deadline`` of Prometheus, and what httpx keeps), a request that
is sent meanwhile would be lost, and nobody could tell whether a write had been taken."""


class Refusal(NamedTuple):
    """An answer that the protocol itself gives, before any application has seen the request."""

    status: HTTPStatus
    reason: str
    message: str


MALFORMED = Refusal(HTTPStatus.BAD_REQUEST, "bad_http", "not an HTTP/1.1 request")
HEADER_TOO_LARGE = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "header_too_large",
    f"request line and headers: more than {MAX_HEADER_BYTES} bytes",
)


class HeaderTooLargeError(Exception):
    """Ends the parser from within one of its callbacks; never leaves the protocol."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """Answers a header above MAX_HEADER_BYTES with 431, and closes a connection on which nothing is asked in time."""

    header_timeout_s: ClassVar[float] = 10.0
    """From the connection, or the first byte of a request, to the end of the header. Also a body whose request was
    already answered gets no longer."""
    linger_s: ClassVar[float] = 1.0
    """What a refused client still sends is thrown away for so long: closed at once, it would not read the answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """A client has connected and owes a header."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._refusal = MALFORMED
        self._refused = False
        self._handed_over = False
        self._timer: asyncio.TimerHandle | None = None
        self._watch_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what is no body, parse, and see to it that a client does not take for ever."""
        if self._refused:
            return
        self._header_bytes += len(data)
        super().data_received(data)
        if self._refused or self._handed_over:
            return
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(HEADER_TOO_LARGE)
        elif self._under_way:
            self._unwatch()
        elif self._timer is None:
            self._watch_header()

    def on_headers_complete(self) -> None:
        """Refuse a header that is too large though it came at once."""
        if self._size_of_header() > MAX_HEADER_BYTES:
            self._refusal = HEADER_TOO_LARGE
            raise HeaderTooLargeError
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body: the application bounds these."""
        self._header_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request."""
        self._header_bytes = 0
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """The connection is another protocol's from now on."""
        self._handed_over = True
        self._unwatch()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """The parser has failed, or one of its callbacks above has; ``msg`` does not say which."""
        self._refuse(self._refusal)

    def refusal_answer(self, refusal: Refusal) -> Answer:
        """A refusal as the application would give it."""
        return json_answer(refusal.status, {"error": refusal.message, "reason": refusal.reason})

    @property
    def _under_way(self) -> bool:
        """Whether the application has a request that it has not answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _size_of_header(self) -> int:
        headers: list[tuple[bytes, bytes]] = self.headers
        return len(self.url) + sum(len(name) + len(value) + SEPARATOR_BYTES for name, value in headers)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer, unless an answer has begun, and close once the client has had time to read it."""
        self._refused = True
        self._unwatch()
        if self._under_way and self.cycle.response_started:
            self.transport.abort()
        elif not self.transport.is_closing():
            status, headers, body = self.refusal_answer(refusal)
            head = [*headers, (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
            lines = b"".join(b"%s: %s\r\n" % line for line in head)
            self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
            self.transport.write_eof()
            self._timer = self.loop.call_later(self.linger_s, self.transport.abort)
        self._leave_application()

    def _leave_application(self) -> None:
        """Tell an application that still reads the body that its client is gone."""
        if self._under_way:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _watch_header(self) -> None:
        self._timer = self.loop.call_later(self.header_timeout_s, self._close_idle)

    def _close_idle(self) -> None:
        self._timer = None
        if not self._under_way:
            self.transport.close()

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
