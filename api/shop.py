"""A small simulated shop: requests, errors, latency and orders of a few services, with a daily season and faults.

Pure and deterministic: the seed and the times given decide everything. A day lasts ``DAY_S`` (10 minutes), so that a
season can be seen while one watches. Faults come in turn, the first ``FIRST_FAULT_S`` after the start, then one every
``FAULT_EVERY_S``; each lasts ``FAULT_S``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from api.sample import Sample

DAY_S = 600.0
SEASON = 0.35
"""Share of the mean by which the traffic swings over a day."""
NOISE = 0.04
"""Standard deviation of one second's traffic and latency, as a share."""
ERROR_SHARE = 0.01
ORDER_SHARE = 0.2
FIRST_FAULT_S = 75.0
FAULT_EVERY_S = 120.0
FAULT_S = 20.0
"""Less than half a window of 60 samples a second, so that a robust detector is not led to believe in it."""


class FaultKind(StrEnum):
    """What goes wrong, in the order of its turn."""

    PAYMENT_ERRORS = "payment_errors"
    SLOW_DATABASE = "slow_database"
    TRAFFIC_SPIKE = "traffic_spike"
    CHECKOUT_OUTAGE = "checkout_outage"


class Fault(NamedTuple):
    """One fault: what it does to whom, in words for the announcement."""

    kind: FaultKind
    service: str
    says: str


FAULTS = (
    Fault(FaultKind.PAYMENT_ERRORS, "payment", "30 % of payment requests fail"),
    Fault(FaultKind.SLOW_DATABASE, "catalog", "catalog answers five times slower"),
    Fault(FaultKind.TRAFFIC_SPIKE, "search", "search gets four times its traffic"),
    Fault(FaultKind.CHECKOUT_OUTAGE, "checkout", "checkout gets no requests and the shop no orders"),
)

REQUESTS_PER_S = {"web": 240.0, "catalog": 160.0, "search": 90.0, "cart": 60.0, "checkout": 25.0, "payment": 20.0}
LATENCY_S = {"web": 0.04, "catalog": 0.06, "search": 0.09, "cart": 0.03, "checkout": 0.12, "payment": 0.25}


def fault_at(elapsed_s: float) -> Fault | None:
    """The fault that stands ``elapsed_s`` after the start."""
    since_first_s = elapsed_s - FIRST_FAULT_S
    if since_first_s < 0 or since_first_s % FAULT_EVERY_S >= FAULT_S:
        return None
    return FAULTS[int(since_first_s // FAULT_EVERY_S) % len(FAULTS)]


def season(time_s: float) -> float:
    """Traffic at this time of the day, as a share of the mean."""
    return 1.0 + SEASON * math.sin(2.0 * math.pi * time_s / DAY_S)


@dataclass(slots=True)
class Shop:
    """The shop at work; ``start_s`` is the time of its opening, seconds since 1970."""

    start_s: float
    seed: int = 0
    fault: Fault | None = None
    _time_s: float = field(init=False)
    _random: random.Random = field(init=False)
    _requests: dict[str, float] = field(init=False)
    _errors: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self._time_s = self.start_s
        self._random = random.Random(self.seed)
        self._requests = dict.fromkeys(REQUESTS_PER_S, 0.0)
        self._errors = dict.fromkeys(REQUESTS_PER_S, 0.0)

    def advance(self, time_s: float) -> list[Sample]:
        """Let the shop work until ``time_s`` and read its metrics."""
        passed_s = max(0.0, time_s - self._time_s)
        self._time_s = max(self._time_s, time_s)
        self.fault = fault_at(self._time_s - self.start_s)
        return [*self._services(passed_s), *self._faults()]

    def _services(self, passed_s: float) -> Iterator[Sample]:
        for service in REQUESTS_PER_S:
            rate = self._rate(service)
            self._requests[service] += rate * passed_s
            self._errors[service] += rate * passed_s * self._error_share(service)
            labels = {"job": "shop", "service": service}
            yield {"__name__": "shop_requests_total", **labels}, math.floor(self._requests[service])
            yield {"__name__": "shop_errors_total", **labels}, self._errors[service]
            yield {"__name__": "shop_latency_seconds", **labels}, self._latency_s(service)
            if service == "checkout":
                yield {"__name__": "shop_orders_per_minute", "job": "shop"}, 60.0 * ORDER_SHARE * rate

    def _faults(self) -> Iterator[Sample]:
        for fault in FAULTS:
            labels = {"__name__": "shop_fault", "job": "shop", "kind": fault.kind.value, "service": fault.service}
            yield labels, float(fault == self.fault)

    def _rate(self, service: str) -> float:
        kind = self._kind_at(service)
        factor = {FaultKind.TRAFFIC_SPIKE: 4.0, FaultKind.CHECKOUT_OUTAGE: 0.0}.get(kind, 1.0) if kind else 1.0
        return REQUESTS_PER_S[service] * season(self._time_s) * self._noise() * factor

    def _error_share(self, service: str) -> float:
        share = 0.3 if self._kind_at(service) is FaultKind.PAYMENT_ERRORS else ERROR_SHARE
        return share * self._noise()

    def _latency_s(self, service: str) -> float:
        factor = 5.0 if self._kind_at(service) is FaultKind.SLOW_DATABASE else 1.0
        return LATENCY_S[service] * season(self._time_s) ** 0.5 * self._noise() * factor

    def _kind_at(self, service: str) -> FaultKind | None:
        return self.fault.kind if self.fault is not None and self.fault.service == service else None

    def _noise(self) -> float:
        return max(0.0, self._random.gauss(1.0, NOISE))
