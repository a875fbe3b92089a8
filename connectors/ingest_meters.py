"""What ingest counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from connectors.codec.pushed import Pushed
from connectors.codec.remote_write import Split, Version
from connectors.codec.runs import Runs

CONFIRM_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class IngestMeters:
    """Counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._full_seen = self._read_seen = 0

        def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"tocsin_ingest_{name}", text, labels, registry=self.registry)

        self.requests = counter("requests_total", "answers to writes and pushes", ("code",))
        self.received = counter("received_bytes_total", "bodies as sent")
        self.decoded = counter("decoded_bytes_total", "bodies after decompression")
        self.series = counter("series_total", "series received", ("version",))
        self.samples = counter("samples_total", "samples that Kafka confirmed")
        self.histograms = counter("histograms_total", "native histograms that Kafka confirmed")
        self.exemplars = counter("exemplars_total", "exemplars that Kafka confirmed")
        self.families = counter("metadata_total", "metadata of metric families received")
        self.untold = counter(
            "metadata_left_total", "metadata of metric families left out: too many, or names too long"
        )
        self.streams = counter("log_streams_total", "streams of pushes received")
        self.lines = counter("log_lines_total", "log lines that Kafka confirmed")
        self.refused_lines = counter("rejected_log_lines_total", "log lines refused", ("reason",))
        self.texts_read = counter(
            "stream_labels_read_total", "labels of streams that were not remembered, so had to be read"
        )
        self.refused_series = counter("rejected_series_total", "series refused", ("reason",))
        self.refused_requests = counter("rejected_requests_total", "whole requests refused", ("reason",))
        self.written = counter("kafka_bytes_total", "record values that Kafka confirmed, before compression")
        self.unconfirmed = counter("kafka_failures_total", "requests that Kafka did not confirm")
        self.control_records = counter("control_records_total", "control records sent")
        self.control_failures = counter("control_failures_total", "seconds whose control records were not confirmed")
        self.memory_full = counter("memory_full_total", "times the memory of series' labels was full and emptied")
        self.memory = Gauge("tocsin_ingest_memory_bytes", "memory of series' labels", registry=self.registry)
        self.streams_known = Gauge(
            "tocsin_ingest_stream_labels", "labels of streams that are remembered", registry=self.registry
        )
        self.in_flight = Gauge("tocsin_ingest_in_flight_bytes", "bytes not yet confirmed", registry=self.registry)
        self.confirm_s = Histogram(
            "tocsin_ingest_confirm_seconds",
            "from the end of the body to Kafka's confirmation",
            buckets=CONFIRM_BUCKETS_S,
            registry=self.registry,
        )

    def remembered(self, known: Runs) -> None:
        """Tell of the memory of labels; called by the thread that uses it."""
        self.memory.set(known.size_bytes)
        self.memory_full.inc(known.full_total - self._full_seen)
        self._full_seen = known.full_total

    def labels_read(self, total: int) -> None:
        """Tell how many labels of streams were read so far; called by the thread that reads them."""
        self.texts_read.inc(total - self._read_seen)
        self._read_seen = total

    def pushed(self, pushed: Pushed, seconds: float) -> None:
        """Count a push that Kafka has confirmed."""
        self.streams.inc(pushed.streams)
        self.lines.inc(pushed.lines)
        self.written.inc(pushed.size_bytes)
        self.confirm_s.observe(seconds)
        for reason, count in pushed.refused.items():
            self.refused_lines.labels(reason).inc(count)

    def confirmed(self, split: Split, version: Version, seconds: float) -> None:
        """Count a request that Kafka has confirmed."""
        self.series.labels(f"{version.value}.0").inc(split.series)
        self.samples.inc(split.samples)
        self.histograms.inc(split.histograms)
        self.exemplars.inc(split.exemplars)
        self.families.inc(len(split.families))
        self.written.inc(split.size_bytes)
        self.confirm_s.observe(seconds)
        for reason, count in split.refused.items():
            self.refused_series.labels(reason).inc(count)
