"""Which Tocsin this is."""

from __future__ import annotations

from importlib import metadata


def version_text() -> str:
    """The version that is installed; a checkout that nobody installed has none."""
    try:
        return metadata.version("tocsin")
    except metadata.PackageNotFoundError:
        return "unreleased"
