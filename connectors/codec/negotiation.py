"""What a remote-write request says of itself: protocol, compression, tenant. Pure.

Lenient where real senders are: the npm client sends neither ``Content-Encoding`` nor a version header, vmagent starts
with zstd, and parameters of the content type come in any case, quoting and spacing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from connectors.codec.remote_write import Version
from connectors.errors import Rejected, Unsupported
from connectors.messages import DEFAULT_TENANT

MEDIA_TYPE = "application/x-protobuf"
PROTOS = {"prometheus.writerequest": Version.V1, "io.prometheus.write.v2.request": Version.V2}
TENANT = re.compile(r"[a-zA-Z0-9!\-_.*'()]{1,150}")
"""Mimir's rule: https://grafana.com/docs/mimir/latest/configure/about-tenant-ids/"""


class Encoding(StrEnum):
    """Compression of a body; UNSAID is to be found out from its first bytes."""

    SNAPPY = "snappy"
    ZSTD = "zstd"
    UNSAID = ""


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
    tenant = headers.get("x-scope-orgid", "") or DEFAULT_TENANT
    if TENANT.fullmatch(tenant) is None or tenant in (".", ".."):
        message = f"X-Scope-OrgID: {tenant[:200]!r} is not 1 to 150 characters of a-z A-Z 0-9 ! - _ . * ' ( )"
        raise Rejected(reason="bad_tenant", message=message)
    return tenant
