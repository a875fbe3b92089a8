"""What ``/metrics`` of the api tells, in a registry of its own so that several apps can live in one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from connectors.workers import Workers


class HttpMeters:
    """Requests, and answers that are kept."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "tocsin_api_http_requests",
            "HTTP requests answered",
            ["method", "route", "code"],
            registry=registry,
        )
        self.shared_answers = Counter(
            "tocsin_api_shared_answers",
            "lists asked for, by whether the answer was made or shared with others",
            ["result"],
            registry=registry,
        )
        self.shared_bytes = Gauge("tocsin_api_shared_answers_bytes", "bytes of answers kept", registry=registry)
        self.parameters_kept = Gauge(
            "tocsin_api_parameters_kept", "parameters of requests kept as they were read", registry=registry
        )


class FeedMeters:
    """Anomalies as they come, and what is kept of them for clients."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "tocsin_api_anomaly_events",
            "records read from the anomalies topic, by what became of them",
            ["result"],
            registry=registry,
        )
        self.recent = Gauge("tocsin_api_recent_anomalies", "anomalies kept for GET /api/anomalies", registry=registry)
        self.recent_bytes = Gauge(
            "tocsin_api_recent_anomalies_bytes", "bytes of the anomalies kept, as JSON", registry=registry
        )
        self.evicted = Counter(
            "tocsin_api_evicted_anomalies", "anomalies forgotten because the store was full", registry=registry
        )
        self.backlog_events = Gauge(
            "tocsin_api_backlog_events", "events kept for WebSocket clients that resume", registry=registry
        )
        self.backlog_bytes = Gauge(
            "tocsin_api_backlog_bytes", "bytes of the events kept for them, as JSON", registry=registry
        )
        self.backlog_dropped = Counter(
            "tocsin_api_backlog_dropped_events", "events that made room for later ones there", registry=registry
        )


class SocketMeters:
    """Clients of the WebSocket."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.clients = Gauge("tocsin_api_socket_clients", "WebSocket clients now", registry=registry)
        self.closed = Counter(
            "tocsin_api_socket_clients_closed",
            "WebSocket clients that the api closed, by reason",
            ["reason"],
            registry=registry,
        )
        self.sent = Counter(
            "tocsin_api_socket_messages_sent", "messages written to WebSocket clients", registry=registry
        )
        self.longest_queue = Gauge(
            "tocsin_api_socket_queue_depth_max",
            "messages waiting for the slowest WebSocket client",
            registry=registry,
        )


class DetectorMeters:
    """Detectors, their log, and what flows tell of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.existing = Gauge("tocsin_api_detectors", "detectors that exist", registry=registry)
        self.revisions = Counter(
            "tocsin_api_detector_revisions",
            "records read from the detectors topic, by what became of them",
            ["result"],
            registry=registry,
        )
        self.revisions_kept = Gauge(
            "tocsin_api_detector_revisions_kept",
            "revisions of the detectors that exist, kept for GET /api/detectors/{id}/revisions",
            registry=registry,
        )
        self.revisions_dropped = Counter(
            "tocsin_api_detector_revisions_dropped",
            "revisions that made room for later ones; the log in Kafka has them still",
            registry=registry,
        )
        self.writes = Gauge(
            "tocsin_api_detector_writes_in_flight", "detector writes not answered yet", registry=registry
        )
        self.status_records = Counter(
            "tocsin_api_status_records",
            "records read from the status topic, by what became of them",
            ["result"],
            registry=registry,
        )
        self.status_bytes = Gauge(
            "tocsin_api_status_bytes", "bytes of what is kept of the status topic", registry=registry
        )


class SourceMeters:
    """Data sources and collectors."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "tocsin_api_source_requests",
            "questions to data sources, by what became of them",
            ["kind", "result"],
            registry=registry,
        )
        self.asked = Gauge(
            "tocsin_api_source_requests_in_flight", "questions to data sources not answered yet", registry=registry
        )
        self.amended = Counter(
            "tocsin_api_source_samples_amended",
            "samples of data sources that were left out (outside the range, duplicate) or put in order (unsorted)",
            ["reason"],
            registry=registry,
        )
        self.cache = Counter(
            "tocsin_api_source_cache",
            "questions to the cache of query results (hit, miss), and results that made room for others (evicted)",
            ["result"],
            registry=registry,
        )
        self.cache_entries = Gauge("tocsin_api_source_cache_entries", "query results kept", registry=registry)
        self.cache_bytes = Gauge("tocsin_api_source_cache_bytes", "bytes of the query results kept", registry=registry)
        self.collector_runs = Counter(
            "tocsin_api_collector_runs",
            "runs of collectors, by what became of them",
            ["result"],
            registry=registry,
        )
        self.collected = Counter(
            "tocsin_api_collected_samples", "samples of collectors that Kafka has confirmed", registry=registry
        )


