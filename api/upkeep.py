"""Whether changes of detectors are kept: the embedded broker forgets, its process writes them to disk.

With a real Kafka there is nothing to ask.
"""

from __future__ import annotations

import httpx

from api.journal import KEPT
from connectors.errors import Rejected, Unavailable
from connectors.probes import OK, Component, Health, degraded_if

TIMEOUT_S = 2.0


class Upkeep:
    """Asks the process of the embedded broker at ``health_url``; an empty one says that Kafka itself keeps all."""

    def __init__(self, health_url: str) -> None:
        self._url = health_url
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) if health_url else None

    async def require(self) -> None:
        """Raise ``Unavailable`` when a change of a detector would be forgotten."""
        reason = await self._reason()
        if reason:
            raise Unavailable(reason)

    async def components(self) -> dict[str, Component]:
        """For the probes."""
        return {"journal": degraded_if(await self._reason())} if self._client else {}

    async def stop(self) -> None:
        """Close the connection."""
        if self._client:
            await self._client.aclose()

    async def _reason(self) -> str:
        if self._client is None:
            return ""
        try:
            health = Health.decode((await self._client.get(self._url)).content)
        except (httpx.TransportError, Rejected) as error:
            return f"{self._url} (TOCSIN_API_BROKER_HEALTH) does not say whether detectors are kept: {error!r}"
        return health.components.get(KEPT, OK).reason
