"""Records from the event loop to Kafka: one thread, with one producer at a time, for all who write at once.

kafka-python knows no asyncio, and it may block for as long as the delivery time-out, and more, while it connects or
learns of a topic. So whoever writes gives up at a deadline of its own, and when the thread finds that Kafka does not
answer, all who have waited for that are told at once. Confirmations come in the producer's own thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import AbstractAsyncContextManager, suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple

from api.within import within
from connectors.errors import Unavailable
from connectors.kafka_clients import make_producer
from connectors.line import Line
from connectors.messages import OutRecord
from connectors.settings import KafkaSettings

log = logging.getLogger(__name__)

PAUSE_S = 1.0
"""Kafka that did not answer is not asked again before; it is what ``Retry-After`` says."""
CLOSE_TIMEOUT_S = 2.0
STOP_TIMEOUT_S = 4.0
"""With uvicorn's five seconds before it less than what a process is given to end (TOCSIN_STOP_GRACE_S)."""


class Job(NamedTuple):
    """One record on its way, and who waits for it."""

    record: OutRecord
    answer: asyncio.Future[None]

    def settle(self, error: Exception | None) -> None:
        """Tell the loop what became of it; from any thread."""
        with suppress(RuntimeError):  # the loop has ended, and with it who waited
            self.answer.get_loop().call_soon_threadsafe(self._answer, error)

    def _answer(self, error: Exception | None) -> None:
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(None)
        else:
            self.answer.set_exception(error)


class Writer:
    """``write`` in the loop, ``stop`` in a thread that may wait. Connects when there is something to write."""

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._line: Line | None = None
        self._silence: Unavailable | None = None
        self._silent_until_s = 0.0
        self._thread = threading.Thread(target=self._serve, name=client_id, daemon=True)

    async def write(self, record: OutRecord) -> None:
        """Wait until Kafka has confirmed the record. Raises ``Unavailable``; the caller sets a ``deadline``.

        A record that was given up before it could be sent is not written, one given up later may be all the same.
        """
        if self._thread.ident is None:
            self._thread.start()
        job = Job(record, asyncio.get_running_loop().create_future())
        self._jobs.put(job)
        await job.answer

    def deadline(self) -> AbstractAsyncContextManager[None]:
        """For what ends with a write: ``KafkaUnavailable`` once the delivery time-out is over."""
        timeout_s = self._settings.delivery_timeout_s
        return within(
            timeout_s, f"Kafka at {self._settings.kafka} (TOCSIN_KAFKA) has not confirmed within {timeout_s:g} s"
        )

    def stop(self) -> None:
        """Send what waits, wait a little for its confirmation, and end; a thread that hangs is left behind."""
        self._jobs.put(None)
        if self._thread.ident is not None:
            self._thread.join(STOP_TIMEOUT_S)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.answer.done():
                self._send(job)
        if self._line is not None:
            self._line.close(CLOSE_TIMEOUT_S)

    def _send(self, job: Job) -> None:
        try:
            line = self._connected()
            if not job.answer.done():  # not given up while we connected
                line.send(job.record, job.settle)
        except Unavailable as error:
            self._refuse_waiting(job, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, its writer is told, and the next one served
            job.settle(error)

    def _connected(self) -> Line:
        if self._silence is not None and time.monotonic() < self._silent_until_s:
            raise self._silence
        if self._line is not None and self._line.past_help():
            log.warning("%s: Kafka has not confirmed what was written last: connecting anew", self._client_id)
            self._line.close(0.0)
            self._line = None
        if self._line is None:
            producer = make_producer(self._settings, self._client_id)
            self._line = Line(producer, self._settings.delivery_timeout_s)
        return self._line

    def _refuse_waiting(self, job: Job, error: Unavailable) -> None:
        """Kafka does not answer: say so to all who have waited meanwhile, and for a moment to all who come."""
        if error is not self._silence:
            log.warning("%s: %s", self._client_id, error)
            self._silence, self._silent_until_s = error, time.monotonic() + PAUSE_S
        with suppress(Empty):
            while (waiting := self._jobs.get_nowait()) is not None:
                waiting.settle(error)
            self._jobs.put(None)
        job.settle(error)  # last, so that who tries again then is not among the others
