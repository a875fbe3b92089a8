"""What the flow tells of itself: counts of its blocks, lag, and stops by snapshots, as Prometheus metrics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from connectors.codec.labels import parse_labels
from connectors.messages import Message
from connectors.reader import ReaderStats
from flows.block import Block
from flows.decode import Decoder
from flows.merge import Merge
from flows.readiness import MAX_NAMED
from flows.report import signal_of
from flows.training import Trainings

BEHIND_S = 30.0
"""How far log time may be behind the clock while records wait."""
MAX_WARMING = 1000
"""Detectors whose readiness is told."""


class WarmingUp(Message):
    """A signal that is not judged yet."""

    detector: str
    labels: dict[str, str]
    says: str


class ReadinessPage(Message):
    """Signals that are not judged yet, as of the last minute of log time, those that need most first."""

    warming_up: int
    signals: list[WarmingUp]


class Stops:
    """How long snapshots keep the worker from the data: from the first one of an epoch to the next batch.

    Meaningful under load: an idle flow has no next batch soon, and its stop lasts until the next control record.
    """

    def __init__(self, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self._clock_s = clock_s
        self._began_s: float | None = None
        self.total_s = self.longest_s = 0.0
        self.count = 0

    def begin(self) -> None:
        """A block is about to be saved."""
        if self._began_s is None:
            self._began_s = self._clock_s()

    def end(self) -> None:
        """Data flows again."""
        if self._began_s is not None:
            took_s = self._clock_s() - self._began_s
            self._began_s = None
            self.total_s += took_s
            self.longest_s = max(self.longest_s, took_s)
            self.count += 1


class Vitals(Collector):
    """Collects from the live objects when asked; the worker only counts."""

    def __init__(self, decoder: Decoder, reader: Callable[[], ReaderStats]) -> None:
        self.blocks: list[Block] = []
        self.merges: list[Merge] = []
        self.trainings: list[Trainings] = []
        self._forgotten: Counter[str] = Counter()
        self.decoder = decoder
        self.stops = Stops()
        self.saved_bytes: dict[int, int] = {}
        self.reader = reader

    def saved(self, block: Block, size_bytes: int) -> None:
        """A block was saved in so many bytes."""
        self.saved_bytes[id(block)] = size_bytes

    def forget(self, merge: Merge) -> None:
        """A detector is gone: keep what its merge has counted."""
        self.merges.remove(merge)
        self._forgotten.update(_counted(merge))

    def counts(self) -> Counter[str]:
        """Sum of what blocks and merges counted."""
        total = self._forgotten.copy()
        for merge in list(self.merges):
            total.update(_counted(merge))
        for block in list(self.blocks):
            total.update(block.counts.copy())
        return total

    def behind_reason(self, now_s: float) -> str:
        """Why what is judged at ``now_s`` (seconds since 1970) is no longer news; "" while it is.

        Where no record waits, nobody is behind: without control records log time stands still.
        """
        waiting = self.reader().lag_records
        log_times_ms = [block.log_ms for block in list(self.blocks) if block.log_ms]
        behind_s = now_s - min(log_times_ms, default=0) / 1000
        if not waiting or not log_times_ms or behind_s <= BEHIND_S:
            return ""
        return f"{behind_s:.0f} s behind: {waiting} records wait to be judged"

    def _judging(self) -> list[Block]:
        """All blocks, with those that judge groups; what a merge runs may end at any time, so it is read once."""
        running = [merge.running for merge in list(self.merges)]
        return [*self.blocks, *(one.block for one in running if one is not None)]

    def collect(self) -> Iterator[Metric]:
        """All metrics of the flow."""
        counts = self.counts()
        yield from self._samples(counts)
        yield from self._outputs(counts)
        yield from self._groups()
        yield from self._state()
        yield from self._bounds(counts)
        yield from self._telling()
        yield from self._readiness()
        yield from self._learning(counts)
        yield from self._snapshots()

    def _samples(self, counts: Counter[str]) -> Iterator[Metric]:
        yield _counter("tocsin_flow_samples", "Samples decoded", counts["samples"])
        yield _counter("tocsin_flow_judged", "Pairs of sample and program judged or learned", counts["judged"])
        yield _counter("tocsin_flow_histograms", "Native histograms met", counts["histograms"])
        blocks = list(self.blocks)
        yield _counter("tocsin_flow_stale_markers", "Stale markers met", sum(b.intake.stale_markers for b in blocks))
        dropped = CounterMetricFamily("tocsin_flow_dropped", "Samples not judged, by reason", labels=["reason"])
        drops: Counter[str] = Counter()
        for block in blocks:
            drops.update(block.intake.drops())
        drops["late"] = counts["late"]
        for reason, n in drops.items():
            dropped.add_metric([reason], n)
        yield dropped

    def _outputs(self, counts: Counter[str]) -> Iterator[Metric]:
        for metric, prefix, label, text in (
            ("tocsin_flow_events", "events_", "event", "Episode events, by type"),
            ("tocsin_flow_episodes_hidden", "hidden_by_", "rule", "Episodes not told, by what their rule is of"),
            ("tocsin_flow_rules", "rules_", "outcome", "Records of rules met, by outcome, per partition"),
            ("tocsin_flow_poison_records", "poison_", "reason", "Records sent to the dead letter, by reason"),
            ("tocsin_flow_group_gaps", "merged_gaps_", "reason", "Steps of grouped detectors not judged, by reason"),
            ("tocsin_flow_trainings", "trainings_", "outcome", "Trainings that ended, by outcome, per partition"),
            ("tocsin_flow_revisions", "revisions_", "outcome", "Detector revisions met, by outcome, per partition"),
        ):
            family = CounterMetricFamily(metric, text, labels=[label])
            for name, n in counts.items():
                if name.startswith(prefix):
                    family.add_metric([name.removeprefix(prefix)], n)
            yield family

        yield _counter("tocsin_flow_group_steps", "Steps of grouped detectors judged", counts["merged_steps"])

    def _groups(self) -> Iterator[Metric]:
        gatherings = [gathering for block in list(self.blocks) for gathering in list(block.watch.gatherings.values())]
        gathers = [gather for gathering in gatherings for gather in list(gathering.gathers.values())]
        yield _gauge("tocsin_flow_group_members", "Series that are members of groups", sum(map(len, gathers)))
        unreadable = sum(gather.histograms.unreadable for gather in gathers)
        yield _counter("tocsin_flow_histograms_unreadable", "Native histograms that could not be read", unreadable)
        overflowed = sum(gathering.overflowed for gathering in gatherings)
        yield _gauge("tocsin_flow_group_overflows", "Detectors that gave up their groups on a partition", overflowed)

    def _state(self) -> Iterator[Metric]:
        """What there is, and what it takes."""
        blocks, judging = list(self.blocks), self._judging()
        yield _gauge("tocsin_flow_series", "Series known", sum(len(b.series) for b in blocks))
        lanes = sum(len(b.watch.routes.lanes) for b in blocks)
        yield _gauge("tocsin_flow_lanes", "Pairs of detector and series", lanes)
        yield _gauge("tocsin_flow_models", "Python-object models", sum(b.watch.objects for b in judging))
        faults = sum(program.faults for b in judging for program in b.watch.programs.judging())
        yield _gauge("tocsin_flow_model_faults", "Failures after which models began anew, of those in use", faults)
        yield _gauge("tocsin_flow_episodes_open", "Open episodes", sum(b.episodes.told for b in blocks))
        announcements = sum(a.size_bytes for a in list(self.decoder.partitions.values()))
        state_bytes = sum(b.size_bytes for b in blocks) + announcements
        yield _gauge("tocsin_flow_state_bytes", "Memory of all blocks and of the reader's table of series", state_bytes)
        label_bytes = max((b.series.label_bytes for b in blocks), default=0)
        yield _gauge("tocsin_flow_label_bytes", "Labels of the partition that has most of them", label_bytes)
        log_times_ms = [b.log_ms for b in blocks if b.log_ms]
        oldest_s = min(log_times_ms, default=0) / 1000
        yield _gauge("tocsin_flow_log_time_seconds", "Log time of the partition that is furthest behind", oldest_s)

    def _bounds(self, counts: Counter[str]) -> Iterator[Metric]:
        """What found no room, or could not be read."""
        blocks, judging = list(self.blocks), self._judging()
        unbelieved = sum(b.watch.families.refused for b in blocks)
        yield _counter("tocsin_flow_families_refused", "Types of metric families beyond the bound", unbelieved)
        refused = sum(b.watch.models.refused for b in judging)
        yield _counter("tocsin_flow_models_refused", "Series that found no room for their model", refused)
        turned_away = sum(b.watch.keys.refused for b in blocks)
        yield _counter("tocsin_flow_keys_refused", "Series for which a detector had no room", turned_away)
        full = sum(len(b.watch.keys.full) for b in blocks)
        yield _gauge("tocsin_flow_detectors_full", "Detectors that refused a series, per partition", full)
        yield _counter("tocsin_flow_series_gone", "Series whose row was given back", counts["series_gone"])
        yield _counter("tocsin_flow_series_refused", "Series beyond the bounds", counts["series_refused"])
        yield _counter("tocsin_flow_labels_refused", "Series refused for their labels' bytes", counts["labels_refused"])
        yield _counter("tocsin_flow_labels_unreadable", "Series with labels not readable", counts["labels_unreadable"])
        unheld = sum(b.episodes.refused for b in blocks)
        yield _counter("tocsin_flow_episodes_refused", "Samples that found the episodes at their bound", unheld)
        untried = sum(b.trials.refused for b in judging)
        yield _counter("tocsin_flow_trials_refused", "Samples that budgets could not count, at the same bound", untried)
        cleared = sum(a.cleared for a in list(self.decoder.partitions.values()))
        yield _counter("tocsin_flow_announcements_cleared", "Times the reader's table of series was full", cleared)

    def _telling(self) -> Iterator[Metric]:
        tellers = [b.teller for b in self._judging() if b.teller is not None]
        told = sum(t.told_total for t in tellers)
        yield _counter("tocsin_flow_status_told", "Records of status told, of what runs", told)
        described = signal_of.cache_info().misses
        yield _counter("tocsin_flow_signals_described", "Signals put in words: those not told of lately", described)
        heard = sum(len(t.naming.heard) for t in tellers)
        yield _gauge("tocsin_flow_status_signals", "Signals whose last verdict is kept for status", heard)

    def readiness(self) -> ReadinessPage:
        """What each signal still needs; of all that warm up at most ``MAX_NAMED`` are named."""
        blocks = self._judging()
        needing = sorted((one for block in blocks for one in block.readiness.needing), key=lambda one: -one.needs)
        return ReadinessPage(
            warming_up=sum(found.warming for block in blocks for _, found in block.readiness.items()),
            signals=[
                WarmingUp(detector=one.detector, labels=parse_labels(one.labels), says=one.says)
                for one in needing[:MAX_NAMED]
            ],
        )

    def _readiness(self) -> Iterator[Metric]:
        """Of the ``MAX_WARMING`` detectors with most signals that warm up."""
        warming: Counter[str] = Counter()
        needs: dict[str, int] = {}
        for block in self._judging():
            for detector, found in block.readiness.items():
                warming[detector] += found.warming
                needs[detector] = max(found.needs, needs.get(detector, 0))
        signals = GaugeMetricFamily("tocsin_flow_warming_up", "Signals not judged yet", labels=["detector"])
        samples = GaugeMetricFamily(
            "tocsin_flow_warming_up_samples", "Most samples that any of these still needs", labels=["detector"]
        )
        for detector, n in warming.most_common(MAX_WARMING):
            if n:
                signals.add_metric([detector], n)
                samples.add_metric([detector], needs[detector])
        yield from (signals, samples)

    def _learning(self, counts: Counter[str]) -> Iterator[Metric]:
        running = [training for trainings in self.trainings for training in trainings]
        yield _gauge("tocsin_flow_trainings_running", "Trainings that learn, per partition", len(running))
        yield _counter(
            "tocsin_flow_trained_samples", "Samples of the past that were learned", counts["trained_samples"]
        )
        unknown = counts["training_records_unknown"]
        yield _counter("tocsin_flow_training_records_unknown", "History of trainings that had ended", unknown)
        size_bytes = sum(trainings.size_bytes for trainings in self.trainings)
        yield _gauge("tocsin_flow_training_bytes", "Memory of what trainings have learned", size_bytes)

    def _snapshots(self) -> Iterator[Metric]:
        stops = self.stops
        yield _counter("tocsin_flow_snapshot_stops", "Epochs that ended with a snapshot", stops.count)
        yield _counter("tocsin_flow_snapshot_stop_seconds", "Time stopped by snapshots", stops.total_s)
        yield _gauge("tocsin_flow_snapshot_stop_longest_seconds", "Longest stop by a snapshot", stops.longest_s)
        yield _gauge(
            "tocsin_flow_snapshot_bytes", "Latest snapshots of all blocks", sum(self.saved_bytes.copy().values())
        )
        stats = self.reader()
        yield _gauge("tocsin_flow_queue_bytes", "Bytes read from Kafka and waiting", stats.queued_bytes)
        yield _gauge("tocsin_flow_queue_records", "Records read from Kafka and waiting", stats.queued_records)
        yield _gauge("tocsin_flow_lag_records", "Records in Kafka that the flow has not taken", stats.lag_records)
        yield _counter("tocsin_flow_received_records", "Records read from Kafka", stats.received_records_total)
        yield _counter("tocsin_flow_received_bytes", "Bytes read from Kafka", stats.received_bytes_total)
        yield _counter("tocsin_flow_full_waits", "Times reading waited for room", stats.full_waits_total)


def _counted(merge: Merge) -> Counter[str]:
    """Steps and gaps, and the events of the block that judges groups; its samples are groups, not samples."""
    counted = Counter(
        {name if name.startswith("trainings_") else f"merged_{name}": n for name, n in merge.counts.copy().items()}
    )
    told = ("events_", "hidden_by_")
    counted.update({name: n for name, n in merge.block_counts().items() if name.startswith(told)})
    return counted


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
