"""Where sources may be: a server that asks any address that it is told is a way into its own network.

The name is looked up here, each of its addresses judged, and the connection made to the very address that passed: a
name that resolves to another address a moment later reaches nothing else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from connectors.errors import SourceRefused
from connectors.sources.names import NAMES, Names

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
NEVER: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "100.100.100.200/32",
        "::/128", "fe80::/10", "ff00::/8", "fd00:ec2::254/128",
    )
)  # fmt: skip
"""Link-local addresses, under which clouds hand out the credentials of the machine, theirs elsewhere (Alibaba, and AWS
by IPv6), and what is no address of a single server."""


NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses whose last 32 bits are one of IPv4 (RFC 6052)."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Networks in which sources may be; without any, everywhere but in ``NEVER``."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AddressPolicy:
        """Read networks that commas separate; raises ``ValueError``."""
        return cls(tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()))

    def allows(self, address: str) -> bool:
        """Whether a source may be at this IP address."""
        ip = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if any(one in network for one in (ip, _reached(ip)) for network in NEVER):
            return False
        return not self.networks or any(ip in network for network in self.networks)


def _reached(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address to which a gateway hands on what goes to this one, if it stands for one; else itself."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.sixtofour is not None:
            return ip.sixtofour
        if ip in NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip


class GuardedTransport(httpx.AsyncBaseTransport):
    """Connects to allowed addresses alone; certificates are checked for the name that was asked for."""

    def __init__(self, policy: AddressPolicy, inner: httpx.AsyncBaseTransport, names: Names = NAMES) -> None:
        self._policy = policy
        self._inner = inner
        self._names = names

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Try the allowed addresses of the host, one after the other."""
        host = request.url.host
        failed: httpx.ConnectError | httpx.ConnectTimeout | None = None
        for address in self._allowed(host, await self._addresses(request)):
            extensions = request.extensions if address == host else {**request.extensions, "sni_hostname": host}
            there = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,  # Host among them
                stream=request.stream,
                extensions=extensions,
            )
            try:
                return await self._inner.handle_async_request(there)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failed = error
        raise failed or httpx.ConnectError("the name has no address", request=request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()

    async def _addresses(self, request: httpx.Request) -> Sequence[str]:
        """IP addresses of the host in the order in which the system prefers them."""
        url = request.url
        try:
            return await self._names.addresses(url.host, url.port or 0)
        except OSError as error:
            message = f"the name {url.host} cannot be looked up: {error.strerror or error}"
            raise httpx.ConnectError(message, request=request) from error

    def _allowed(self, host: str, addresses: Sequence[str]) -> list[str]:
        allowed = [address for address in addresses if self._policy.allows(address)]
        if addresses and not allowed:
            where = ", ".join(addresses)[:200]
            message = (
                f"{host} is at {where}, where no data source may be: link-local and multicast addresses are always "
                "refused, and others unless they are in TOCSIN_API_SOURCE_NETWORKS, if it is set"
            )
            raise SourceRefused(reason="address_not_allowed", message=message)
        return allowed
