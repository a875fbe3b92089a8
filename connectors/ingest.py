"""Remote write in, Kafka records out: a bare ASGI application. Status codes are decided here, bytes elsewhere.

Run as ``python -m connectors.ingest``. See docs/ingest.md for every answer.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import uvicorn
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from connectors.broker_gate import BrokerGate
from connectors.codec.compression import Decompressor, actual_encoding, declared_bytes
from connectors.codec.encode import encode_write_request
from connectors.codec.negotiation import Encoding, encoding_of, headers_of, tenant_of, version_of
from connectors.codec.remote_write import Split, Version, split_request
from connectors.codec.runs import Runs
from connectors.codec.series_hash import tenant_seed
from connectors.control import Control
from connectors.courier import Batch, Budget, Courier, Piece
from connectors.errors import Overloaded, Rejected, TocsinError, TooLarge, TooSlow, Unavailable
from connectors.http_protocol import BoundedHttpProtocol
from connectors.ingest_answers import Answer, error_answer, json_answer, written_answer
from connectors.ingest_meters import IngestMeters
from connectors.ingest_settings import MIB, IngestSettings
from connectors.messages import OutRecord
from connectors.metadata import MetadataNews
from connectors.startup import start_process

REQUEST_BYTES = 4096
"""What a request costs beside its bytes; bounds how many may wait."""
MAX_KNOWN_SERIES = 200_000
"""Series whose labels are remembered, at most some 100 MB; what comes beyond is checked and hashed each time."""
WATCH_S = 0.5
SHUTDOWN_S = 5
WARM_2 = b'"\0"\x08__name__"\x04warm*\x0a\x0a\x02\x01\x02\x12\x04\x10\x01\x18\x01'
"""A request of remote write 2.0: three symbols, and one series with a sample that has a start."""
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Options of mallopt(3)."""

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Disconnected(Exception):  # noqa: N818 - nobody is left to be told of an error
    """The client went away while it was sending."""


class Write(NamedTuple):
    """What the headers of a write say."""

    version: Version
    encoding: Encoding
    tenant: str


