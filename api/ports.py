"""Ports that processes will want: each by itself, and free."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from typing import NamedTuple

from connectors.errors import TocsinError
from connectors.settings import is_ipv6


class Listener(NamedTuple):
    """A port that a process will want, and the setting that moves it."""

    name: str
    port: int
    variable: str


def refuse_equal_ports(listeners: Iterable[Listener]) -> None:
    """Raise ``TocsinError`` when two processes are told the same port."""
    taken: dict[int, Listener] = {}
    for listener in listeners:
        other = taken.setdefault(listener.port, listener)
        if other is not listener:
            message = (
                f"{other.variable} and {listener.variable} are both {listener.port}: "
                f"{other.name} and {listener.name} need a port each"
            )
            raise TocsinError(message)


def refuse_taken_port(host: str, listener: Listener) -> None:
    """Raise ``TocsinError`` that names port and variable unless the port can be bound."""
    family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, listener.port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            where, remedy = _held(host, listener.port) if taken else (f"not to be had ({error.strerror}) on {host}", "")
            message = (
                f"port {listener.port} of {listener.name} is {where}: {remedy}set {listener.variable} to a free port"
            )
            raise TocsinError(message) from error


def _held(host: str, port: int) -> tuple[str, str]:
    """Where and by whom a port is taken, and what to do about it."""
    from api.leftovers import described, holder  # with psutil, which who has its ports free does not need

    process = holder(port)
    if process is None:
        return f"taken on {host}", "end what listens there, or "
    who, remedy = described(process)
    return f"taken on {host} by {who}", f"{remedy}, or "
