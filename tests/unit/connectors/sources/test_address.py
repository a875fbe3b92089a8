from __future__ import annotations

import asyncio

import httpx
import pytest

from connectors.errors import SourceRefused
from connectors.sources.address import AddressPolicy, GuardedTransport


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "8.8.8.8",
        "::1",
        "fd12::1",
        "2001:db8::1",
        "64:ff9b::a01:203",
        "2002:a01:203::1",
    ],
)
def test_servers_may_be_anywhere(address: str) -> None:
    assert AddressPolicy().allows(address)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "::ffff:169.254.169.254", "0.0.0.1", "224.0.0.1", "255.255.255.255", "100.100.100.200",
     "fe80::1%eth0", "::", "ff02::1", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"],
)  # fmt: skip
def test_but_not_where_clouds_keep_secrets(address: str) -> None:
    assert not AddressPolicy().allows(address)
    assert not AddressPolicy.parse("0.0.0.0/0,::/0").allows(address)


def test_networks_can_be_named() -> None:
    policy = AddressPolicy.parse("10.0.0.0/8, fd12::/16,")
    assert [policy.allows(ip) for ip in ("10.9.9.9", "::ffff:10.0.0.1", "fd12::1", "11.0.0.1", "127.0.0.1", "::1")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="has host bits"):
        AddressPolicy.parse("10.0.0.1/8")


def guarded(url: str, policy: AddressPolicy) -> httpx.Request:
    """What goes out behind the guard."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    async def ask() -> None:
        transport = GuardedTransport(policy, httpx.MockTransport(answer))
        async with httpx.AsyncClient(transport=transport, verify=False) as http:
            await http.post(url, data={"query": "up"})

    asyncio.run(ask())
    return sent[0]


def test_the_connection_goes_to_the_address_that_passed_under_the_name_that_was_asked_for() -> None:
    request = guarded("https://localhost:9090/api", AddressPolicy.parse("127.0.0.0/8"))
    assert str(request.url) == "https://127.0.0.1:9090/api"
    assert request.headers["host"] == "localhost:9090"
    assert request.extensions["sni_hostname"] == "localhost"
    assert request.content == b"query=up"


@pytest.mark.parametrize("url", ["http://localhost", "http://127.0.0.1", "http://[::1]", "http://2130706433"])
def test_no_way_of_writing_an_address_gets_past(url: str) -> None:
    with pytest.raises(SourceRefused, match="where no data source may be"):
        guarded(url, AddressPolicy.parse("10.0.0.0/8"))


def test_a_name_without_an_address_is_a_failed_connection() -> None:
    with pytest.raises(httpx.ConnectError, match="cannot be looked up"):
        guarded("http://nowhere.invalid", AddressPolicy())
