"""JSON logging: one line per event on standard error, the same fields in every process."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from itertools import islice
from types import TracebackType
from typing import Annotated, Literal

from pydantic import Field
from pythonjsonlogger.json import JsonFormatter

from connectors.log_lines import LineHandler
from connectors.settings import Settings, read_settings

FIELDS = ["levelname", "name", "message"]
RENAMED = {"levelname": "level", "name": "logger"}
CONNECTIONS_LOGGER = "uvicorn.connections"
"""Our name for what uvicorn tells of WebSocket connections; its own is also that of its start and its errors."""
CHATTY = ("kafka", "httpx", "httpcore", "uvicorn.access", CONNECTIONS_LOGGER)
"""Loggers of libraries that tell every connection or request; only their warnings are of use to an operator."""
NOISY = ("kafka.net.selector",)
"""Loggers that warn of what is no trouble: of a callback that ran for longer than 0.1 s, as on any busy machine."""
GIVEN_UP = ("kafka.cluster", "Cancelled")
"""The logger that calls it an error when what it asked was given up, and the name of that: a client was closed."""
MAX_CAUSES = 5
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that is served, if one is: whatever is written meanwhile bears it."""


LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class LogSettings(Settings):
    """What a process writes to its log."""

    log_level: Annotated[LogLevel, Field(description="least level that is written")] = "INFO"


def configure_logging(process: str, settings: LogSettings | None = None) -> None:
    """Send every log record of this process to standard error as JSON with ``process`` in it; uncaught errors too.

    Raises ``TocsinError`` for a bad setting.
    """
    settings = settings or read_settings(LogSettings)
    handler = LineHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(FIELDS, rename_fields=RENAMED, static_fields={"process": process}, timestamp="time")
    )
    handler.addFilter(_bear_request_id)
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger(GIVEN_UP[0]).addFilter(_is_trouble)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _is_trouble(record: logging.LogRecord) -> bool:
    given = record.args if isinstance(record.args, tuple) else ()
    return not any(type(one).__name__ == GIVEN_UP[1] for one in given)


def _bear_request_id(record: logging.LogRecord) -> bool:
    if REQUEST_ID.get():
        record.request_id = REQUEST_ID.get()
    return True


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    told = ", because of ".join(f"{type(cause).__name__}: {cause}" for cause in islice(causes(error), MAX_CAUSES))
    logging.getLogger("uncaught").critical("%s", told, exc_info=(kind, error, trace))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on: what a library wraps tells least, the first cause most."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