class Ingest:
    """The ASGI application and what it runs on: the courier to Kafka and the control records."""

    def __init__(self, settings: IngestSettings) -> None:
        self.settings = settings
        self.meters = IngestMeters()
        self.budget = Budget(settings.ingest_max_in_flight_bytes)
        self.courier = Courier(settings, warm_kernels)
        self.control: Control | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._gate = BrokerGate(settings.broker_status_file)
        self._news = MetadataNews(settings.topics.metadata)
        self._decompressor = Decompressor()
        self._known = Runs(MAX_KNOWN_SERIES)
        self._limits = settings.label_limits
        self.meters.in_flight.set_function(lambda: self.budget.used_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            return
        route = (scope["method"], scope["path"])
        if route == ("POST", "/api/v1/write"):
            try:
                answer = await self._write(scope, receive)
            except Disconnected:
                return
            self.meters.requests.labels(str(answer.status)).inc()
        else:
            answer = self._probe(*route)
        headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
        if answer.status == 204:
            headers = answer.headers
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def watch(self, server: uvicorn.Server) -> None:
        """Start the control records once Kafka is there; end the server when what it runs on has died."""
        self.courier.start(asyncio.get_running_loop())
        while not server.should_exit and not self.died:
            if self.control is None and not self.courier.unready_reason:
                self.control = Control(self.settings, self.courier, self.meters)
                self._ticking = asyncio.create_task(self.control.run())
            await asyncio.sleep(WATCH_S)
        server.should_exit = True
        if self._ticking is not None:
            self._ticking.cancel()

    @property
    def died(self) -> bool:
        """Whether the courier or the control records ended with an error."""
        return self.courier.error is not None or (self.control is not None and self.control.error is not None)

    def stop(self) -> None:
        """End the control records, then send what was taken; blocks, and the loop must still run."""
        if self.control is not None:
            self.control.stop()
        self.courier.stop()

    async def _write(self, scope: Scope, receive: Receive) -> Answer:
        held = Held(self.budget)
        try:
            headers = headers_of(scope["headers"])
            write = Write(version_of(headers), encoding_of(headers), tenant_of(headers))
            self._gate.check(time.monotonic())
            body = await self._read(receive, headers.get("content-length", ""), held)
            split = await self._deliver(write, body, held)
        except TocsinError as error:
            if isinstance(error, Rejected):
                self.meters.refused_requests.labels(error.reason).inc()
            if isinstance(error, Unavailable):
                self.meters.unconfirmed.inc()
            return error_answer(error)
        finally:
            held.let_go()
        return written_answer(write.version, split)

    async def _read(self, receive: Receive, length: str, held: Held) -> bytes:
        """The body; refused as soon as it is known to be too large, or not whole in time."""
        limit, timeout_s = self.settings.ingest_max_body_bytes, self.settings.ingest_body_timeout_s
        if length.isdecimal() and int(length) > limit:
            raise _body_too_large(limit)
        held.receive(REQUEST_BYTES)
        try:
            async with asyncio.timeout(timeout_s):
                chunks = await _chunks(receive, limit, held)
        except TimeoutError as error:
            message = f"body: not whole within {timeout_s:g} s (TOCSIN_INGEST_BODY_TIMEOUT_S)"
            raise TooSlow(reason="body_timeout", message=message) from error
        held.whole()
        self.meters.received.inc(sum(map(len, chunks)))
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _deliver(self, write: Write, body: bytes, held: Held) -> Split:
        encoding = actual_encoding(body, write.encoding)
        limit = self.settings.ingest_max_decoded_bytes
        decoded = declared_bytes(body, encoding, limit)
        held.take(2 * decoded)
        self.meters.decoded.inc(decoded)
        started_s = time.monotonic()
        news: list[OutRecord] = []

        def prepare() -> Batch[Split]:
            split = split_request(
                self._decompressor.decompress(body, encoding, limit), write.version, tenant_seed(write.tenant),
                self.settings.partitions, expanded_bytes=limit, known=self._known,
                limits=self._limits,
            )  # fmt: skip
            self.meters.remembered(self._known)
            key = write.tenant.encode()
            parts = [Piece(self.settings.topics.metrics, key, p.partition, p.value) for p in split.parts]
            news.extend(self._news.records(write.tenant, split.families, started_s))
            topic, partitions = self.settings.topics.metrics, self.settings.partitions
            return Batch(parts, [*news, *self._news.type_records(topic, write.tenant, news, partitions)], split)

        give = held.hand_over()

        def settled(error: BaseException | None) -> None:
            give()
            if error is not None:
                self._news.forget(news)

        split = await self.courier.deliver(prepare, settled, self.settings.ingest_request_timeout_s)
        self.meters.confirmed(split, write.version, time.monotonic() - started_s)
        return split

    def _probe(self, method: str, path: str) -> Answer:
        if path == "/api/v1/write":
            return json_answer(
                405, {"error": f"{method} {path}: POST only", "reason": "method_not_allowed"}, [(b"allow", b"POST")]
            )
        match path:
            case "/alive":
                return json_answer(200, {"alive": True})
            case "/ready":
                reasons = self._reasons()
                del reasons[
                    "broker"
                ]  # full: writes are answered 429, by this very process; another start would not help
                reason = "; ".join(filter(None, reasons.values()))
                return json_answer(503 if reason else 200, {"ready": not reason, "reason": reason})
            case "/health":
                return self._health()
            case "/metrics":
                kind = [(b"content-type", CONTENT_TYPE_LATEST.encode())]
                return Answer(200, kind, generate_latest(self.meters.registry))
        known = f"{path}: try /api/v1/write, /alive, /ready, /health or /metrics"
        return json_answer(404, {"error": known, "reason": "not_found"})

    def _reasons(self) -> dict[str, str]:
        """Component to why it is not ready; empty when it is."""
        control = self.control.unready_reason if self.control is not None else "waiting for Kafka"
        kafka = self.courier.unready_reason or self.courier.failing_reason
        return {"kafka": kafka, "control": control, "broker": self._broker_reason()}

    def _broker_reason(self) -> str:
        try:
            self._gate.check(time.monotonic())
        except Overloaded as error:
            return str(error)
        return ""

    def _health(self) -> Answer:
        reasons = self._reasons()
        components = {
            name: {"status": ("degraded" if name == "broker" else "down") if reason else "ok", "reason": reason}
            for name, reason in reasons.items()
        }
        statuses = [component["status"] for component in components.values()]
        worst = "down" if "down" in statuses else "degraded" if "degraded" in statuses else "ok"
        return json_answer(503 if worst == "down" else 200, {"status": worst, "components": components})


class Held:
    """What one request has reserved of the budget, given back exactly once."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._size = 0
        self._arriving = 0
        self._handed_over = False

    def take(self, size: int) -> None:
        """Reserve more; raises ``Overloaded``."""
        self._budget.take(size)
        self._size += size

    def receive(self, size: int) -> None:
        """Reserve for what has arrived of a body that is not yet whole; raises ``Overloaded``."""
        self.take(size)
        self._arriving += size
        self._budget.arriving_bytes += size

    def whole(self) -> None:
        """All of the body has arrived, or no more of it is read."""
        self._budget.arriving_bytes -= self._arriving
        self._arriving = 0

    def hand_over(self) -> Callable[[], None]:
        """From now on another gives it back, by calling the function returned."""
        self._handed_over = True
        return self._give

    def let_go(self) -> None:
        """Give back unless it was handed over."""
        if not self._handed_over:
            self._give()

    def _give(self) -> None:
        self.whole()
        self._budget.give(self._size)
        self._size = 0


def keep_freed_memory() -> None:
    """Tell glibc to keep what is freed, instead of giving it back and faulting it in again for the next request.

    Bodies and batches of half a megabyte come and go all the time; the budget bounds how much that can be. Worth 5 % of
    the CPU time; elsewhere than on glibc nothing happens.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((M_MMAP_THRESHOLD, 32 * MIB), (M_TRIM_THRESHOLD, 128 * MIB), (M_TOP_PAD, 16 * MIB)):
            mallopt(option, value)


def warm_kernels() -> None:
    """Compile, or load from numba's cache, what requests need, so that the first one does not wait."""
    usual, unsorted = {"__name__": "warm"}, {"z": "1", "__name__": "warm"}
    bodies = {Version.V1: encode_write_request([(usual, [(1, 1.0)]), (unsorted, [(1, 1.0)])]), Version.V2: WARM_2}
    for version, body in bodies.items():
        split_request(body, version, tenant_seed("warm"), 1, expanded_bytes=1 << 20, known=Runs(1))


async def _chunks(receive: Receive, limit: int, held: Held) -> list[bytes]:
    """All pieces of a body; only what has really arrived counts as in flight."""
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _body_too_large(limit)
        held.receive(len(chunk))
        chunks.append(chunk)
        more = message.get("more_body", False)
    return chunks


def _body_too_large(limit: int) -> TooLarge:
    message = f"body: more than {limit} bytes (TOCSIN_INGEST_MAX_BODY_BYTES)"
    return TooLarge(reason="too_large", message=message)


def make_server(app: Ingest, settings: IngestSettings) -> uvicorn.Server:
    """A server on httptools and uvloop; the log goes through the root logger."""
    config = uvicorn.Config(
        app, host=settings.host, port=settings.ingest_port, loop="uvloop", http=BoundedHttpProtocol, ws="none",
        lifespan="off", log_config=None, access_log=False, server_header=False, date_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )  # fmt: skip
    return uvicorn.Server(config)


async def serve(app: Ingest, server: uvicorn.Server) -> None:
    """Serve until told to stop, or until what the server runs on has died."""
    watching = asyncio.create_task(app.watch(server))
    try:
        await server.serve()
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await asyncio.to_thread(app.stop)


def main() -> int:
    """Run ingest with the settings of the environment; 1 when it should be started anew."""
    settings = start_process("ingest", IngestSettings)
    keep_freed_memory()
    app = Ingest(settings)
    server = make_server(app, settings)
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises what it caught once more at its end
        signal.signal(number, lambda *_: None)
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(serve(app, server))
    return 1 if app.died else 0


if __name__ == "__main__":
    sys.exit(main())
