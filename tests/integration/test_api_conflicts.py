"""Two api processes and 200 writes that conflict: one winner per revision, and everybody sees the same, also later."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from connectors.kafka_clients import make_admin
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.apis import RunningApi, api_process, api_settings, running_api, wait_for
from tests.brokers import ApacheKafka
from tests.conftest import unique_settings

pytestmark = pytest.mark.integration

WRITES = 200
ROLL_MS = 100
"""A segment of the topic is closed as soon as a record comes so long after its first."""


@pytest.fixture
def settings(apache: ApacheKafka) -> KafkaSettings:
    """Topics in Apache Kafka, that of detectors in many small segments."""
    settings = unique_settings(apache.bootstrap)
    create_topics(settings)
    admin = make_admin(settings, "tests")
    resource = ConfigResource(ConfigResourceType.TOPIC, settings.topics.detectors, {"segment.ms": str(ROLL_MS)})
    admin.alter_configs([resource])
    admin.close()
    return settings


@pytest.fixture
def replicas(settings: KafkaSettings, tmp_path: Path) -> Iterator[tuple[RunningApi, RunningApi]]:
    own = [api_settings(settings, api_max_writes=256, api_read_back_timeout_s=60.0) for _ in range(2)]
    with api_process(own[0], tmp_path / "a.log") as one, api_process(own[1], tmp_path / "b.log") as two:
        yield one, two


def config(name: str) -> dict[str, Any]:
    return {"name": name, "kind": "mad", "selector": "up"}


async def conflict(replicas: tuple[RunningApi, RunningApi], path: str) -> list[httpx.Response]:
    """Each reads the revision and replaces it, half of them at each process, all at the same time."""
    limits = httpx.Limits(max_connections=WRITES)
    async with (
        httpx.AsyncClient(base_url=replicas[0].url, limits=limits, timeout=60, verify=False) as one,
        httpx.AsyncClient(base_url=replicas[1].url, limits=limits, timeout=60, verify=False) as two,
    ):

        async def write(number: int) -> httpx.Response:
            http = (one, two)[number % 2]
            tag = (await http.get(path)).headers["etag"]
            return await http.put(path, json=config(f"by {number}"), headers={"If-Match": tag})

        return await asyncio.gather(*map(write, range(WRITES)))


def test_of_conflicting_writes_one_wins_per_revision_and_all_processes_agree(
    replicas: tuple[RunningApi, RunningApi], settings: KafkaSettings, apache: ApacheKafka, tmp_path: Path
) -> None:
    one, two = replicas
    path = one.http.post("/api/detectors", json=config("first")).headers["location"]
    wait_for(lambda: two.http.get(path).status_code == 200)
    answers = asyncio.run(conflict(replicas, path))
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 412}, statuses
    assert {answer.json()["code"] for answer in answers if answer.status_code == 412} == {"stale_revision"}
    made = sorted((one.json() for one in answers if one.status_code == 200), key=lambda made: int(made["revision"]))
    assert [detector["revision"] for detector in made] == list(range(2, 2 + len(made)))
    wait_for(lambda: one.http.get(path).json() == two.http.get(path).json() == made[-1])
    past = one.http.get(f"{path}/revisions").json()
    assert two.http.get(f"{path}/revisions").json() == past
    for number in range(5):  # each in its own time, so that the segments roll
        tag = one.http.get(path).headers["etag"]
        written = one.http.put(path, json=config(f"alone {number}"), headers={"If-Match": tag})
        assert written.status_code == 200
    wait_for(lambda: segments(apache, settings) > 1, "the segments have rolled")
    with running_api(api_settings(settings)) as third:
        for api in (one, two, third):
            wait_for(lambda api=api: api.http.get(path).json() == written.json())
        pasts = [api.http.get(f"{path}/revisions").json() for api in (one, two, third)]
        assert pasts[0] == pasts[1] == pasts[2]


def segments(apache: ApacheKafka, settings: KafkaSettings) -> int:
    """Files of records that the topic's log consists of."""
    return len(list(apache.logs.glob(f"{settings.topics.detectors}-0/*.log")))
