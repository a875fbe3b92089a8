from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from api.journal import KEPT
from api.upkeep import Upkeep
from connectors.errors import Unavailable
from connectors.probes import OK, Component, Probes, Status, degraded_if
from tests.brokers import free_port

FULL = Component(status=Status.DEGRADED, reason="disk full at /x")


def asked(url: str) -> tuple[str, dict[str, Component]]:
    """What a writer is told, and what the probes say."""

    async def ask() -> tuple[str, dict[str, Component]]:
        upkeep = Upkeep(url)
        try:
            await upkeep.require()
            refusal = ""
        except Unavailable as error:
            refusal = str(error)
        components = await upkeep.components()
        await upkeep.stop()
        return refusal, components

    return asyncio.run(ask())


def test_with_a_real_kafka_nothing_is_asked() -> None:
    assert asked("") == ("", {})


@pytest.mark.parametrize(("part", "reason"), [(OK, ""), (FULL, "disk full at /x")])
def test_what_the_process_of_the_broker_says_holds(part: Component, reason: str) -> None:
    other = Component(status=Status.DOWN, reason="of no concern here")
    probes = Probes("127.0.0.1", 0, CollectorRegistry(), lambda: {"broker": other, KEPT: part})
    assert asked(f"http://127.0.0.1:{probes.port}/health") == (reason, {"journal": degraded_if(reason)})


def test_a_process_that_does_not_answer_keeps_nothing() -> None:
    refusal, components = asked(f"http://127.0.0.1:{free_port()}/health")
    assert "TOCSIN_API_BROKER_HEALTH" in refusal
    assert components["journal"].status is Status.DEGRADED
