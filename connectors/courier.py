"""From the event loop to Kafka and back: requests are prepared and sent in one thread, confirmations return in batches.

kafka-python knows no asyncio: ``send`` may block (an unknown topic, a broker that is gone) and futures are resolved in
its own thread. So nothing of it runs in the loop. What bounds memory is the budget: a job's bytes stay reserved until
Kafka has confirmed or given up every record of it, even if its client was answered 503 long before.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from connectors.errors import TocsinError, Unavailable
from connectors.job import Batch, Job, Settled
from connectors.messages import OutRecord
from connectors.pile import Pile, jobs_of, records
from connectors.renewing_producer import RenewingProducer
from connectors.returns import Returns
from connectors.settings import KafkaSettings

GATHER_S = 0.01
GATHER_BYTES = 16 * 1024 * 1024
"""While Kafka has not confirmed what was sent before, records are gathered for so long or so much: the busier, the
larger the batches, at no cost for whoever comes alone."""
LOOK_S = 1.0
"""How often the thread looks at the producer when nothing else happens."""
STOP, IDLE = "stop", "idle"
"""Words in the job queue: the end, and that Kafka has confirmed all that was sent."""
_log = logging.getLogger(__name__)
T = TypeVar("T")


class Courier:
    """One thread with one producer. ``start`` in the loop, ``stop`` from any thread but the loop's callbacks."""

    def __init__(self, settings: KafkaSettings, warm: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self._settings = settings
        self._warm = warm
        self._jobs: SimpleQueue[Job[Any] | str] = SimpleQueue()
        self._pile = Pile()
        self._returns = Returns()
        self._producer = RenewingProducer(settings, self._refuse_waiting, partial(self._jobs.put, IDLE))
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    @property
    def unready_reason(self) -> str:
        """Empty once requests are taken."""
        if self.error is not None:
            return str(self.error)
        if self._producer.stopping:
            return "ingest is stopping"
        kafka = self._settings.kafka
        return "" if self._producer.connected else f"not yet connected to Kafka at {kafka} (TOCSIN_KAFKA)"

    @property
    def failing_reason(self) -> str:
        """Empty unless the last record was not confirmed, or no record is for a while; requests are taken all the same.

        A record a second and partition is always under way: the control records.
        """
        return self._producer.failing_reason

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Connect and serve; the caller need not wait."""
        self._returns.start(loop)
        self._thread.start()

    def stop(self) -> None:
        """Send what was taken, wait a little for its confirmation, and close."""
        self._producer.stop()
        self._jobs.put(STOP)
        if self._thread.ident is not None:
            self._thread.join()

    async def deliver(self, prepare: Callable[[], Batch[T]], settled: Settled, timeout_s: float) -> T:
        """Prepare and send in the thread; returns the outcome once Kafka has confirmed every record.

        Raises what ``prepare`` raises, ``Unavailable`` when Kafka fails or is silent for ``timeout_s``, ``TooLarge``
        when it refuses a record. ``settled`` is called in the loop exactly once, at the latest when Kafka's delivery
        time-out has passed.
        """
        if self.unready_reason:
            settled(None)
            raise Unavailable(self.unready_reason)
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put(Job(prepare, answer, settled))
        try:
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError as error:
            message = f"Kafka at {self._settings.kafka} (TOCSIN_KAFKA) has not confirmed within {timeout_s} s"
            raise Unavailable(message) from error

    def _run(self) -> None:
        try:
            self._warm()
            self._producer.connect()
            self._serve()
        except BaseException as error:  # noqa: BLE001 - the owner sees it through ``error`` and ends the process
            _log.critical("courier: %r", error, exc_info=not isinstance(error, TocsinError))
            self.error = error
        finally:
            self._refuse_rest()
            self._producer.close()

    def _refuse_waiting(self, error: Unavailable) -> None:
        """Answer the jobs that came before the connection was lost."""
        with suppress(Empty):
            while True:
                item = self._jobs.get_nowait()
                if isinstance(item, Job):
                    self._returns.one_less(item, error)
                elif item is STOP:
                    self._jobs.put(STOP)
                    return

    def _refuse_rest(self) -> None:
        """Answer the jobs that nobody will send any more: those in the queue and those in the pile."""
        error = Unavailable("ingest is stopping" if self.error is None else f"ingest has failed: {self.error!r}")
        self._refuse_waiting(error)
        for job in jobs_of(self._pile.take()):
            self._returns.one_less(job, error)

    def _serve(self) -> None:
        """Prepare jobs as they come and send what is gathered, until told to stop."""
        serving = True
        while serving and self._producer.connected:
            wait_s = self._pile.since_s + GATHER_S - time.monotonic() if self._pile else LOOK_S
            serving = self._take(wait_s)
            if self._pile and (not serving or self._due()):
                self._flush()
            self._producer.renew_if_broken()

    def _take(self, wait_s: float) -> bool:
        """Prepare the jobs that wait, the first for at most ``wait_s``; False when it is time to stop."""
        with suppress(Empty):
            item = self._jobs.get(timeout=max(0.0, wait_s))
            while item is not STOP:
                if isinstance(item, Job):
                    self._prepare(item)
                if self._pile.size_bytes >= GATHER_BYTES:
                    return True
                item = self._jobs.get_nowait()
            return False
        return True

    def _due(self) -> bool:
        """Whether to send now: Kafka is idle, enough has come together, or the oldest has waited long enough."""
        aged = time.monotonic() - self._pile.since_s >= GATHER_S
        return self._producer.idling or self._pile.size_bytes >= GATHER_BYTES or aged

    def _prepare(self, job: Job[Any]) -> None:
        if job.answer.done():  # its client was told 503 while this thread was blocked: sending would double it
            return self._returns.one_less(job)
        try:
            pieces, own, job.outcome = job.prepare()
        except TocsinError as error:
            return self._returns.one_less(job, error)
        except BaseException as error:
            self._returns.one_less(job, Unavailable(f"ingest has failed: {error!r}"))
            raise
        for record in own:
            self._send(record, [job])
        if pieces:
            return self._pile.add(pieces, job, time.monotonic())
        self._returns.one_less(job)

    def _flush(self) -> None:
        """Send all that is gathered."""
        gathered = self._pile.take()
        for record, waiters in records(gathered):
            self._send(record, waiters)
        for job in jobs_of(gathered):
            self._returns.one_less(job)

    def _send(self, record: OutRecord, jobs: Collection[Job[Any]]) -> None:
        """Send a record that these jobs wait for, unless Kafka has already failed all of them."""
        if all(job.error is not None for job in jobs):
            return
        self._returns.one_more(jobs)
        self._producer.send(record, partial(self._sent, jobs))

    def _sent(self, jobs: Collection[Job[Any]], error: TocsinError | None) -> None:
        for job in jobs:
            self._returns.one_less(job, error)
