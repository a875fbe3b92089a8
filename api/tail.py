"""``tocsin tail``: anomalies in the terminal as they come, over the WebSocket, for people or as JSON for programs."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from itertools import chain, repeat
from typing import Any, NoReturn, Self, TextIO
from urllib.parse import urlsplit, urlunsplit

from pydantic import ValidationError
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync.client import connect

from api.socket_messages import (
    ALL_ANOMALIES,
    CLOSE_SLOW,
    SERVER_MESSAGE,
    TAIL_SUBSCRIBED,
    AnomalyEvent,
    ErrorCode,
    ServerMessage,
    SocketError,
    Subscribe,
    Subscribed,
)
from connectors.anomaly import Anomaly, EventType, Severity

OPEN_TIMEOUT_S = 5.0
LOOK_S = 1.0
"""How often it is looked whether somebody wants the end, while nothing comes."""
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits before the first, second … attempt to connect again; the last one repeats."""
SOCKET_PATH = "/api/ws"
MAX_LINE = 1000
"""Characters of a line for people; what is longer is cut, as ``--json`` is not."""
COLOURS = {Severity.INFO: "36", Severity.WARNING: "33", Severity.CRITICAL: "1;31"}
"""ANSI colours of a line: cyan, yellow, bold red."""
Show = Callable[[Anomaly], str]


class Refused(Exception):  # noqa: N818 - told to the user, not to a caller
    """The address is no Tocsin api; trying again does not help."""


class NotYet(Exception):  # noqa: N818 - as Refused
    """The api is not ready or the connection ended; trying again does help."""


class Missed(Exception):  # noqa: N818 - as Refused
    """The api does not keep what was missed any more; going on without it helps."""


class Interrupts:
    """Remembers that somebody wants the end: Python drops a KeyboardInterrupt that strikes while it frees an object.

    Listens while it is entered, in the main thread: others get none.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self.ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def ask(self, *_: object) -> NoReturn:
        """Somebody does."""
        self._asked = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if somebody did."""
        if self._asked:
            raise KeyboardInterrupt


def run_tail(url: str, as_json: bool, out: TextIO) -> int:
    """Print every anomaly event until interrupted, connecting again whenever the connection is lost.

    ``url`` is that of the api (``http://127.0.0.1:8000``) or of its WebSocket. Returns the exit code: 0 when
    interrupted or when the reader of ``out`` went away, 1 when the address is no Tocsin api.
    """
    show: Show = Anomaly.model_dump_json if as_json else Line(colour=out.isatty())
    try:
        with Interrupts() as interrupts:
            _tail(socket_url(url), show, out, interrupts)
    except (KeyboardInterrupt, BrokenPipeError):
        return 0
    except Refused as error:
        _note(str(error))
        return 1


def _tail(url: str, show: Show, out: TextIO, interrupts: Interrupts) -> NoReturn:
    pauses = _pauses()
    since: str | None = None
    while True:
        interrupts.check()
        try:
            for message in _messages(url, since, interrupts):
                since = getattr(message, "cursor", None) or since
                if isinstance(message, AnomalyEvent):
                    out.write(show(message.data) + "\n")
                    out.flush()
                elif isinstance(message, Subscribed):
                    pauses = _pauses()
                    sys.stderr.write(f"{TAIL_SUBSCRIBED} {url}\n")
        except Missed as error:
            since = None
            _note(str(error))
        except NotYet as error:
            pause_s = next(pauses)
            _note(f"{error}; again in {pause_s} s")
            time.sleep(pause_s)


