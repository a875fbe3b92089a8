"""Numbers of logs as series, told in records of ``tocsin.metrics`` once a step.

========================= ======== =============================================================
log_lines_total           counter  lines of a service and level
log_bytes_total           counter  their bytes
log_patterns_total        counter  patterns of a service that were ever new
log_pattern_lines_total   counter  lines of a pattern; ``pattern`` is its text when it was born
log_pattern_novelty       gauge    for a minute after the birth of a pattern: its surprise (``flows.mining.novelty``);
                                   without ``pattern`` 0, for the service as a whole
========================= ======== =============================================================

A counter that was not told in the step before is told of twice: as it stood then, and as it stands now. So what it grew
by, from nothing if it is new, is seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from connectors.codec.encode import encode_field, encode_labels, encode_sample
from connectors.codec.limits import RECORD_BYTES
from connectors.codec.series_hash import series_hash
from connectors.messages import OutRecord
from flows.mining.limits import MiningLimits
from flows.mining.names import BYTES, LEVEL_LABEL, LINES, NOVELTY, PATTERN_LABEL, PATTERN_LINES, PATTERNS
from flows.mining.novelty import Novelty
from flows.mining.scope import Scope, Service
from flows.mining.tree import Pattern, Tree
from flows.selector import NAME_LABEL

NEW_MS = 60_000
"""So long a pattern is new."""
QUIET_MS = 300_000
"""A pattern is told of for so long after its last line: Prometheus' look-back, after which a series has ended."""


@dataclass(slots=True)
class Total:
    """Of one scope since it was met."""

    lines: int = 0
    size: int = 0
    seen: int = 0
    """step of its last line"""


class Written(NamedTuple):
    """How a series is written: whose, where, and its label fields."""

    tenant: str
    partition: int
    labels: bytes


class Numbers:
    """Totals by scope, and what was told of which series."""

    def __init__(self, topic: str, partitions: int, limits: MiningLimits) -> None:
        self.totals: dict[Scope, Total] = {}
        self.novelties: dict[Service, Novelty] = {}
        self.told: dict[tuple[str, ...], tuple[int, float]] = {}
        """step and value of what was told of a counter last, by its labels"""
        self._topic, self._partitions, self._limits = topic, partitions, limits
        self._written: dict[tuple[str, ...], Written] = {}

    def add(self, scope: Scope, lines: int, size: int, step: int) -> bool:
        """Count lines of a scope; False if there is no room for another one."""
        total = self.totals.get(scope)
        if total is None:
            if len(self.totals) >= self._limits.max_scopes:
                return False
            total = self.totals[scope] = Total()
        total.lines += lines
        total.size += size
        total.seen = step
        return True

    def born(self, pattern: Pattern, step: int) -> None:
        """Learn of a new pattern how surprising it is."""
        novelty = self.novelties.setdefault(pattern.scope.service, Novelty(step))
        pattern.surprise = novelty.born(step, self._limits.step_ms)

    def tell(self, step: int, tree: Tree) -> list[OutRecord]:
        """Samples of all series that are not idle, as they stand at the end of a step."""
        time_ms = (step + 1) * self._limits.step_ms + self._limits.grace_ms
        values = defaultdict[tuple[str, int], list[bytes]](list)
        for key, value, counter in self._series(step, tree):
            written = self._write(key)
            before = self._before(key, step, value) if counter else b""
            sample = before + encode_sample(time_ms, value)
            values[written.tenant, written.partition].append(encode_field(1, written.labels + sample))
        self._forget(step, tree)
        return [
            OutRecord(self._topic, tenant.encode(), value, [], partition)
            for (tenant, partition), series in sorted(values.items())
            for value in _records(series)
        ]

    def forget(self, pattern: Pattern) -> None:
        """A pattern goes; should it be born again, it counts from nothing."""
        self.told.pop(_key(PATTERN_LINES, pattern.scope, pattern.name), None)

    def _series(self, step: int, tree: Tree) -> Iterator[tuple[tuple[str, ...], float, bool]]:
        """Labels, value, and whether it is a counter."""
        since = step - self._limits.idle_steps
        services = dict[Service, None]()  # in the order in which they were met
        for scope, total in self.totals.items():
            if total.seen >= since:
                services[scope.service] = None
                yield _key(LINES, scope), total.lines, True
                yield _key(BYTES, scope), total.size, True
        for service in services:
            if service in self.novelties:
                yield _key(PATTERNS, Scope(service, None)), self.novelties[service].births, True
                yield _key(NOVELTY, Scope(service, None)), 0.0, False
        for pattern in tree:
            yield from self._of_pattern(pattern, step)

    def _of_pattern(self, pattern: Pattern, step: int) -> Iterator[tuple[tuple[str, ...], float, bool]]:
        age_ms, quiet_ms = ((step - since) * self._limits.step_ms for since in (pattern.born, pattern.seen))
        if pattern.lines and quiet_ms <= QUIET_MS:
            yield _key(PATTERN_LINES, pattern.scope, pattern.name), pattern.lines, True
        if 0 <= age_ms < NEW_MS:
            yield _key(NOVELTY, pattern.scope, pattern.name), pattern.surprise, False

    def _write(self, key: tuple[str, ...]) -> Written:
        written = self._written.get(key)
        if written is None:
            tenant, *flat = key
            labels = encode_labels(dict(zip(flat[::2], flat[1::2], strict=True)))
            partition = series_hash(labels, tenant) % self._partitions
            written = self._written[key] = Written(tenant, partition, labels)
        return written

    def _before(self, key: tuple[str, ...], step: int, value: float) -> bytes:
        """A sample for the step before, unless it was told then."""
        was, stood = self.told.get(key, (-1, 0.0))
        self.told[key] = step, value
        if was == step - 1:
            return b""
        time_ms = step * self._limits.step_ms + self._limits.grace_ms
        return encode_sample(time_ms, stood)

    def _forget(self, step: int, tree: Tree) -> None:
        """Let go what has long been idle, and what is known of services without patterns, now and then."""
        if step % self._limits.idle_steps == 0:
            self._written.clear()
            since = step - 2 * self._limits.idle_steps
            self.totals = {scope: total for scope, total in self.totals.items() if total.seen >= since}
            services = {pattern.scope.service for pattern in tree}
            self.novelties = {service: one for service, one in self.novelties.items() if service in services}
            self.told = {key: self.told[key] for key in self._counters(tree) if key in self.told}

    def _counters(self, tree: Tree) -> Iterator[tuple[str, ...]]:
        """All that go on counting, told of or not: how they stood is known for as long."""
        for scope in self.totals:
            yield from (_key(LINES, scope), _key(BYTES, scope))
        yield from (_key(PATTERNS, Scope(service, None)) for service in self.novelties)
        yield from (_key(PATTERN_LINES, pattern.scope, pattern.name) for pattern in tree)


def _records(series: list[bytes]) -> Iterator[bytes]:
    """Their fields in as few records as Kafka takes."""
    size, of = 0, list[bytes]()
    for one in series:
        if of and size + len(one) > RECORD_BYTES:
            yield b"".join(of)
            size, of = 0, []
        size += len(one)
        of.append(one)
    yield b"".join(of)


def _key(metric: str, scope: Scope, pattern: str = "") -> tuple[str, ...]:
    """Tenant, then names and values of labels."""
    labels = [part for pair in scope.service.labels for part in pair]
    level = (LEVEL_LABEL, scope.level_name) if scope.level_name else ()
    named = (PATTERN_LABEL, pattern) if pattern else ()
    return (scope.service.tenant, NAME_LABEL, metric, *labels, *level, *named)
