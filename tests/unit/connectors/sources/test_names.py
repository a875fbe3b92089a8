"""Look-ups that hang: they hold up neither other names nor other work, and one name holds one thread."""

from __future__ import annotations

import asyncio
import socket
import threading

import httpx
import pytest

from connectors.sources.address import AddressPolicy, GuardedTransport
from connectors.sources.names import THREADS, WAITING_MOST, Names

ADDRESS = "127.0.0.1"


def test_a_name_that_hangs_holds_up_nobody_else() -> None:
    go, looks = threading.Event(), list[str]()

    def look(host: str, _port: int) -> list[str]:
        looks.append(host)
        if host == "hangs":
            go.wait(10)
        return [ADDRESS]

    async def main() -> None:
        names = Names(look, timeout_s=0.2)
        hanging = [asyncio.create_task(names.addresses("hangs", 0)) for _ in range(100)]
        await asyncio.sleep(0)
        assert await names.addresses("fine", 0) == [ADDRESS]
        assert await asyncio.to_thread(lambda: 1) == 1
        transport = GuardedTransport(AddressPolicy(), httpx.MockTransport(lambda _: httpx.Response(200)), names)
        async with httpx.AsyncClient(transport=transport, verify=False) as http:
            with pytest.raises(httpx.ConnectError, match="the name hangs cannot be looked up: no answer within"):
                await http.get("http://hangs:0")
            assert (await http.get("http://fine:0")).status_code == 200
        failed = await asyncio.gather(*hanging, return_exceptions=True)
        assert {type(error) for error in failed} == {TimeoutError}
        assert (looks.count("hangs"), names.workers.inside) == (1, 1)
        again = asyncio.create_task(names.addresses("hangs", 0))
        await asyncio.sleep(0)
        go.set()
        assert await again == [ADDRESS]
        assert names.workers.inside == 0

    asyncio.run(main())


def test_too_many_names_at_a_time_are_not_looked_up() -> None:
    go = threading.Event()

    def look(_host: str, _port: int) -> list[str]:
        go.wait(10)
        return []

    async def main() -> None:
        names = Names(look)
        waiting = [asyncio.create_task(names.addresses(f"h{at}", 0)) for at in range(THREADS + WAITING_MOST)]
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="too many names"):
            await names.addresses("one more", 0)
        go.set()
        await asyncio.gather(*waiting)

    asyncio.run(main())


def test_an_error_is_that_of_the_system() -> None:
    with pytest.raises(socket.gaierror):
        asyncio.run(Names().addresses("nowhere.invalid", 80))
