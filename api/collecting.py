"""Runs the collectors: asks data sources step by step, and sends what they say to ingest as remote write.

A run goes on from the last step that Kafka has confirmed, which is what ingest's answer means. Killed between that
answer and its note in the store, it sends some steps twice, and the flow drops samples that it has seen.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import cramjam
import httpx

from api import collector_table
from api.collector_table import MAX_COLLECTORS, Claimed, Outcome, latest_step_ms
from api.meters import ApiMeters
from api.past_series import as_live, named
from api.problems import ApiError
from api.sources import Sources
from api.store import Store
from connectors.codec.encode import encode_write_request
from connectors.errors import Rejected, TocsinError, Unavailable
from connectors.sources.decode import SourceSeries
from connectors.sources.pieces import Range

log = logging.getLogger(__name__)

LOOK_S = 1.0
LEASE_MS = 30_000
RUN_DEADLINE_S = 15.0
"""Half of the lease: when it runs out, whoever held it has long ended its run."""
AT_A_TIME = 8
STEPS_PER_RUN = 500
"""At most; of a collector whose last run failed half as many as then, since it may have been too much at once."""
POINTS_PER_RUN = 200_000
SAMPLES_PER_BODY = 10_000
OLDEST_MS = 6 * 3_600_000
"""Steps further back are given up: Kafka keeps samples for so long, and detectors make nothing of older ones."""
AGAIN_MS = 5_000
"""A run that failed is repeated after so long."""
HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
           "X-Prometheus-Remote-Write-Version": "0.1.0"}  # fmt: skip
Written = tuple[Mapping[str, str], Sequence[tuple[int, float]]]


class Collecting:
    """One task that looks for what is due, and a task for each run."""

    def __init__(
        self,
        store: Store,
        sources: Sources,
        ingest_url: str,
        meters: ApiMeters,
        now_ms: Callable[[], int],
    ) -> None:
        self.owner = secrets.token_hex(8)
        self._store = store
        self._sources = sources
        self._ingest_url = ingest_url
        self._meters = meters
        self._now_ms = now_ms
        self._looking: asyncio.Task[None] | None = None
        self._runs: set[asyncio.Task[None]] = set()
        self._steps: dict[str, int] = {}
        """steps of the next run, of those collectors that failed lately; at most as many as there may be collectors"""

    def start(self) -> None:
        """Begin, unless no ingest is named."""
        if self._ingest_url:
            self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """End all runs; what was not noted is sent once more by whoever goes on."""
        tasks = [task for task in (self._looking, *self._runs) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=10.0) as http:
            while True:
                try:
                    await self._begin(http)
                except TocsinError as error:  # the store is away: it says so itself
                    log.debug("collectors: %s", error)
                except Exception:
                    log.exception("collectors: looking for what is due failed, and is tried again")
                await asyncio.sleep(LOOK_S)

    async def _begin(self, http: httpx.AsyncClient) -> None:
        free = AT_A_TIME - len(self._runs)
        if free <= 0:
            return
        now_ms = self._now_ms()
        if not await self._store.read(partial(collector_table.any_due, now_ms=now_ms)):
            return
        take = partial(collector_table.claim, owner=self.owner, now_ms=now_ms, lease_ms=LEASE_MS, most=free)
        for claimed in await self._store.write(take):
            run = asyncio.create_task(self._run(http, claimed))
            self._runs.add(run)
            run.add_done_callback(self._runs.discard)

    async def _run(self, http: httpx.AsyncClient, claimed: Claimed) -> None:
        begin_ms = self._now_ms()
        try:
            async with asyncio.timeout(RUN_DEADLINE_S):
                outcome = await self._collect(http, claimed, begin_ms)
        except TimeoutError:
            outcome = _failed(claimed, begin_ms, f"not done within {RUN_DEADLINE_S:g} s")
        except (TocsinError, httpx.HTTPError) as error:
            outcome = _failed(claimed, begin_ms, str(error) or repr(error))
        except Exception as error:
            log.exception("collector %s of %s", claimed.id, claimed.source)
            outcome = _failed(claimed, begin_ms, f"unexpected error: {error!r}")
        self._learn(claimed, outcome)
        self._meters.sources.collector_runs.labels("failed" if outcome.error else "ok").inc()
        self._meters.sources.collected.inc(outcome.samples)
        if outcome.error:
            log.warning("collector %s of %s: %s", claimed.id, claimed.source, outcome.error)
        note = partial(
            collector_table.settle, owner=self.owner, claimed=claimed, outcome=outcome, now_ms=self._now_ms()
        )
        try:
            await self._store.write(note)
        except TocsinError as error:  # the lease runs out, and it is run again
            log.warning("collector %s: %s", claimed.id, error)

    def _learn(self, claimed: Claimed, outcome: Outcome) -> None:
        """How many steps the next run asks for."""
        steps = self._steps.pop(claimed.id, STEPS_PER_RUN)
        if outcome.next_ms > claimed.next_ms:
            steps *= 2
        elif outcome.error:
            steps = max(1, steps // 2)
        if steps < STEPS_PER_RUN:
            self._steps[claimed.id] = steps
        while len(self._steps) > MAX_COLLECTORS:
            del self._steps[next(iter(self._steps))]

    async def _collect(self, http: httpx.AsyncClient, claimed: Claimed, now_ms: int) -> Outcome:
        """Fetch and send what is there since the last run."""
        config, step_ms = claimed.config, 1000 * claimed.config.step_s
        latest_ms = latest_step_ms(config, now_ms)
        if not config.enabled:
            return Outcome(claimed.next_ms, now_ms + step_ms)
        oldest_ms = latest_ms - OLDEST_MS // step_ms * step_ms
        from_ms = -(-max(claimed.next_ms, oldest_ms) // step_ms) * step_ms
        to_ms = min(latest_ms, from_ms + (self._steps.get(claimed.id, STEPS_PER_RUN) - 1) * step_ms)
        if from_ms > to_ms:
            return Outcome(claimed.next_ms, from_ms + 1000 * config.delay_s)
        try:
            source = await self._sources.read(claimed.source)
        except ApiError as error:
            return _failed(claimed, now_ms, str(error))
        async with self._sources.asking(source, RUN_DEADLINE_S) as api:
            found = await api.fresh_range(Range(config.query, from_ms, to_ms, step_ms), POINTS_PER_RUN)
        kept, left_out = await self._sources.work.run(partial(prepared, claimed, found))
        samples, refusal = 0, ""
        for body in bodies(kept):
            try:
                await self._send(http, config.tenant, body)
                samples += sum(len(pairs) for _, pairs in body)
            except Rejected as refused:  # as for every sender: it would be refused again, and hold up all that follows
                refusal = str(refused)
        due_ms = now_ms if to_ms < latest_ms else to_ms + step_ms + 1000 * config.delay_s
        skipped_ms = max(0, from_ms - claimed.next_ms) if oldest_ms > claimed.next_ms else 0
        return Outcome(to_ms + step_ms, due_ms, samples, left_out, skipped_ms, refusal)

    async def _send(self, http: httpx.AsyncClient, tenant: str, body: Sequence[Written]) -> None:
        """Raises ``Unavailable`` when it may be sent again, ``Rejected`` when ingest refuses some of it."""
        packed = await asyncio.to_thread(lambda: bytes(cramjam.snappy.compress_raw(encode_write_request(body))))
        answer = await http.post(self._ingest_url, content=packed, headers={**HEADERS, "X-Scope-OrgID": tenant})
        if answer.is_success:
            return
        message = f"ingest answered {answer.status_code}: {answer.text[:300]}"
        if answer.status_code in (429, 500, 502, 503, 504):
            raise Unavailable(message)
        raise Rejected(reason="ingest", message=message)


def prepared(claimed: Claimed, found: Sequence[SourceSeries]) -> tuple[list[Written], int]:
    """The series as they are written; and how many were left out: without a name, or the same as one before."""
    kept, left_out = named(as_live(found, claimed.config.transforms, {}))
    written = (
        (dict(one.labels), list(zip(one.times_ms.tolist(), one.values.tolist(), strict=True)))
        for one in kept
        if len(one.times_ms)
    )
    return list(written), left_out


def bodies(kept: Sequence[Written]) -> Iterator[list[Written]]:
    """Whole series, as many as make a body of usual size."""
    body, samples = list[Written](), 0
    for labels, pairs in kept:
        body.append((labels, pairs))
        samples += len(pairs)
        if samples >= SAMPLES_PER_BODY:
            yield body
            body, samples = [], 0
    if body:
        yield body


def _failed(claimed: Claimed, now_ms: int, error: str) -> Outcome:
    return Outcome(claimed.next_ms, now_ms + AGAIN_MS, error=error)
