"""JSON merge patches (RFC 7396): what is given replaces, null takes away, objects are merged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from api.problems import ApiError, Code
from connectors.detector import DetectorConfig

MAX_DEPTH = 32
"""No config is nested deeper, and what is a hundred times deeper would end the stack."""


def merged(target: Any, patch: Any, depth: int = 0) -> Any:
    """``MergePatch`` of RFC 7396, section 2; neither argument is changed. Raises ``ApiError`` beyond ``MAX_DEPTH``."""
    if not isinstance(patch, Mapping):
        return patch
    if depth > MAX_DEPTH:
        message = f"body: objects in objects, more than {MAX_DEPTH} deep"
        raise ApiError(Code.BAD_REQUEST, message)
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value, depth + 1)
    return result


def patched(config: DetectorConfig, patch: Mapping[str, Any]) -> DetectorConfig:
    """The config with the patch; raises ``RequestValidationError`` where that is none, as if it had been sent whole."""
    whole = merged(config.model_dump(mode="json"), patch)
    try:
        return DetectorConfig.model_validate(whole)
    except ValidationError as error:
        found = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(found, body=whole) from error
