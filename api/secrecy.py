"""What a refusal may show of the value that it refuses: no secret, however wrongly it was written down."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

SECRET = frozenset({"password", "token", "headers"})
"""Fields whose values, and all inside them, are never shown."""
HOLDER = "auth"
"""An object with secrets in it: whatever else stands there is taken for one."""
HIDDEN = "**********"
_USERINFO = re.compile(r"//[^/?#]*@")
_BARE_USERINFO = re.compile(r"^[\w.+~-]+:[^/?#@\s\"']+@")
"""Of a URL without its scheme."""


def without_secrets(loc: Sequence[int | str], value: object) -> object:
    """The value that stood at this place, with stars where it is or holds a secret."""
    if any(part in SECRET for part in loc):
        return HIDDEN
    return _shown(loc[-1] if loc else "", value)


def _shown(name: int | str, value: object) -> object:
    """The value of a field of this name."""
    if name in SECRET or (name == HOLDER and not isinstance(value, Mapping | None)):
        return HIDDEN
    return _hidden(value)


def _hidden(value: object) -> object:
    match value:
        case Mapping():
            return {name: _shown(name, inner) for name, inner in value.items()}
        case list():
            return [_hidden(inner) for inner in value]
        case str():
            return _BARE_USERINFO.sub(f"{HIDDEN}@", _USERINFO.sub(f"//{HIDDEN}@", value))
    return value
