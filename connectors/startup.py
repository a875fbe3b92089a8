"""The first thing that every process does: read its settings, say what is wrong with them, set up its log."""

from __future__ import annotations

from typing import TypeVar

from pydantic_settings import BaseSettings

from connectors.errors import TocsinError
from connectors.logs import configure_logging
from connectors.settings import read_settings

S = TypeVar("S", bound=BaseSettings)


def start_process(name: str, settings: type[S]) -> S:
    """The settings of the environment, with the log configured for process ``name``.

    Ends the process with code 1 and a line on standard error for each bad variable.
    """
    try:
        found = read_settings(settings)
        configure_logging(name)
    except TocsinError as error:
        raise SystemExit(str(error)) from None
    return found
