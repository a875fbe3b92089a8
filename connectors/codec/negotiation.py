"""What a remote-write request says of itself: protocol, compression, tenant. Pure.

Lenient where real senders are: the npm client sends neither ``Content-Encoding`` nor a version header, vmagent starts
with zstd, and parameters of the content type come in any case, quoting and spacing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from connectors.codec.remote_write import Version
from connectors.errors import Rejected, Unsupported
from connectors.messages import DEFAULT_TENANT, TENANT_RULE, is_tenant

MEDIA_TYPE = "application/x-protobuf"
PROTOS = {"prometheus.writerequest": Version.V1, "io.prometheus.write.v2.request": Version.V2}
TENANT_HEADER = "x-scope-orgid"
ONCE = {b"x-scope-orgid": "bad_tenant", b"content-type": "content_type", b"content-encoding": "content_encoding"}
"""Headers that must not stand twice, since nobody knows which one is meant, to the reason of the refusal."""


class Encoding(StrEnum):
    """Compression of a body; UNSAID is to be found out from its first bytes."""

    SNAPPY = "snappy"
    ZSTD = "zstd"
    UNSAID = ""


def headers_of(pairs: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name in small letters; raises ``Rejected`` when one of ``ONCE`` stands twice."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
    if len(headers) < len(pairs):
        _refuse_doubles([name for name, _ in pairs])
    return headers


def _refuse_doubles(names: Sequence[bytes]) -> None:
    for name, reason in ONCE.items():
        if names.count(name) > 1:
            message = f"{name.decode()}: stands more than once; send it once, or not at all"
            raise Rejected(reason=reason, message=message)


def version_of(headers: Mapping[str, str]) -> Version:
    """Protocol version by the content type (no content type: 1.0); raises ``Unsupported`` for any other type."""
    media, *parameters = headers.get("content-type", "").split(";")
    if media.strip().lower() not in ("", MEDIA_TYPE):
        message = f"Content-Type: {media.strip()!r} is not {MEDIA_TYPE}"
        raise Unsupported(reason="content_type", message=message)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        proto = value.strip().strip('"')
        if name.strip().lower() == "proto" and proto.lower() not in PROTOS:
            message = (
                f"Content-Type: proto={proto} is neither prometheus.WriteRequest nor io.prometheus.write.v2.Request"
            )
            raise Unsupported(reason="content_type", message=message)
        if name.strip().lower() == "proto":
            return PROTOS[proto.lower()]
    return Version.V1


def encoding_of(headers: Mapping[str, str]) -> Encoding:
    """Compression by ``Content-Encoding``; raises ``Unsupported`` for what is neither snappy nor zstd."""
    said = headers.get("content-encoding", "").strip().lower()
    try:
        return Encoding(said)
    except ValueError as error:
        message = f"Content-Encoding: {said!r} is neither snappy nor zstd"
        raise Unsupported(reason="content_encoding", message=message) from error


def tenant_of(headers: Mapping[str, str]) -> str:
    """Tenant by ``X-Scope-OrgID`` (none or empty: the default one); raises ``Rejected`` for a name out of the rule."""
    tenant = headers.get(TENANT_HEADER, "") or DEFAULT_TENANT
    if not is_tenant(tenant):
        message = f"X-Scope-OrgID: {tenant[:200]!r} is not {TENANT_RULE}"
        raise Rejected(reason="bad_tenant", message=message)
    return tenant
