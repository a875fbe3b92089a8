"""What a refusal may show of the value that it refuses: no secret, however wrongly it was written down."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

SECRET = frozenset({"password", "token", "headers"})
"""Fields whose values, and all inside them, are never shown."""
HIDDEN = "**********"
_USERINFO = re.compile(r"//[^/?#]*@")


def without_secrets(loc: Sequence[int | str], value: object) -> object:
    """The value that stood at this place, with stars where it is or holds a secret."""
    if any(part in SECRET for part in loc):
        return HIDDEN
    return _hidden(value)


def _hidden(value: object) -> object:
    match value:
        case Mapping():
            return {name: HIDDEN if name in SECRET else _hidden(inner) for name, inner in value.items()}
        case list():
            return [_hidden(inner) for inner in value]
        case str():
            return _USERINFO.sub(f"//{HIDDEN}@", value)
    return value