def _messages(url: str, since: str | None, interrupts: Interrupts) -> Iterator[ServerMessage]:
    """What one connection brings, from a cursor on; raises ``NotYet`` at its end, whatever ended it."""
    try:
        with connect(url, open_timeout=OPEN_TIMEOUT_S, max_size=MAX_MESSAGE_BYTES, compression=None) as socket:
            socket.send(
                Subscribe(type="subscribe", topics=[ALL_ANOMALIES], since=since).model_dump_json(exclude_none=True)
            )
            while True:
                interrupts.check()
                with suppress(TimeoutError):
                    yield _parse(socket.recv(timeout=LOOK_S))
    except InvalidURI as error:
        raise Refused(str(error)) from error
    except InvalidStatus as error:
        status = error.response.status_code
        message = f"{url}: answered {status}"
        if status < 500:
            not_ours = f"{message} to a WebSocket upgrade: is this a Tocsin api?"
            raise Refused(not_ours) from error
        raise NotYet(message) from error
    except ConnectionClosed as error:
        slow = error.rcvd is not None and error.rcvd.code == CLOSE_SLOW
        message = "this terminal was too slow" if slow else "connection lost"
        raise NotYet(message) from error
    except (InvalidHandshake, OSError) as error:
        message = f"cannot reach {url}: {error}"
        raise NotYet(message) from error


def _parse(text: str | bytes) -> ServerMessage:
    try:
        message = SERVER_MESSAGE.validate_json(text)
    except ValidationError as error:
        not_ours = f"the api speaks another version than this program: {error.errors()[0]['msg']}"
        raise Refused(not_ours) from error
    if isinstance(message, SocketError):
        if message.code is ErrorCode.NOT_READY:
            raise NotYet(message.detail)
        if message.code is ErrorCode.CURSOR_GONE:
            missed = "events were missed that the api does not keep any more; GET /api/anomalies may have them"
            raise Missed(missed)
        raise Refused(message.detail)
    return message


def socket_url(url: str) -> str:
    """The WebSocket address of an api given as ``http(s)://host:port`` or already as ``ws(s)://…``.

    Raises ``Refused`` for what is no address.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        _ = parts.port  # read to be checked
    except ValueError as error:
        message = f"{url} is no address of an api: {error}"
        raise Refused(message) from error
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/")
    return urlunsplit((scheme, parts.netloc, path if path.endswith(SOCKET_PATH) else path + SOCKET_PATH, "", ""))


class Line:
    """An event as one aligned line: when, how bad, what happened, for how long, how strange, who saw it, its sentence.

    Of an episode that is over the surprise is its peak: the last sample of it was hardly surprising any more.
    """

    def __init__(self, *, colour: bool, zone: tzinfo | None = None) -> None:
        self._colour = colour
        self._zone = zone

    def __call__(self, anomaly: Anomaly) -> str:
        """The line without its end, at most ``MAX_LINE`` long; characters that would steer the terminal are escaped."""
        when = datetime.fromtimestamp(anomaly.time_ms / 1000, UTC).astimezone(self._zone)
        a = anomaly
        closed = a.event is EventType.CLOSED
        surprise = f"peak     {a.peak.surprise:5.1f}" if closed else f"surprise {a.surprise:5.1f}"
        text = "  ".join(
            (
                f"{when:%Y-%m-%d %H:%M:%S}",
                f"{a.severity:<8}",
                f"{a.notice or a.event:<7}",
                f"{_duration(a.duration_ms):>6}",
                surprise,
                f"{a.detector.name:<24}",
                a.sentence,
            )
        )
        shown = text[: MAX_LINE + 1]  # whatever is escaped gets longer, never shorter
        text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)
        text = text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + "…"
        return f"\x1b[{COLOURS[a.severity]}m{text}\x1b[0m" if self._colour else text


def _duration(length_ms: int) -> str:
    """Whole seconds, minutes and seconds, or hours and minutes; rounded as the sentence beside it."""
    minutes, seconds = divmod(round(length_ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"


def _pauses() -> Iterator[float]:
    return chain(PAUSES_S, repeat(PAUSES_S[-1]))


def _note(text: str) -> None:
    """For the person, beside the lines: on standard error."""
    sys.stderr.write(f"tocsin tail: {text}\n")
