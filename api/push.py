"""Sends remote write to ingest as a well-behaved sender does: in order, bounded, and patient when told to wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import cramjam
import httpx

from api.sample import Sample
from connectors.codec.encode import encode_write_request

MAX_WAITING = 120
"""Bodies kept while ingest does not take them: two minutes of the demo source; then the oldest is dropped."""
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 10.0
TIMEOUT_S = 10.0
HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": "tocsin-demo",
}


class Outbox:
    """Bodies on their way to one address. Times are of one monotonic clock, in seconds."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client = client
        self._url = url
        self._waiting: deque[bytes] = deque()
        self._not_before_s = 0.0
        self._backoff_s = FIRST_BACKOFF_S
        self.accepted = 0
        self.accepted_s: float | None = None
        self.dropped_full = 0
        self.dropped_refused = 0
        self.last_problem = ""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, samples: Iterable[Sample], time_ms: int) -> None:
        """Queue one body with one sample per series; the oldest makes room."""
        body = encode_write_request((labels, [(time_ms, value)]) for labels, value in samples)
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.dropped_full += 1
        self._waiting.append(bytes(cramjam.snappy.compress_raw(body)))

    def flush(self, now_s: float) -> None:
        """Send what waits, unless it is too early; stops at the first body that must wait."""
        while self._waiting and now_s >= self._not_before_s:
            try:
                answer = self._client.post(self._url, content=self._waiting[0], headers=HEADERS, timeout=TIMEOUT_S)
            except httpx.TransportError as error:
                self._wait(now_s, f"{self._url}: {error!r}", None)
                return
            if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error:
                self._wait(now_s, f"{answer.status_code}: {answer.text}", answer.headers.get("Retry-After"))
                return
            self._waiting.popleft()
            self._settle(answer, now_s)

    def trouble(self, now_s: float, patience_s: float) -> str:
        """Why nothing was accepted for ``patience_s``, or never; empty when something was."""
        if self.accepted_s is None:
            return self.last_problem or "nothing pushed yet"
        idle_s = now_s - self.accepted_s
        if idle_s <= patience_s:
            return ""
        return f"{self._url} has accepted nothing for {idle_s:.0f} s: {self.last_problem or 'it does not answer'}"

    def _settle(self, answer: httpx.Response, now_s: float) -> None:
        """Accepted, or refused for good: 400 and 415 are never sent again."""
        self._backoff_s = FIRST_BACKOFF_S
        if answer.is_success:
            self.accepted += 1
            self.accepted_s = now_s
            self.last_problem = ""
        else:
            self.dropped_refused += 1
            self.last_problem = f"{answer.status_code}: {answer.text}"

    def _wait(self, now_s: float, problem: str, retry_after: str | None) -> None:
        self.last_problem = problem
        told_s = float(retry_after) if retry_after is not None and retry_after.isdigit() else 0.0
        self._not_before_s = now_s + max(told_s, self._backoff_s)
        self._backoff_s = min(MAX_BACKOFF_S, 2 * self._backoff_s)
