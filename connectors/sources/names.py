"""Look-ups of host names: in threads of their own, for the system's resolver may hang for half a minute."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from connectors.errors import Overloaded
from connectors.workers import Workers

THREADS = 16
WAITING_MOST = 64
LOOK_UP_S = 5.0
"""As long as connecting may take: who has not got an address by then does not get one in time either."""
Look = Callable[[str, int], Sequence[str]]


def system_addresses(host: str, port: int) -> list[str]:
    """IP addresses in the order in which the system prefers them; raises ``OSError``."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Names:
    """One look-up of a name at a time, for all who ask: one that hangs holds one thread and not each."""

    def __init__(self, look: Look = system_addresses, timeout_s: float = LOOK_UP_S) -> None:
        self.workers = Workers("names", THREADS, WAITING_MOST)
        self._look = look
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, int], Future[Sequence[str]]] = {}
        """as many as ``workers`` takes"""

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Addresses of a host; raises ``OSError``, of which ``TimeoutError`` is one."""
        waiting = asyncio.wrap_future(self._asking(host, port))
        waiting.add_done_callback(_heed)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(waiting)  # others may wait for it too
        except TimeoutError as error:
            message = f"no answer within {self._timeout_s:g} s"
            raise TimeoutError(message) from error

    def _asking(self, host: str, port: int) -> Future[Sequence[str]]:
        place = (host, port)
        with self._lock:
            asked = self._asked.get(place)
            if asked is not None:
                return asked
            try:
                asked = self._asked[place] = self.workers.submit(partial(self._look, host, port))
            except Overloaded as error:
                message = "too many names are being looked up"
                raise TimeoutError(message) from error
        asked.add_done_callback(lambda _: self._asked.pop(place, None))
        return asked


def _heed(waiting: asyncio.Future[Sequence[str]]) -> None:
    """What nobody waits for any more fails without a word."""
    if not waiting.cancelled():
        waiting.exception()


NAMES = Names()
"""Of this process."""
