from __future__ import annotations

import pytest

from connectors.codec.push_negotiation import Layout, Push, push_of
from connectors.errors import Rejected, Unsupported


@pytest.mark.parametrize(
    ("media", "encoding", "layout"),
    [
        ("application/x-protobuf", "", Layout.PROTOBUF),
        ("Application/X-Protobuf; charset=utf-8", "Snappy", Layout.PROTOBUF),
        ("application/json", "", Layout.JSON),
        ("application/json; charset=UTF-8", "identity", Layout.JSON),
        ("application/json", " GZIP ", Layout.GZIPPED_JSON),
    ],
)
def test_layouts(media: str, encoding: str, layout: Layout) -> None:
    assert push_of({"content-type": media, "content-encoding": encoding}) == Push(layout, "anonymous")


@pytest.mark.parametrize(
    ("media", "encoding", "reason", "said"),
    [
        ("", "", "content_type", "Content-Type: ''"),
        ("text/plain", "", "content_type", "neither application/x-protobuf nor application/json"),
        ("application/x-protobuf", "gzip", "content_encoding", "must be snappy, or absent, with protobuf"),
        ("application/x-protobuf", "zstd", "content_encoding", "'zstd'"),
        ("application/json", "snappy", "content_encoding", "must be gzip, or absent, with JSON"),
        ("application/json", "deflate", "content_encoding", "'deflate'"),
    ],
)
def test_what_is_refused(media: str, encoding: str, reason: str, said: str) -> None:
    with pytest.raises(Rejected) as caught:
        push_of({"content-type": media, "content-encoding": encoding})
    assert not isinstance(caught.value, Unsupported), "Loki answers 400"
    assert caught.value.reason == reason
    assert said in str(caught.value)


def test_tenant() -> None:
    headers = {"content-type": "application/json", "x-scope-orgid": "team-a"}
    assert push_of(headers).tenant == "team-a"
    with pytest.raises(Rejected, match="X-Scope-OrgID"):
        push_of({**headers, "x-scope-orgid": "a b"})
