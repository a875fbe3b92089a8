"""Record remote-write bodies of the Prometheus that is installed here.

    python -m tests.golden.record

starts it on a loopback port, lets it scrape a small exporter, and writes the first requests that hold samples, a stale
marker, exemplars and metadata to ``tests/golden/prometheus/NNNN.{body,json}``. Run it again for another version of
Prometheus, and look at what changes.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cramjam

from tests import wire
from tests.processes import wait_until
from tests.prometheus import Exporter, Prometheus

FOLDER = Path(__file__).parent / "prometheus"
TIMEOUT_S = 60.0
WANTED = ("samples", "stale", "exemplars", "metadata")

PAGE = """# HELP shop_orders Orders taken.
# TYPE shop_orders counter
shop_orders_total{{shop="nord",pay="card"}} {n} # {{trace_id="4bf92f3577b34da6"}} 1.0
shop_orders_total{{shop="süd 🚀",pay="cash \\"x\\""}} {n}
# HELP shop_temperature_celsius How warm it is.
# TYPE shop_temperature_celsius gauge
# UNIT shop_temperature_celsius celsius
shop_temperature_celsius{{shop="nord",empty=""}} NaN
shop_temperature_celsius{{shop="inf"}} +Inf
# TYPE shop_wait_seconds histogram
shop_wait_seconds_bucket{{le="0.1"}} {n}
shop_wait_seconds_bucket{{le="+Inf"}} {n}
shop_wait_seconds_count {n}
shop_wait_seconds_sum 0.5
{fleeting}
# EOF
"""


def pages() -> Iterator[str]:
    """Pages in which a series comes and goes, so that there is a stale marker."""
    n = 0
    while True:
        n += 1
        fleeting = "# TYPE shop_fleeting gauge\nshop_fleeting 1" if n % 6 < 3 else "# TYPE shop_fleeting gauge"
        yield PAGE.format(n=n, fleeting=fleeting)


class Recorder:
    """A receiver that keeps the first request of each kind."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, dict[str, Any]]] = {}
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                recorder.keep(body, {"path": self.path, "headers": list(self.headers.items())})
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/api/v1/write"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def keep(self, body: bytes, about: dict[str, Any]) -> None:
        about["headers"] = [(name, value) for name, value in about["headers"] if name != "Host"]
        for kind in kinds(wire.parse(wire.V1["Request"], bytes(cramjam.snappy.decompress_raw(body)))):
            self.kept.setdefault(kind, (body, about))

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def kinds(request: Any) -> set[str]:
    """What a request holds, of WANTED."""
    found = {
        "metadata": bool(request.metadata),
        "samples": any(b"shop_" in label.value for one in request.timeseries for label in one.labels),
        "exemplars": any(one.exemplars for one in request.timeseries),
        "stale": any(s.value == wire.STALE_BITS for one in request.timeseries for s in one.samples),
    }
    return {kind for kind, there in found.items() if there}


def main() -> None:
    recorder, page = Recorder(), pages()
    with tempfile.TemporaryDirectory() as home, Exporter(lambda: next(page)) as exporter:
        with Prometheus(Path(home), exporter.port, recorder.url):
            wait_until(lambda: set(recorder.kept) == set(WANTED), TIMEOUT_S, f"requests with {WANTED}")
        recorder.stop()
    FOLDER.mkdir(exist_ok=True)
    for number, kind in enumerate(WANTED, start=1):
        body, about = recorder.kept[kind]
        (FOLDER / f"{number:04}.body").write_bytes(body)
        (FOLDER / f"{number:04}.json").write_text(json.dumps({"kind": kind, **about}, indent=1) + "\n")


if __name__ == "__main__":
    main()
