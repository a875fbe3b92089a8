"""Remote write and pushes of logs in, Kafka records out: a bare ASGI application.

Status codes are decided here, bytes elsewhere. Run as ``python -m connectors.ingest``. Every answer: docs/ingest.md.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from connectors.process import collect_garbage, keep_freed_memory, leave_out

if __name__ == "__main__":
    gc.disable()  # until ``collect_garbage``
    leave_out("coverage")

import uvicorn

from connectors.body import Disconnected, Receive, read_body
from connectors.broker_gate import BrokerGate
from connectors.budget import Budget, Held
from connectors.codec.compression import Decompressor, actual_encoding, declared_bytes
from connectors.codec.negotiation import Encoding, encoding_of, headers_of, tenant_of, version_of
from connectors.codec.push_negotiation import Push, push_of
from connectors.codec.remote_write import Split, Version, split_request
from connectors.codec.runs import Runs
from connectors.codec.series_hash import tenant_seed
from connectors.control import Control
from connectors.courier import Courier
from connectors.errors import Rejected, TocsinError, Unavailable
from connectors.http_answer import Answer
from connectors.http_protocol import KEEP_ALIVE_S, BoundedHttpProtocol
from connectors.ingest_answers import PUSH, WRITE, error_answer, other_answer, pushed_answer, written_answer
from connectors.ingest_meters import IngestMeters
from connectors.ingest_settings import IngestSettings
from connectors.job import Batch, Piece
from connectors.messages import OutRecord
from connectors.metadata import MetadataNews
from connectors.probes import Component, degraded_if, down_if
from connectors.pushes import Pushes
from connectors.startup import start_process
from connectors.warm import warm_kernels

MAX_KNOWN_SERIES = 200_000
"""Series whose labels are remembered, at most some 100 MB; what comes beyond is checked and hashed each time."""
WATCH_S = 0.5
SHUTDOWN_S = 5

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Deliver = Callable[[bytes, Held], Awaitable[Answer]]
"""Writes a body and answers; raises ``TocsinError``."""


class Write(NamedTuple):
    """What the headers of a write say."""

    version: Version
    encoding: Encoding
    tenant: str


class Ingest:
    """The ASGI application and what it runs on: the courier to Kafka and the control records."""

    def __init__(self, settings: IngestSettings, warm: Callable[[], None] = warm_kernels) -> None:
        self.settings = settings
        self.meters = IngestMeters()
        self.budget = Budget(settings.ingest_max_in_flight_bytes)
        self.courier = Courier(settings, warm)
        self.control: Control | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._gate = BrokerGate(settings.broker_status_file)
        self._news = MetadataNews(settings.topics, settings.partitions)
        self._decompressor = Decompressor()
        self._known = Runs(MAX_KNOWN_SERIES)
        self._limits = settings.label_limits
        self._pushes = Pushes(settings, self.meters)
        self._posts: dict[str, Callable[[Mapping[str, str]], Deliver]] = {WRITE: self._write, PUSH: self._push}
        self.meters.in_flight.set_function(lambda: self.budget.used_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        if method == "POST" and path in self._posts:
            try:
                answer = await self._take(self._posts[path], scope, receive)
            except Disconnected:
                return
            self.meters.requests.labels(str(answer.status)).inc()
        else:
            answer = other_answer(method, path, self.meters.registry, self._components)
        headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
        if answer.status == 204:
            headers = answer.headers
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def watch(self, server: uvicorn.Server) -> None:
        """Start the control records once Kafka is there; end the server when what it runs on has died."""
        try:
            self.courier.start(asyncio.get_running_loop())
            while not server.should_exit and not self.died:
                if self.control is None and not self.courier.unready_reason:
                    self.control = Control(self.settings, self.courier, self.meters)
                    self._ticking = asyncio.create_task(self.control.run())
                await asyncio.sleep(WATCH_S)
        finally:
            server.should_exit = True
            if self._ticking is not None:
                self._ticking.cancel()

    @property
    def died(self) -> bool:
        """Whether the courier or the control records ended with an error."""
        ended = self._ticking is not None and self._ticking.done() and not self._ticking.cancelled()
        return self.courier.error is not None or ended

    def stop(self) -> None:
        """End the control records, then send what was taken; blocks, and the loop must still run."""
        if self.control is not None:
            self.control.stop()
        self.courier.stop()

    async def _take(self, post: Callable[[Mapping[str, str]], Deliver], scope: Scope, receive: Receive) -> Answer:
        """Take a post: its headers are judged before its body is read."""
        held = Held(self.budget)
        try:
            headers = headers_of(scope["headers"])
            deliver = post(headers)
            self._gate.check(time.monotonic())
            length, limit = headers.get("content-length", ""), self.settings.ingest_max_body_bytes
            body = await read_body(receive, length, held, limit, self.settings.ingest_body_timeout_s)
            self.meters.received.inc(len(body))
            return await deliver(body, held)
        except TocsinError as error:
            if isinstance(error, Rejected):
                self.meters.refused_requests.labels(error.reason).inc()
            if isinstance(error, Unavailable):
                self.meters.unconfirmed.inc()
            return error_answer(error)
        finally:
            held.let_go()

    def _push(self, headers: Mapping[str, str]) -> Deliver:
        return partial(self._deliver_push, push_of(headers))

    async def _deliver_push(self, push: Push, body: bytes, held: Held) -> Answer:
        if self.control is not None:
            self.control.logs_come()
        return pushed_answer(await self._pushes.deliver(self.courier, push, body, held))

    def _write(self, headers: Mapping[str, str]) -> Deliver:
        return partial(self._deliver, Write(version_of(headers), encoding_of(headers), tenant_of(headers)))

    async def _deliver(self, write: Write, body: bytes, held: Held) -> Answer:
        encoding = actual_encoding(body, write.encoding)
        limit = self.settings.ingest_max_decoded_bytes
        decoded = declared_bytes(body, encoding, limit)
        held.take(2 * decoded)
        self.meters.decoded.inc(decoded)
        started_s = time.monotonic()
        news: list[OutRecord] = []

        def prepare() -> Batch[Split]:
            split = split_request(
                self._decompressor.decompress(body, encoding, decoded, limit), write.version, tenant_seed(write.tenant),
                self.settings.partitions, expanded_bytes=limit, known=self._known,
                limits=self._limits,
            )  # fmt: skip
            self.meters.remembered(self._known)
            told = self._news.news(write.tenant, split.families, started_s, limit - split.size_bytes)
            news.extend(told.records)
            self.meters.untold.inc(split.untold + told.left)
            # as much as came is reserved; references unfold to more
            held.take(max(0, split.size_bytes + told.size_bytes - decoded))
            key = write.tenant.encode()
            parts = [Piece(self.settings.topics.metrics, key, p.partition, p.value) for p in split.parts]
            return Batch(parts, news, split)

        give = held.hand_over()

        def settled(error: BaseException | None) -> None:
            give()
            if error is not None:
                self._news.forget(news)

        split = await self.courier.deliver(prepare, settled, self.settings.ingest_request_timeout_s)
        self.meters.confirmed(split, write.version, time.monotonic() - started_s)
        return written_answer(write.version, split)

    def _components(self) -> dict[str, Component]:
        control = self.control.unready_reason if self.control is not None else "waiting for Kafka"
        kafka = self.courier.unready_reason or self.courier.failing_reason
        # full: writes are answered 429, by this very process; another start would not help
        full = degraded_if(self._gate.full_reason(time.monotonic()))
        return {"kafka": down_if(kafka), "control": down_if(control), "broker": full}


def make_server(app: Ingest, settings: IngestSettings) -> uvicorn.Server:
    """A server on httptools and uvloop; the log goes through the root logger."""
    config = uvicorn.Config(
        app, host=settings.host, port=settings.ingest_port, loop="uvloop", http=BoundedHttpProtocol, ws="none",
        lifespan="off", log_config=None, access_log=False, server_header=False, date_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S, timeout_keep_alive=KEEP_ALIVE_S,
    )  # fmt: skip
    return uvicorn.Server(config)


async def serve(app: Ingest, server: uvicorn.Server) -> None:
    """Serve until told to stop, or until what the server runs on has died."""
    watching = asyncio.create_task(app.watch(server))
    try:
        await server.serve()
    finally:
        watching.cancel()
        try:
            with suppress(asyncio.CancelledError):
                await watching
        finally:
            await asyncio.to_thread(app.stop)


def start_warm() -> None:
    """Have the kernels ready, and all that a process holds then for good."""
    warm_kernels()
    collect_garbage()


def main() -> int:
    """Run ingest with the settings of the environment; 1 when it should be started anew."""
    settings = start_process("ingest", IngestSettings)
    keep_freed_memory()
    app = Ingest(settings, start_warm)
    server = make_server(app, settings)
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises what it caught once more at its end
        signal.signal(number, lambda *_: None)
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(serve(app, server))
    return 1 if app.died else 0


if __name__ == "__main__":
    sys.exit(main())
