"""``If-Match: *`` changes whatever holds, however many do so at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from connectors.settings import KafkaSettings
from tests.apis import RunningApi, api_settings, running_api, wait_for

pytestmark = pytest.mark.integration

WRITERS = 6
ANYTHING = {"If-Match": "*"}


@pytest.fixture
def replicas(kafka_settings: KafkaSettings) -> Iterator[tuple[RunningApi, RunningApi]]:
    with running_api(api_settings(kafka_settings)) as one, running_api(api_settings(kafka_settings)) as two:
        yield one, two


def config(name: str) -> dict[str, Any]:
    return {"name": name, "kind": "mad", "selector": "up"}


def create(replicas: tuple[RunningApi, RunningApi]) -> str:
    one, two = replicas
    path = one.http.post("/api/detectors", json=config("first")).headers["location"]
    wait_for(lambda: two.http.get(path).status_code == 200)
    return path


def test_every_change_of_whatever_holds_is_applied(replicas: tuple[RunningApi, RunningApi]) -> None:
    path = create(replicas)

    def put(writer: int) -> httpx.Response:
        return replicas[writer % 2].http.put(path, json=config(f"by {writer}"), headers=ANYTHING)

    with ThreadPoolExecutor(WRITERS) as threads:
        answers = list(threads.map(put, range(2 * WRITERS)))
    assert [answer.status_code for answer in answers] == [200] * 2 * WRITERS
    made = sorted((answer.json() for answer in answers), key=lambda detector: int(detector["revision"]))
    assert [detector["revision"] for detector in made] == list(range(2, 2 + 2 * WRITERS))
    for api in replicas:
        wait_for(lambda api=api: api.http.get(path).json() == made[-1])


def test_a_deletion_of_whatever_holds_is_applied_and_later_changes_find_nothing(
    replicas: tuple[RunningApi, RunningApi],
) -> None:
    path = create(replicas)

    def change(writer: int) -> httpx.Response:
        http = replicas[writer % 2].http
        if writer == WRITERS // 2:
            return http.delete(path, headers=ANYTHING)
        return http.put(path, json=config(f"by {writer}"), headers=ANYTHING)

    with ThreadPoolExecutor(WRITERS) as threads:
        answers = list(threads.map(change, range(WRITERS)))
    assert answers[WRITERS // 2].status_code == 204
    assert {answer.status_code for answer in answers} <= {200, 204, 404}
    for api in replicas:
        wait_for(lambda api=api: api.http.get(path).status_code == 404)
