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
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from kafka import KafkaProducer
from kafka.errors import KafkaError

from connectors.answers import SILENT_S
from connectors.errors import Misplaced, TocsinError, Unavailable
from connectors.job import Batch, Job, Settled
from connectors.kafka_clients import error_of, make_producer, send
from connectors.messages import OutRecord
from connectors.pile import Pile, jobs_of, records
from connectors.settings import KafkaSettings

CONNECT_TRY_S = 2.0
CLOSE_TIMEOUT_S = 5.0
GATHER_S = 0.01
GATHER_BYTES = 16 * 1024 * 1024
"""While Kafka has not confirmed what was sent before, records are gathered for so long or so much: the busier, the
larger the batches, at no cost for whoever comes alone."""
BATCH_BYTES = 1_000_000
"""Room for a whole record, so that the records of all partitions linger together and travel in one request."""
RENEW_AFTER_S = 3.0
"""A producer that only fails for so long, or is silent for so long beyond its delivery time-out, is replaced."""
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
        self.producer: KafkaProducer | None = None
        self._settings = settings
        self._warm = warm
        self._jobs: SimpleQueue[Job[Any] | str] = SimpleQueue()
        self._pile = Pile()
        self._outstanding = 0
        self._failing_since_s: float | None = None
        self._heard_s = 0.0
        self._finished: deque[Job[Any]] = deque()
        self._waking = False
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def unready_reason(self) -> str:
        """Empty once requests are taken."""
        if self.error is not None:
            return str(self.error)
        if self._stopping.is_set():
            return "ingest is stopping"
        return "" if self._ready.is_set() else f"not yet connected to Kafka at {self._settings.kafka} (TOCSIN_KAFKA)"

    @property
    def failing_reason(self) -> str:
        """Empty unless the last record was not confirmed, or no record is for a while; requests are taken all the same.

        A record a second and partition is always under way: the control records.
        """
        silent = self._outstanding > 0 and time.monotonic() - self._heard_s > SILENT_S
        if self._failing_since_s is None and not silent:
            return ""
        return f"Kafka at {self._settings.kafka} confirms nothing (TOCSIN_KAFKA)"

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Connect and serve; the caller need not wait."""
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        """Send what was taken, wait a little for its confirmation, and close."""
        self._stopping.set()
        self._jobs.put(STOP)
        if self._thread.ident is not None:
            self._thread.join()

    async def deliver(self, prepare: Callable[[], Batch[T]], settled: Settled, timeout_s: float) -> T:
        """Prepare and send in the thread; returns the outcome once Kafka has confirmed every record.

        Raises what ``prepare`` raises, and ``Unavailable`` when Kafka fails or is silent for ``timeout_s``. ``settled``
        is called in the loop exactly once, at the latest when Kafka's delivery time-out has passed.
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
            self._connect()
            self._serve()
        except BaseException as error:  # noqa: BLE001 - the owner sees it through ``error`` and ends the process
            _log.critical("courier: %r", error, exc_info=not isinstance(error, TocsinError))
            self.error = error
        finally:
            self._refuse_rest()
            self._close(CLOSE_TIMEOUT_S)

    def _connect(self) -> None:
        patient = self._settings.model_copy(update={"delivery_timeout_s": CONNECT_TRY_S})
        while self.producer is None and not self._stopping.is_set():
            try:
                make_producer(patient, "tocsin-ingest-probe").close()
                self.producer = self._producer()
            except Unavailable as error:
                _log.warning("waiting for Kafka: %s", error)
                self._refuse_waiting(error)
        if self.producer is not None:
            self._ready.set()

    def _producer(self) -> KafkaProducer:
        """One that finds the topic as it should be."""
        producer = make_producer(self._settings, "tocsin-ingest", batch_size=BATCH_BYTES)
        try:
            self._check_partitions(producer)
        except TocsinError:
            producer.close(timeout=0)
            raise
        return producer

    def _refuse_waiting(self, error: Unavailable) -> None:
        """Answer the jobs that came before the connection was lost."""
        with suppress(Empty):
            while True:
                item = self._jobs.get_nowait()
                if isinstance(item, Job):
                    item.error = error
                    self._one_less(item)
                elif item is STOP:
                    self._jobs.put(STOP)
                    return

    def _refuse_rest(self) -> None:
        """Answer the jobs that nobody will send any more: those in the queue and those in the pile."""
        error = Unavailable("ingest is stopping" if self.error is None else f"ingest has failed: {self.error!r}")
        self._refuse_waiting(error)
        for job in jobs_of(self._pile.take()):
            job.error = error
            self._one_less(job)

    def _broken(self) -> bool:
        """Whether the producer may be past help: it only fails, or it is silent beyond its own time-out."""
        now_s, failing_since_s = time.monotonic(), self._failing_since_s
        if self._outstanding > 0:
            return now_s - self._heard_s > self._settings.delivery_timeout_s + RENEW_AFTER_S
        return failing_since_s is not None and now_s - failing_since_s >= RENEW_AFTER_S

    def _renew(self) -> None:
        """Replace the producer.

        kafka-python's never recovers from a fatal error (a broker that forgot its producers), and does not expire
        batches while it waits for a producer id from a broker that is gone.
        """
        _log.warning("Kafka has confirmed nothing for a while: connecting anew")
        self._ready.clear()
        self._close(0.0)
        self._failing_since_s = None
        self._connect()

    def _close(self, timeout_s: float) -> None:
        """Close the producer; whatever it has not delivered within the time-out fails."""
        producer, self.producer = self.producer, None
        if producer is None:
            return
        try:
            producer.close(timeout=timeout_s)
        except KafkaError:  # close() waits for all records and gives up before it would force the sender
            producer._sender.force_close()  # noqa: SLF001 - there is no public way to fail what is under way
            producer._sender.join(CLOSE_TIMEOUT_S)  # noqa: SLF001 - as above

    def _check_partitions(self, producer: KafkaProducer) -> None:
        topic = self._settings.topics.metrics
        try:
            found = len(producer.partitions_for(topic))
        except KafkaError as error:
            message = f"topic {topic}: {error!r}: create the topics with python -m connectors.topics"
            raise Unavailable(message) from error
        if found != self._settings.partitions:
            message = f"topic {topic}: has {found} partitions, TOCSIN_PARTITIONS says {self._settings.partitions}"
            raise Misplaced(message)

    def _serve(self) -> None:
        """Prepare jobs as they come and send what is gathered, until told to stop."""
        serving = self.producer is not None
        while serving:
            wait_s = self._pile.since_s + GATHER_S - time.monotonic() if self._pile else LOOK_S
            serving = self._take(wait_s)
            if self._pile and (not serving or self._due()):
                self._flush()
            if self._broken():
                self._renew()
                serving = serving and self.producer is not None

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
        return self._outstanding == 0 or self._pile.size_bytes >= GATHER_BYTES or aged

    def _prepare(self, job: Job[Any]) -> None:
        if job.answer.done():  # its client was told 503 while this thread was blocked: sending would double it
            self._one_less(job)
            return
        try:
            pieces, own, job.outcome = job.prepare()
        except TocsinError as error:
            job.error = error
            self._one_less(job)
            return
        except BaseException as error:
            job.error = Unavailable(f"ingest has failed: {error!r}")
            self._one_less(job)
            raise
        for record in own:
            self._send(record, [job])
        if pieces:
            self._pile.add(pieces, job, time.monotonic())
        else:
            self._one_less(job)

    def _flush(self) -> None:
        """Send all that is gathered."""
        gathered = self._pile.take()
        for record, waiters in records(gathered):
            self._send(record, waiters)
        for job in jobs_of(gathered):
            self._one_less(job)

    def _send(self, record: OutRecord, jobs: list[Job[Any]]) -> None:
        """Send a record that these jobs wait for, unless Kafka has already failed all of them."""
        if all(job.error is not None for job in jobs):
            return
        try:
            future = send(self.producer, record)
        except (TocsinError, ValueError) as error:  # ValueError: a partition that the topic does not have
            self._failed(jobs, error if isinstance(error, TocsinError) else Unavailable(f"Kafka: {error}"))
            return
        with self._lock:
            self._heard_s = self._heard_s if self._outstanding else time.monotonic()
            self._outstanding += 1
            for job in jobs:
                job.left += 1
        future.add_both(lambda _: self._resolved(jobs, future))

    def _resolved(self, jobs: list[Job[Any]], future: Any) -> None:
        self._heard_s = time.monotonic()
        if future.failed():
            self._failed(jobs, error_of(future.exception))
        else:
            self._failing_since_s = None
        for job in jobs:
            self._one_less(job)
        with self._lock:
            self._outstanding -= 1
            idle = self._outstanding == 0
        if idle:
            self._jobs.put(IDLE)

    def _failed(self, jobs: list[Job[Any]], error: TocsinError) -> None:
        """A record of these jobs is not in Kafka; a record that it refuses does not mean that it is gone."""
        if isinstance(error, Unavailable):
            self._failing_since_s = self._failing_since_s or time.monotonic()
        for job in jobs:
            job.error = error

    def _one_less(self, job: Job[Any]) -> None:
        """Called in this thread and in the producer's."""
        with self._lock:
            job.left -= 1
            last = job.left == 0
        if last:
            self._finish(job)

    def _finish(self, job: Job[Any]) -> None:
        """Hand a finished job to the loop; jobs that finish together wake it once."""
        with self._lock:
            self._finished.append(job)
            wake, self._waking = not self._waking, True
        if wake and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        with self._lock:
            finished, self._finished, self._waking = self._finished, deque(), False
        for job in finished:
            job.finish()
