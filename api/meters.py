"""What ``/metrics`` of the api tells, in a registry of its own so that several apps can live in one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from connectors.workers import Workers


class ApiMeters:
    """All counters and gauges of the api; names start with ``tocsin_api_``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tocsin_api_http_requests",
            "HTTP requests answered",
            ["method", "route", "code"],
            registry=self.registry,
        )
        self.anomaly_events = Counter(
            "tocsin_api_anomaly_events",
            "records read from the anomalies topic, by what became of them",
            ["result"],
            registry=self.registry,
        )
        self.recent_anomalies = Gauge(
            "tocsin_api_recent_anomalies", "anomalies kept for GET /api/anomalies", registry=self.registry
        )
        self.recent_bytes = Gauge(
            "tocsin_api_recent_anomalies_bytes", "bytes of the anomalies kept, as JSON", registry=self.registry
        )
        self.evicted_anomalies = Counter(
            "tocsin_api_evicted_anomalies", "anomalies forgotten because the store was full", registry=self.registry
        )
        self.backlog_events = Gauge(
            "tocsin_api_backlog_events", "events kept for WebSocket clients that resume", registry=self.registry
        )
        self.backlog_bytes = Gauge(
            "tocsin_api_backlog_bytes", "bytes of the events kept for them, as JSON", registry=self.registry
        )
        self.backlog_dropped = Counter(
            "tocsin_api_backlog_dropped_events", "events that made room for later ones there", registry=self.registry
        )
        self.shared_answers = Counter(
            "tocsin_api_shared_answers",
            "lists asked for, by whether the answer was made or shared with others",
            ["result"],
            registry=self.registry,
        )
        self.shared_bytes = Gauge("tocsin_api_shared_answers_bytes", "bytes of answers kept", registry=self.registry)
        self.parameters_kept = Gauge(
            "tocsin_api_parameters_kept", "parameters of requests kept as they were read", registry=self.registry
        )
        self.clients = Gauge("tocsin_api_socket_clients", "WebSocket clients now", registry=self.registry)
        self.closed_clients = Counter(
            "tocsin_api_socket_clients_closed",
            "WebSocket clients that the api closed, by reason",
            ["reason"],
            registry=self.registry,
        )
        self.sent_messages = Counter(
            "tocsin_api_socket_messages_sent", "messages written to WebSocket clients", registry=self.registry
        )
        self.longest_queue = Gauge(
            "tocsin_api_socket_queue_depth_max",
            "messages waiting for the slowest WebSocket client",
            registry=self.registry,
        )
        self.revisions = Counter(
            "tocsin_api_detector_revisions",
            "records read from the detectors topic, by what became of them",
            ["result"],
            registry=self.registry,
        )
        self.revisions_kept = Gauge(
            "tocsin_api_detector_revisions_kept",
            "revisions of the detectors that exist, kept for GET /api/detectors/{id}/revisions",
            registry=self.registry,
        )
        self.revisions_dropped = Counter(
            "tocsin_api_detector_revisions_dropped",
            "revisions that made room for later ones; the log in Kafka has them still",
            registry=self.registry,
        )
        self.detectors = Gauge("tocsin_api_detectors", "detectors that exist", registry=self.registry)
        self.writes = Gauge(
            "tocsin_api_detector_writes_in_flight", "detector writes not answered yet", registry=self.registry
        )
        self.status_records = Counter(
            "tocsin_api_status_records",
            "records read from the status topic, by what became of them",
            ["result"],
            registry=self.registry,
        )
        self.status_bytes = Gauge(
            "tocsin_api_status_bytes", "bytes of what is kept of the status topic", registry=self.registry
        )
        self.work = Gauge(
            "tocsin_api_work",
            "pieces of long work that run or wait for a thread of their kind (trials, dead-letters, trainings, "
            "history, names)",
            ["kind"],
            registry=self.registry,
        )
        self.source_requests = Counter(
            "tocsin_api_source_requests",
            "questions to data sources, by what became of them",
            ["kind", "result"],
            registry=self.registry,
        )
        self.sources_asked = Gauge(
            "tocsin_api_source_requests_in_flight", "questions to data sources not answered yet", registry=self.registry
        )
        self.source_samples_amended = Counter(
            "tocsin_api_source_samples_amended",
            "samples of data sources that were left out (outside the range, duplicate) or put in order (unsorted)",
            ["reason"],
            registry=self.registry,
        )
        self.collector_runs = Counter(
            "tocsin_api_collector_runs",
            "runs of collectors, by what became of them",
            ["result"],
            registry=self.registry,
        )
        self.collected = Counter(
            "tocsin_api_collected_samples", "samples of collectors that Kafka has confirmed", registry=self.registry
        )
        self.source_cache = Counter(
            "tocsin_api_source_cache",
            "questions to the cache of query results (hit, miss), and results that made room for others (evicted)",
            ["result"],
            registry=self.registry,
        )
        self.source_cache_entries = Gauge(
            "tocsin_api_source_cache_entries", "query results kept", registry=self.registry
        )
        self.source_cache_bytes = Gauge(
            "tocsin_api_source_cache_bytes", "bytes of the query results kept", registry=self.registry
        )
        self.trainings = Gauge(
            "tocsin_api_trainings", "trainings that this process sends or waits for", registry=self.registry
        )
        self.trainings_kept = Gauge(
            "tocsin_api_trainings_kept", "trainings kept for GET /api/trainings", registry=self.registry
        )
        self.trainings_forgotten = Counter(
            "tocsin_api_trainings_forgotten", "trainings that made room for later ones", registry=self.registry
        )
        self.training_records = Counter(
            "tocsin_api_training_records",
            "records of trainings read from the status topic, by what became of them",
            ["result"],
            registry=self.registry,
        )
        self.lag = Gauge(
            "tocsin_api_topic_lag_records", "records of a topic not read yet", ["topic"], registry=self.registry
        )
        self.ready = Gauge(
            "tocsin_api_topic_loaded", "1 once the topic has been read to its end", ["topic"], registry=self.registry
        )
        self.store_waiting = Gauge(
            "tocsin_api_store_waiting", "transactions that wait for the store or are under way", registry=self.registry
        )
        self.store_seconds = Histogram(
            "tocsin_api_store_seconds", "duration of transactions", ["way"], registry=self.registry
        )
        self.store_errors = Counter(
            "tocsin_api_store_errors", "transactions that the store failed", registry=self.registry
        )
        self.history_events = Counter(
            "tocsin_api_history_events",
            "anomaly events read for the history, by what became of them",
            ["result"],
            registry=self.registry,
        )
        self.history_rows = Gauge(
            "tocsin_api_history_anomalies", "anomalies in the history, as of the last sweep", registry=self.registry
        )
        self.history_forgotten = Counter(
            "tocsin_api_history_forgotten",
            "anomalies forgotten because of their age or their number",
            ["why"],
            registry=self.registry,
        )
        self.history_lag = Gauge(
            "tocsin_api_history_lag_records", "anomaly events that are not in the history yet", registry=self.registry
        )
        self.looks_failed = Counter(
            "tocsin_api_component_looks_failed",
            "looks at the parts of the api that failed, so that no change was told",
            registry=self.registry,
        )
        self.feedback = Counter(
            "tocsin_api_feedback",
            "records read from the feedback topic, by what they are",
            ["kind"],
            registry=self.registry,
        )
        self.feedback_kept = Gauge(
            "tocsin_api_feedback_anomalies", "anomalies of which what was said is in memory", registry=self.registry
        )
        self.rules = Gauge("tocsin_api_rules", "rules in the log that nobody removed", registry=self.registry)

    def watch(self, workers: Workers) -> None:
        """Tell how much work of a kind there is."""
        self.work.labels(workers.name).set_function(lambda: workers.inside)
