from __future__ import annotations

import pytest

from connectors.codec.negotiation import Encoding, encoding_of, headers_of, tenant_of, version_of
from connectors.codec.remote_write import Version
from connectors.errors import Rejected, Unsupported


@pytest.mark.parametrize(
    ("content_type", "version"),
    [
        ("", Version.V1),
        ("application/x-protobuf", Version.V1),
        ("application/x-protobuf;proto=prometheus.WriteRequest", Version.V1),
        ("application/x-protobuf;proto=io.prometheus.write.v2.Request", Version.V2),
        ('Application/X-Protobuf ; charset=utf-8; PROTO="io.prometheus.write.v2.Request"', Version.V2),
    ],
)
def test_version(content_type: str, version: Version) -> None:
    assert version_of({"content-type": content_type}) is version


@pytest.mark.parametrize(
    "content_type", ["application/json", "image/png", "application/x-protobuf;proto=prometheus.ReadRequest"]
)
def test_other_types_are_refused(content_type: str) -> None:
    with pytest.raises(Unsupported, match="Content-Type"):
        version_of({"content-type": content_type})


def test_encoding() -> None:
    assert encoding_of({"content-encoding": "Snappy"}) is Encoding.SNAPPY
    assert encoding_of({"content-encoding": "zstd"}) is Encoding.ZSTD
    assert encoding_of({}) is Encoding.UNSAID
    for other in ("gzip", "deflate", "identity"):
        with pytest.raises(Unsupported, match="Content-Encoding"):
            encoding_of({"content-encoding": other})


@pytest.mark.parametrize("tenant", ["a", "team-a_1.b*'()!", "x" * 150])
def test_tenant(tenant: str) -> None:
    assert tenant_of({"x-scope-orgid": tenant}) == tenant


def test_no_tenant_is_the_default_one() -> None:
    assert tenant_of({}) == "anonymous"
    assert tenant_of({"x-scope-orgid": ""}) == "anonymous"


@pytest.mark.parametrize("tenant", ["a b", "a/b", "a|b", "x" * 151, "ü", "a\n", ".", ".."])
def test_bad_tenants(tenant: str) -> None:
    with pytest.raises(Rejected, match="X-Scope-OrgID") as refused:
        tenant_of({"x-scope-orgid": tenant})
    assert refused.value.reason == "bad_tenant"


def test_headers_by_name() -> None:
    pairs = [(b"x-scope-orgid", b"a"), (b"via", b"1"), (b"via", b"2"), (b"x", b"\xfc")]
    assert headers_of(pairs) == {"x-scope-orgid": "a", "via": "2", "x": "ü"}


@pytest.mark.parametrize("second", [b"b", b"a", b""])
def test_two_tenants_are_refused(second: bytes) -> None:
    with pytest.raises(Rejected, match="more than once") as refused:
        headers_of([(b"x-scope-orgid", b"a"), (b"via", b"1"), (b"x-scope-orgid", second)])
    assert refused.value.reason == "bad_tenant"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("x-scope-orgid", "bad_tenant"), ("content-type", "content_type"), ("content-encoding", "content_encoding")],
)
def test_what_a_request_says_of_itself_it_says_once(name: str, reason: str) -> None:
    with pytest.raises(Rejected, match=f"{name}: stands more than once") as refused:
        headers_of([(name.encode(), b"text/plain"), (b"via", b"1"), (name.encode(), b"application/x-protobuf")])
    assert refused.value.reason == reason
