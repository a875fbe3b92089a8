"""The ASGI application without Kafka: the courier is one that a test directs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar, cast

import cramjam
import pytest
import uvicorn

from connectors import ingest as module
from connectors.courier import Courier
from connectors.ingest import Ingest, make_server, serve
from connectors.ingest_settings import IngestSettings
from connectors.job import Batch, Settled
from tests import wire
from tests.ingests import V1, V2

T = TypeVar("T")
SERIES, PAD_BYTES = 50, 1900


class FakeCourier:
    """Prepares in another thread and settles as a courier does; ``look`` sees the moment in between."""

    unready_reason = failing_reason = ""
    error = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        assert loop.is_running()

    def stop(self) -> None:
        self.stopped = True

    def __init__(self, look: Callable[[Batch[Any]], None] = lambda _: None) -> None:
        self._look = look
        self.stopped = False

    async def deliver(self, prepare: Callable[[], Batch[T]], settled: Settled, timeout_s: float) -> T:  # noqa: ARG002 - as the courier
        failed: BaseException | None = None
        try:
            batch = await asyncio.to_thread(prepare)
            self._look(batch)
        except BaseException as error:
            failed = error
            raise
        finally:
            settled(failed)
        return batch.outcome


def ingest(look: Callable[[Batch[Any]], None] = lambda _: None, **settings: Any) -> Ingest:
    app = Ingest(IngestSettings(partitions=4, **settings))
    app.courier = cast("Courier", FakeCourier(look))
    return app


def write(app: Ingest, request: bytes, headers: dict[str, str] = V1) -> tuple[int, dict[str, Any]]:
    """Status and JSON body of the answer to a request that is not yet compressed."""
    said: list[dict[str, Any]] = []
    body = bytes(cramjam.snappy.compress_raw(request))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    named = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/write", "headers": named}
    asyncio.run(app(scope, receive, send))
    return said[0]["status"], json.loads(said[1]["body"] or b"{}")


def unfolding() -> bytes:
    """A small 2.0 request whose references unfold to fifty times as much."""
    request = wire.V2["Request"](symbols=[b"", b"__name__", b"up", b"pad", b"x" * PAD_BYTES])
    for _ in range(SERIES):
        request.timeseries.add(labels_refs=[1, 2, 3, 4]).samples.add(value=0, timestamp=1)
    return bytes(request.SerializeToString())


def test_records_that_references_unfold_to_count_as_in_flight() -> None:
    seen: list[tuple[int, int]] = []

    def look(batch: Batch[Any]) -> None:
        seen.append((app.budget.used_bytes, sum(len(piece.value) for piece in batch.pieces)))

    app = ingest(look)
    assert write(app, unfolding(), V2)[0] == 204
    ((used_bytes, made_bytes),) = seen
    assert made_bytes > SERIES * PAD_BYTES
    assert used_bytes >= made_bytes + len(unfolding())
    assert app.budget.used_bytes == 0


def test_records_for_which_there_is_no_room_are_refused_for_now() -> None:
    app = ingest(ingest_max_body_bytes=8_000, ingest_max_decoded_bytes=200_000, ingest_max_in_flight_bytes=410_000)
    app.budget.take(410_000 - SERIES * PAD_BYTES)
    status, said = write(app, unfolding(), V2)
    assert (status, said["reason"]) == (429, "overloaded")
    assert app.budget.used_bytes == 410_000 - SERIES * PAD_BYTES
    app.budget.give(app.budget.used_bytes)
    assert write(app, unfolding(), V2)[0] == 204


def test_records_of_metadata_count_as_in_flight_and_what_is_left_out_is_counted() -> None:
    seen: list[tuple[int, int]] = []

    def look(batch: Batch[Any]) -> None:
        seen.append((app.budget.used_bytes, sum(len(record.value or b"") for record in batch.records)))

    app = ingest(look)
    request = wire.V1["Request"]()
    for name in (*(f"f{n}" for n in range(500)), "x" * 1025):
        request.metadata.add(type=1, family=name.encode())
    assert write(app, request.SerializeToString())[0] == 204
    ((used_bytes, made_bytes),) = seen
    assert used_bytes >= made_bytes > 2 * len(request.SerializeToString())
    assert app.budget.used_bytes == 0
    assert app.meters.registry.get_sample_value("tocsin_ingest_metadata_left_total") == 1


class FakeControl:
    """Control records whose run is over at once; without an error of their own, as when a bug ended it."""

    error = None

    def __init__(self, *_: object) -> None:
        pass

    async def run(self) -> None:
        pass

    def stop(self) -> None:
        pass


class BrokenControl(FakeControl):
    """Ones that cannot even be made."""

    def __init__(self, *_: object) -> None:
        message = "no thread"
        raise RuntimeError(message)


class FakeServer:
    """Serves until told to stop."""

    should_exit = False

    async def serve(self) -> None:
        async with asyncio.timeout(10):
            while not self.should_exit:  # noqa: ASYNC110 - as uvicorn
                await asyncio.sleep(0.001)


def run_to_its_end(app: Ingest, monkeypatch: pytest.MonkeyPatch, control: type[FakeControl]) -> None:
    """Serve until the server has ended."""
    monkeypatch.setattr(module, "Control", control)
    monkeypatch.setattr(module, "WATCH_S", 0.001)
    asyncio.run(serve(app, cast("uvicorn.Server", FakeServer())))


def test_control_records_that_end_without_a_word_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    app = ingest()
    run_to_its_end(app, monkeypatch, FakeControl)
    assert app.died
    assert cast("FakeCourier", app.courier).stopped


def test_a_watch_that_breaks_ends_the_server_and_stops_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    app = ingest()
    with pytest.raises(RuntimeError, match="no thread"):
        run_to_its_end(app, monkeypatch, BrokenControl)
    assert cast("FakeCourier", app.courier).stopped


def test_an_idle_connection_outlasts_what_a_quiet_sender_waits() -> None:
    batch_send_deadline_s = 5
    app = ingest()
    assert make_server(app, app.settings).config.timeout_keep_alive > 10 * batch_send_deadline_s
