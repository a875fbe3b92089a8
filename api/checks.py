"""What must hold before a run starts anything: settings that its processes will take, and an address."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from connectors.errors import TocsinError
from connectors.settings import Settings, read_settings


def refuse_bad_settings(classes: Iterable[type[Settings]]) -> None:
    """Raise ``TocsinError`` with a line for each variable that one of the processes would refuse."""
    lines: dict[str, None] = {}
    for settings in classes:
        try:
            read_settings(settings)
        except TocsinError as error:
            lines.update(dict.fromkeys(str(error).splitlines()))
    if lines:
        raise TocsinError("\n".join(lines))


def refuse_foreign_host(host: str) -> None:
    """Raise ``TocsinError`` unless one can listen on this address at all."""
    try:
        family, *_, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family) as probe:
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        message = f"TOCSIN_HOST={host}: not an address of this machine ({error}): set it to one, such as 127.0.0.1"
        raise TocsinError(message) from error
