"""Collectors with a real Prometheus, the real ingest and a broker: whole, in one process at a time, past a kill -9."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection

from api import collector_table, source_table
from api.collector_table import CollectorConfig, Outcome
from api.meters import ApiMeters
from api.problems import ApiError
from api.source_config import SourceConfig, SourceKind
from api.source_table import DataSource
from api.store import Store
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests import ingests, wire
from tests.apis import RunningApi, api_process, api_settings, running_api, wait_for
from tests.conftest import unique_settings
from tests.ingests import RunningIngest
from tests.prometheus import Exporter, Prometheus, missing_prometheus

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(missing_prometheus() is not None, reason=str(missing_prometheus())),
]

CONFIG: dict[str, Any] = {
    "name": "temperature", "query": "temperature * 2", "step_s": 1, "delay_s": 1,
    "transforms": [{"type": "rename", "name": "warmth"}, {"type": "scale", "factor": 0.5},
                   {"type": "drop", "label": "room", "regex": "attic"}],
}  # fmt: skip
SOURCE = DataSource(
    id="s",
    revision=1,
    config=SourceConfig(name="s", kind=SourceKind.PROMETHEUS, url="http://127.0.0.1:1"),
    created_ms=1,
    updated_ms=1,
)
NOW_MS, LEASE_MS = 1_700_000_000_000, 30_000


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    rooms = "".join(f'temperature{{room="{room}"}} 21\n' for room in ("kitchen", "attic"))
    with (
        Exporter(lambda: f"# TYPE temperature gauge\n{rooms}# EOF\n") as exporter,
        Prometheus(tmp_path_factory.mktemp("prometheus"), exporter.port, None) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def ingest(broker: str) -> Iterator[RunningIngest]:
    kafka = unique_settings(broker)
    create_topics(kafka)
    with ingests.running(kafka) as running:
        yield running


def kafka_of(ingest: RunningIngest) -> KafkaSettings:
    return KafkaSettings(**{name: getattr(ingest.settings, name) for name in KafkaSettings.model_fields})


def write_url(ingest: RunningIngest) -> str:
    return f"http://127.0.0.1:{ingest.port}/api/v1/write"


def collecting(api: RunningApi, prometheus: Prometheus, **changes: Any) -> str:
    """A new collector of a new source: its address."""
    body = {"name": f"source {time.time()}", "kind": "prometheus", "url": prometheus.url}
    source = api.http.post("/api/datasources", json=body).json()["id"]
    made = api.http.post(f"/api/datasources/{source}/collectors", json={**CONFIG, **changes})
    assert made.status_code == 201, made.text
    location: str = made.headers["location"]
    return location


def collected(ingest: RunningIngest, name: str) -> dict[bytes, Counter[int]]:
    """How often each second of each room was written."""
    found = defaultdict[bytes, Counter[int]](Counter)
    for _, _, series in ingest.written():
        labels = dict(series.labels)
        if labels[b"__name__"] == name.encode():
            assert all(wire.number(value_bits) == 21.0 for _, value_bits, _ in series.samples)
            found[labels[b"room"]].update(time_ms for time_ms, _, _ in series.samples)
    return dict(found)


def assert_no_gap(times: Counter[int]) -> None:
    assert sorted(times) == list(range(min(times), max(times) + 1, 1000))


def known(prometheus: Prometheus, from_ms: int, to_ms: int) -> set[int]:
    """The seconds of which it has a value."""
    asked = {"query": "temperature{room='kitchen'}", "start": from_ms / 1000, "end": to_ms / 1000, "step": 1}
    answer = httpx.get(f"{prometheus.url}/api/v1/query_range", params=asked, verify=False).json()
    return {round(1000 * time_s) for time_s, _ in answer["data"]["result"][0]["values"]}


def test_what_a_query_says_becomes_samples(ingest: RunningIngest, prometheus: Prometheus) -> None:
    """Two replicas share a store; each step is collected once."""
    with ExitStack() as stack:
        settings = api_settings(kafka_of(ingest), api_ingest=write_url(ingest))
        api = stack.enter_context(running_api(settings))
        other = api_settings(kafka_of(ingest), api_ingest=write_url(ingest), home=settings.home)
        stack.enter_context(running_api(other))
        address = collecting(api, prometheus)
        wait_for(lambda: api.http.get(address).json()["status"]["samples"] >= 4)
        found = api.http.get(address).json()
        status = found["status"]
        assert (status["last_error"], status["errors"], status["skipped_s"]) == ("", 0, 0)
        assert status["lag_s"] < 20
        assert status["collected_to_ms"] % 1000 == 0
        listed = api.http.get(address.rpartition("/")[0]).json()
        assert ([one["id"] for one in listed["collectors"]], listed["running"]) == ([found["id"]], True)
        broken = api.http.put(address, json={**CONFIG, "query": "rate("}, headers={"If-Match": '"1"'})
        assert (broken.status_code, broken.headers["etag"]) == (200, '"2"')
        wait_for(lambda: "parse error" in api.http.get(address).json()["status"]["last_error"])
        mended = api.http.put(address, json=CONFIG, headers={"If-Match": '"2"'}).json()
        wait_for(lambda: api.http.get(address).json()["status"]["samples"] > mended["status"]["samples"])
        assert api.http.put(address, json=CONFIG, headers={"If-Match": '"2"'}).json()["code"] == "stale_revision"
        assert api.http.delete(address, headers={"If-Match": '"3"'}).status_code == 204
        assert api.http.get(address).json()["code"] == "not_found"
    times = collected(ingest, "warmth")
    assert list(times) == [b"kitchen"]
    assert_no_gap(times[b"kitchen"])
    assert set(times[b"kitchen"].values()) == {1}


def test_a_prometheus_that_was_away_leaves_no_gap_of_its_own(ingest: RunningIngest, prometheus: Prometheus) -> None:
    """What it says of the time in which it was stopped, within its look-back, is collected when it is back."""
    rename = {"type": "rename", "name": "after_a_stop"}
    with running_api(api_settings(kafka_of(ingest), api_ingest=write_url(ingest))) as api:
        address = collecting(api, prometheus, transforms=[rename], query="temperature{room='kitchen'}")
        wait_for(lambda: api.http.get(address).json()["status"]["samples"] > 0)
        prometheus.stop()
        wait_for(lambda: "cannot reach" in api.http.get(address).json()["status"]["last_error"])
        stopped = api.http.get(address).json()["status"]
        prometheus.start()
        wait_for(lambda: api.http.get(address).json()["status"]["samples"] > stopped["samples"])
        assert api.http.get(address).json()["status"]["last_error"] == ""
    times = collected(ingest, "after_a_stop")[b"kitchen"]
    # all but what Prometheus has not either, as after a scrape that failed
    assert set(times) >= known(prometheus, min(times), max(times))


def test_killed_it_goes_on_where_it_was(ingest: RunningIngest, prometheus: Prometheus, tmp_path: Path) -> None:
    settings = api_settings(kafka_of(ingest), api_ingest=write_url(ingest), home=tmp_path)
    rename = {"type": "rename", "name": "after_a_kill"}
    with api_process(settings, tmp_path / "api.log") as api:
        address = collecting(api, prometheus, transforms=[rename], query="temperature{room='kitchen'}")
        wait_for(lambda: api.http.get(address).json()["status"]["samples"] > 0)
        before = api.http.get(address).json()["status"]
        assert api.process is not None
        api.process.send_signal(signal.SIGKILL)
        api.process.wait(20)
    with running_api(settings) as api:
        wait_for(lambda: api.http.get(address).json()["status"]["samples"] > before["samples"], timeout_s=60.0)
        assert api.http.get(address).json()["status"]["skipped_s"] == 0
    assert_no_gap(collected(ingest, "after_a_kill")[b"kitchen"])


def test_without_an_ingest_it_is_kept_and_not_run(ingest: RunningIngest, prometheus: Prometheus) -> None:
    with running_api(api_settings(kafka_of(ingest))) as api:
        address = collecting(api, prometheus)
        assert api.http.get(address.rpartition("/")[0]).json()["running"] is False
        source = address.split("/")[3]
        assert api.http.post("/api/datasources/nobody/collectors", json=CONFIG).json()["code"] == "not_found"
        bad = api.http.post(f"/api/datasources/{source}/collectors", json={**CONFIG, "tenant": "a/b"})
        assert bad.json()["errors"][0]["field"] == "tenant"
        assert api.http.delete(f"/api/datasources/{source}", headers={"If-Match": "*"}).status_code == 204
        assert api.http.get(address).json()["code"] == "not_found"


def test_a_lease_is_for_one_and_runs_out(store_url: str) -> None:
    """On SQLite and PostgreSQL; who has lost it settles nothing."""

    async def main() -> None:
        store = Store(store_url, ApiMeters())
        config = CollectorConfig.model_validate({**CONFIG, "transforms": []})

        async def claim(owner: str, now_ms: int) -> list[collector_table.Claimed]:
            return await store.write(lambda connection: collector_table.claim(connection, owner, now_ms, LEASE_MS, 8))

        async def settle(owner: str, claimed: collector_table.Claimed, next_ms: int, now_ms: int) -> bool:
            outcome = Outcome(next_ms, now_ms + 1000, samples=5)
            return await store.write(lambda c: collector_table.settle(c, owner, claimed, outcome, now_ms))

        await store.write(lambda connection: source_table.create(connection, SOURCE))
        await store.write(lambda connection: collector_table.create(connection, "c", "s", config, NOW_MS))
        (one,) = await claim("one", NOW_MS)
        assert one.next_ms == NOW_MS - 1000
        assert await claim("two", NOW_MS + LEASE_MS - 1) == []
        (two,) = await claim("two", NOW_MS + LEASE_MS)
        assert two.next_ms == one.next_ms
        assert not await settle("one", one, one.next_ms + 5000, NOW_MS + LEASE_MS)
        assert await settle("two", two, two.next_ms + 5000, NOW_MS + LEASE_MS)
        assert await claim("one", NOW_MS + LEASE_MS) == []  # not due yet
        (again,) = await claim("one", NOW_MS + LEASE_MS + 1000)
        assert again.next_ms == one.next_ms + 5000
        assert await store.write(lambda c: collector_table.replace(c, "c", 1, config, NOW_MS))
        assert not await settle("one", again, again.next_ms + 5000, NOW_MS)
        found = await store.read(lambda c: collector_table.read(c, "s", "c", NOW_MS))
        assert (found.revision, found.status.samples) == (2, 5)
        await store.stop()

    asyncio.run(main())


def test_a_source_that_is_deleted_at_that_moment_takes_a_new_collector_with_it(store_url: str) -> None:
    """By two replicas, of which one has found the source before the other deleted it."""
    config = CollectorConfig.model_validate({**CONFIG, "transforms": []})
    made, removed = Event(), Event()

    def create(connection: Connection) -> None:
        collector_table.create(connection, "c", "s", config, NOW_MS)
        made.set()
        removed.wait(0.3)  # in vain: whoever removes the source waits for this transaction

    def remove(connection: Connection) -> bool:
        gone = source_table.remove(connection, "s", 1)
        removed.set()
        return gone

    async def main() -> None:
        one, other = Store(store_url, ApiMeters()), Store(store_url, ApiMeters())
        await one.write(lambda connection: source_table.create(connection, SOURCE))
        await other.write(lambda _: None)  # it is connected
        creating = asyncio.create_task(one.write(create))
        await asyncio.to_thread(made.wait, 10)
        assert await other.write(remove)
        await creating
        found = await one.read(lambda connection: collector_table.StoredCollectors.read(connection, NOW_MS))
        with pytest.raises(ApiError, match="data source 's' does not exist"):
            found.text("s")
        with pytest.raises(ApiError, match="has no collector 'c'"):
            await one.read(lambda connection: collector_table.read(connection, "s", "c", NOW_MS))
        with pytest.raises(ApiError, match="data source 's' does not exist"):
            await one.write(lambda connection: collector_table.create(connection, "c", "s", config, NOW_MS))
        await one.stop()
        await other.stop()

    asyncio.run(main())