class TrainingMeters:
    """Trainings of this process, and of all that are kept."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.under_way = Gauge(
            "tocsin_api_trainings", "trainings that this process sends or waits for", registry=registry
        )
        self.kept = Gauge("tocsin_api_trainings_kept", "trainings kept for GET /api/trainings", registry=registry)
        self.forgotten = Counter(
            "tocsin_api_trainings_forgotten", "trainings that made room for later ones", registry=registry
        )
        self.records = Counter(
            "tocsin_api_training_records",
            "records of trainings read from the status topic, by what became of them",
            ["result"],
            registry=registry,
        )


class StoreMeters:
    """Transactions of the store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.waiting = Gauge(
            "tocsin_api_store_waiting", "transactions that wait for the store or are under way", registry=registry
        )
        self.seconds = Histogram("tocsin_api_store_seconds", "duration of transactions", ["way"], registry=registry)
        self.errors = Counter("tocsin_api_store_errors", "transactions that the store failed", registry=registry)


class HistoryMeters:
    """The history, and what people say of anomalies."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "tocsin_api_history_events",
            "anomaly events read for the history, by what became of them",
            ["result"],
            registry=registry,
        )
        self.rows = Gauge(
            "tocsin_api_history_anomalies", "anomalies in the history, as of the last sweep", registry=registry
        )
        self.forgotten = Counter(
            "tocsin_api_history_forgotten",
            "anomalies forgotten because of their age or their number",
            ["why"],
            registry=registry,
        )
        self.lag = Gauge(
            "tocsin_api_history_lag_records", "anomaly events that are not in the history yet", registry=registry
        )
        self.feedback = Counter(
            "tocsin_api_feedback",
            "records read from the feedback topic, by what they are",
            ["kind"],
            registry=registry,
        )
        self.feedback_kept = Gauge(
            "tocsin_api_feedback_anomalies", "anomalies of which what was said is in memory", registry=registry
        )
        self.rules = Gauge("tocsin_api_rules", "rules in the log that nobody removed", registry=registry)


class ApiMeters:
    """All counters and gauges of the api, by subject; names start with ``tocsin_api_``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.http = HttpMeters(self.registry)
        self.feed = FeedMeters(self.registry)
        self.sockets = SocketMeters(self.registry)
        self.detectors = DetectorMeters(self.registry)
        self.sources = SourceMeters(self.registry)
        self.trainings = TrainingMeters(self.registry)
        self.store = StoreMeters(self.registry)
        self.history = HistoryMeters(self.registry)
        self.work = Gauge(
            "tocsin_api_work",
            "pieces of long work that run or wait for a thread of their kind (trials, dead-letters, trainings, "
            "history, names)",
            ["kind"],
            registry=self.registry,
        )
        self.lag = Gauge(
            "tocsin_api_topic_lag_records", "records of a topic not read yet", ["topic"], registry=self.registry
        )
        self.ready = Gauge(
            "tocsin_api_topic_loaded", "1 once the topic has been read to its end", ["topic"], registry=self.registry
        )
        self.looks_failed = Counter(
            "tocsin_api_component_looks_failed",
            "looks at the parts of the api that failed, so that no change was told",
            registry=self.registry,
        )

    def watch(self, workers: Workers) -> None:
        """Tell how much work of a kind there is."""
        self.work.labels(workers.name).set_function(lambda: workers.inside)
