"""What the logs flow tells of itself, as Prometheus metrics and as the list of its patterns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from connectors.messages import Message
from connectors.reader import ReaderStats
from flows.mining.count import Counting
from flows.mining.lines import LineDecoder
from flows.mining.miner import Miner

BEHIND_S = 30.0
"""How far log time may be behind the clock while records wait."""
MAX_SHOWN = 1000


class ShownPattern(Message):
    """One pattern, as it is now."""

    tenant: str
    labels: dict[str, str]
    level: str
    pattern: str
    lines: int


class PatternsPage(Message):
    """The patterns that have most lines."""

    patterns: int
    shown: list[ShownPattern]


class MiningVitals(Collector):
    """Collects from the live objects when asked; the worker only counts."""

    def __init__(self, decoder: LineDecoder, reader: Callable[[], ReaderStats]) -> None:
        self.countings: list[Counting] = []
        self.miners: list[Miner] = []
        self._decoder = decoder
        self._reader = reader

    def counts(self) -> Counter[str]:
        """Sum of what partitions and the miner counted."""
        total = Counter[str]()
        for counts in [one.counts for one in self.countings] + [one.counts for one in self.miners]:
            total.update(counts.copy())
        return total

    def behind_reason(self, now_s: float) -> str:
        """Why what is counted at ``now_s`` (seconds since 1970) is no longer news; "" while it is."""
        waiting = self._reader().lag_records
        log_times_ms = [one.log_ms for one in list(self.countings) if one.log_ms]
        behind_s = now_s - min(log_times_ms, default=0) / 1000
        if not waiting or not log_times_ms or behind_s <= BEHIND_S:
            return ""
        return f"{behind_s:.0f} s behind: {waiting} records wait to be counted"

    def patterns(self) -> PatternsPage:
        """The ``MAX_SHOWN`` patterns with most lines."""
        found = [pattern for miner in list(self.miners) for pattern in list(miner.tree.patterns.values())]
        found.sort(key=lambda one: (-one.lines, one.number))
        shown = [
            ShownPattern(
                tenant=one.scope.service.tenant, labels=dict(one.scope.service.labels), level=one.scope.level_name,
                pattern=one.text, lines=one.lines,
            )
            for one in found[:MAX_SHOWN]
        ]  # fmt: skip
        return PatternsPage(patterns=len(found), shown=shown)

    def collect(self) -> Iterator[Metric]:
        """All metrics of the flow."""
        counts = self.counts()
        yield _counter("tocsin_logs_lines", "Lines met", counts["lines"])
        yield _counter("tocsin_logs_bytes", "Their bytes", counts["bytes"])
        yield _by("tocsin_logs_dropped", "Lines not counted, by reason", "reason", "dropped_", counts)
        yield _by(
            "tocsin_logs_poison_records", "Records sent to the dead letter, by reason", "reason", "poison_", counts
        )
        yield _counter("tocsin_logs_steps", "Steps mined", counts["steps"])
        yield _counter("tocsin_logs_births", "Patterns born", counts["births"])
        yield _counter(
            "tocsin_logs_stalled_lines", "Lines of partitions that were waited for too long", counts["stalled"]
        )
        yield from self._bounds(counts)
        stats = self._reader()
        yield _gauge("tocsin_logs_queue_bytes", "Bytes read from Kafka and waiting", stats.queued_bytes)
        yield _gauge("tocsin_logs_lag_records", "Records in Kafka that the flow has not taken", stats.lag_records)
        yield _counter("tocsin_logs_received_records", "Records read from Kafka", stats.received_records_total)
        yield _counter("tocsin_logs_received_bytes", "Bytes read from Kafka", stats.received_bytes_total)

    def _bounds(self, counts: Counter[str]) -> Iterator[Metric]:
        miners = list(self.miners)
        yield _gauge("tocsin_logs_patterns", "Patterns known", sum(len(one.tree.patterns) for one in miners))
        yield _counter("tocsin_logs_patterns_forgotten", "Patterns that made room", counts["patterns_forgotten"])
        yield _counter(
            "tocsin_logs_patterns_refused", "Masked lines without room for a pattern", counts["patterns_refused"]
        )
        yield _counter("tocsin_logs_unmined_lines", "Lines whose pattern found no room", counts["lines_unmined"])
        yield _gauge("tocsin_logs_masked_lines", "Masked lines known", sum(len(one.lines) for one in miners))
        yield _counter(
            "tocsin_logs_masked_lines_refused", "Masked lines beyond the bound", sum(m.lines.refused for m in miners)
        )
        yield _gauge("tocsin_logs_scopes", "Services times levels", sum(len(one.numbers.totals) for one in miners))
        yield _counter(
            "tocsin_logs_scopes_refused", "Counts of services or levels beyond the bound", counts["scopes_refused"]
        )
        yield _counter("tocsin_logs_streams_forgotten", "Times the table of streams was full", self._decoder.forgotten)
        unheard = counts["new_refused"]
        yield _counter("tocsin_logs_new_lines_refused", "Masked lines that were too many at once", unheard)
        cleared = sum(known.cleared for known in list(self._decoder.known.values()))
        yield _counter(
            "tocsin_logs_announcements_cleared", "Times the reader's table of masked lines was full", cleared
        )


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def _by(name: str, text: str, label: str, prefix: str, counts: Counter[str]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, n in counts.items():
        if key.startswith(prefix):
            family.add_metric([key.removeprefix(prefix)], n)
    return family
