"""A server that answers as Loki's documentation says, limits among it, because Loki itself has no package here.

Source: https://grafana.com/docs/loki/latest/reference/loki-http-api/
"""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from flows.selector import SelectorError, parse_selector


class Line(NamedTuple):
    """A log line of a stream."""

    time_ns: int
    line: str
    labels: dict[str, str]


class FakeLoki:
    """Streams by their labels; a query is a stream selector, with line filters ``|= "…"`` at most.

    ``max_entries`` and ``max_query_ns`` are limits as Loki's operator sets them. A full answer is cut as Loki cuts it:
    the first lines forward, the last ones backward.
    """

    def __init__(
        self, lines: Sequence[Line], max_entries: int = 5_000, max_query_ns: int = 721 * 3_600 * 10**9, tenant: str = ""
    ) -> None:
        self.lines = list(lines)
        self.asked: list[dict[str, str]] = []
        self._max_entries, self._max_query_ns, self._tenant = max_entries, max_query_ns, tenant
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                outer.asked.append(query)
                status, body = outer._answer(url.path, query, self.headers.get("X-Scope-OrgID", ""))
                text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, path: str, query: dict[str, str], tenant: str) -> tuple[int, Any]:
        if self._tenant and tenant != self._tenant:
            return 401, "no org id\n"
        match path:
            case "/loki/api/v1/query_range":
                return self._query_range(query)
            case "/loki/api/v1/labels":
                names = sorted({name for line in self._within(query) for name in line.labels})
                return 200, {"status": "success", **({"data": names} if names else {})}
            case "/loki/api/v1/series":
                selector = parse_selector(query["match[]"])
                found = [line.labels for line in self._within(query) if selector.matches(line.labels)]
                return 200, {"status": "success", "data": [dict(one) for one in {tuple(x.items()) for x in found}]}
            case "/loki/api/v1/status/buildinfo":
                return 200, {"version": "3.5.0", "revision": "fake", "branch": "", "buildUser": "", "buildDate": ""}
        return 404, "404 page not found\n"

    def _query_range(self, query: dict[str, str]) -> tuple[int, Any]:
        limit = int(query.get("limit", "100"))
        start_ns, end_ns = int(query["start"]), int(query["end"])
        if limit > self._max_entries:
            return (
                400,
                f"max entries limit per query exceeded, limit > max_entries_limit ({limit} > {self._max_entries})",
            )
        if end_ns - start_ns > self._max_query_ns:
            return 400, "the query time range exceeds the limit (query length: 800h0m0s, limit: 30d1h)"
        try:
            found = self._matching(query)
        except SelectorError as error:
            return 400, f"parse error at line 1, col 1: syntax error: {error}"
        forward = query.get("direction", "backward") == "forward"
        found.sort(key=lambda line: line.time_ns, reverse=not forward)
        streams = defaultdict[tuple[tuple[str, str], ...], list[list[str]]](list)
        for line in found[:limit]:
            streams[tuple(line.labels.items())].append([str(line.time_ns), line.line])
        result = [{"stream": dict(labels), "values": values} for labels, values in streams.items()]
        stats = {"summary": {"totalLinesProcessed": len(found)}}
        return 200, {"status": "success", "data": {"resultType": "streams", "result": result, "stats": stats}}

    def _matching(self, query: dict[str, str]) -> list[Line]:
        head, *filters = re.split(r"\s*\|=\s*", query["query"])
        selector, sought = parse_selector(head), [json.loads(text) for text in filters]
        return [
            line
            for line in self._within(query)
            if selector.matches(line.labels) and all(text in line.line for text in sought)
        ]

    def _within(self, query: dict[str, str]) -> list[Line]:
        return [line for line in self.lines if int(query["start"]) <= line.time_ns < int(query["end"])]
