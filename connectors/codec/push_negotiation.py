"""What a push of logs says of itself: layout and tenant. Pure.

As Loki does, whatever it does not understand is answered 400, where remote write says 415.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from connectors.codec.negotiation import MEDIA_TYPE, tenant_of
from connectors.errors import Rejected

JSON_TYPE = "application/json"


class Layout(StrEnum):
    """What a body is."""

    PROTOBUF = "protobuf, snappy"
    JSON = "JSON"
    GZIPPED_JSON = "JSON, gzip"


LAYOUTS = {
    (MEDIA_TYPE, ""): Layout.PROTOBUF,
    (MEDIA_TYPE, "snappy"): Layout.PROTOBUF,
    (JSON_TYPE, ""): Layout.JSON,
    (JSON_TYPE, "identity"): Layout.JSON,
    (JSON_TYPE, "gzip"): Layout.GZIPPED_JSON,
}


class Push(NamedTuple):
    """What the headers of a push say."""

    layout: Layout
    tenant: str


def push_of(headers: Mapping[str, str]) -> Push:
    """Layout and tenant; raises ``Rejected`` for a content type, an encoding or a tenant that is none."""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in (MEDIA_TYPE, JSON_TYPE):
        message = f"Content-Type: {media[:200]!r} is neither {MEDIA_TYPE} nor {JSON_TYPE}"
        raise Rejected(reason="content_type", message=message)
    said = headers.get("content-encoding", "").strip().lower()
    layout = LAYOUTS.get((media, said))
    if layout is None:
        wanted = "snappy, or absent, with protobuf" if media == MEDIA_TYPE else "gzip, or absent, with JSON"
        message = f"Content-Encoding: {said[:200]!r} must be {wanted}"
        raise Rejected(reason="content_encoding", message=message)
    return Push(layout, tenant_of(headers))
