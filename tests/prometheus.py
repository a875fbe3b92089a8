"""A real Prometheus, and an exporter for it to scrape, both on loopback ports."""

from __future__ import annotations

import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.brokers import free_port
from tests.processes import wait_until

READY_S = 30.0
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN_TEXT = "text/plain; version=0.0.4; charset=utf-8"
CONFIG = """
global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}
scrape_configs:
  - job_name: exporter
    static_configs: [{{targets: ["127.0.0.1:{exporter}"]}}]
"""
REMOTE_WRITE = """
remote_write:
  - url: {url}
    queue_config: {{batch_send_deadline: 200ms, min_backoff: 50ms, max_backoff: 500ms, max_shards: 1}}
    metadata_config: {{send_interval: 1s}}
    send_exemplars: true
    send_native_histograms: true
"""


def missing_prometheus() -> str | None:
    """Why real Prometheus cannot be started here; None if it can."""
    return None if shutil.which("prometheus") else "prometheus is not installed (Debian: apt install prometheus)"


class Exporter:
    """Answers every scrape with what ``page`` gives, OpenMetrics unless told otherwise."""

    def __init__(self, page: Callable[[], str], content_type: str = OPEN_METRICS) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = page().encode()
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


class Prometheus:
    """Scrapes one exporter and writes to a remote-write receiver, if any, until stopped; its files are in ``home``."""

    def __init__(
        self,
        home: Path,
        exporter_port: int,
        remote_write_url: str | None,
        interval: str = "250ms",
        flags: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.home = home
        config = home / "prometheus.yml"
        text = CONFIG.format(interval=interval, exporter=exporter_port)
        config.write_text(text + (REMOTE_WRITE.format(url=remote_write_url) if remote_write_url else ""))
        self._command = [
            "prometheus", f"--config.file={config}", f"--storage.tsdb.path={home / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--enable-feature=exemplar-storage,native-histograms", *flags,
        ]  # fmt: skip
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin, or go on after a stop with what was kept."""
        log_file = self.home / "prometheus.log"
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._ready, READY_S, f"Prometheus to be ready, see {log_file}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _ready(self) -> bool:
        assert self._process.poll() is None, (self.home / "prometheus.log").read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
