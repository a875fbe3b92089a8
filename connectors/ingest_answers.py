"""What ingest answers: an error or what was written, to status, headers and body. Pure."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from connectors import probes
from connectors.codec.pushed import Pushed
from connectors.codec.remote_write import Split, Version
from connectors.errors import NothingGiven, Overloaded, Rejected, TocsinError, TooLarge, TooSlow, Unsupported
from connectors.http_answer import Answer, json_answer, method_not_allowed

WRITE, PUSH = "/api/v1/write", "/loki/api/v1/push"
"""Where samples and log lines are posted."""
RETRY_AFTER_S = 1


def error_answer(error: TocsinError) -> Answer:
    """Status, Retry-After and JSON body of an error."""
    match error:
        case Unsupported():
            return json_answer(415, {"error": str(error), "reason": error.reason})
        case TooLarge():
            return json_answer(413, {"error": str(error), "reason": error.reason})
        case NothingGiven():
            return json_answer(422, {"error": str(error), "reason": error.reason})
        case TooSlow():  # what else comes of the body is not read
            close = [(b"connection", b"close")]
            return json_answer(408, {"error": str(error), "reason": error.reason}, close)
        case Rejected():
            return json_answer(400, {"error": str(error), "reason": error.reason})
        case Overloaded():
            retry = [(b"retry-after", str(error.retry_after_s).encode())]
            return json_answer(429, {"error": str(error), "reason": "overloaded"}, retry)
        case _:
            retry = [(b"retry-after", str(RETRY_AFTER_S).encode())]
            return json_answer(503, {"error": str(error), "reason": "kafka_unavailable"}, retry)


def other_answer(method: str, path: str, registry: CollectorRegistry, components: probes.Components) -> Answer:
    """What anything but a write or a push is answered: a probe, or that there is no such thing."""
    if path in (WRITE, PUSH):
        return method_not_allowed(method, path, "POST")
    return probes.answer(method, path, registry, components, beside=(WRITE, PUSH))


def written_answer(version: Version, split: Split) -> Answer:
    """204, or 400 naming the first bad series; for 2.0 with what was written."""
    counts = written_headers(split) if version is Version.V2 else []
    if split.complaint is None:
        return Answer(204, counts)
    refused = sum(split.refused.values())
    message = f"{split.complaint.text} ({refused} of {split.series} series refused, the others are written)"
    return json_answer(400, {"error": message, "reason": split.complaint.reason}, counts)


def pushed_answer(pushed: Pushed) -> Answer:
    """204, or 400 naming the first bad line or stream."""
    if pushed.complaint is None:
        return Answer(204, [])
    refused = pushed.refused.total()
    rest = "the others are written" if pushed.lines else "nothing is written"
    message = f"{pushed.complaint.text} ({refused} of {refused + pushed.lines} lines refused, {rest})"
    return json_answer(400, {"error": message, "reason": pushed.complaint.reason})


def written_headers(split: Split) -> list[tuple[bytes, bytes]]:
    """Headers by which a 2.0 receiver tells how much it has written."""
    counts = {"samples": split.samples, "histograms": split.histograms, "exemplars": split.exemplars}
    return [
        (f"x-prometheus-remote-write-{what}-written".encode(), str(count).encode()) for what, count in counts.items()
    ]
