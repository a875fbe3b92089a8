"""What pydantic's errors say to people: where, and what would be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

LIST, OBJECT = "must be a list", "must be an object"
PLAIN = {
    "missing": "must be given",
    "list_type": LIST,
    "tuple_type": LIST,
    "set_type": LIST,
    "frozen_set_type": LIST,
    "dict_type": OBJECT,
    "model_type": OBJECT,
    "model_attributes_type": OBJECT,
}
"""What pydantic says of JSON in words of Python."""
QUOTE = "'"
"""Stands about the name of a discriminator."""


def path_of(loc: Sequence[int | str]) -> str:
    """Path of a field; that a key is meant, and not its value, is pydantic's to know."""
    return ".".join(str(part) for part in loc if part != "[key]")


def expected_of(model: type[BaseModel], found: Mapping[str, Any], loc: Sequence[int | str] | None = None) -> str:
    """What would be right, of one of the errors of ``model``; ``loc`` if the place in it is another than it says."""
    if found["type"] != "extra_forbidden":
        return _said(found)
    *outer, name = found["loc"] if loc is None else loc
    owner = _model_at(model, outer)
    if owner is None:
        return str(found["msg"])
    whose = f" of {path_of(outer)}" if outer else ""
    return f"there is no field {str(name)[:100]!r}: those{whose} are {', '.join(owner.model_fields)}"


def given_of(found: Mapping[str, Any]) -> Any:
    """The value that an error is about; of a field that is missing none, and not all that stands beside it."""
    return None if found["type"] == "missing" else found.get("input")


def _said(found: Mapping[str, Any]) -> str:
    kind, about = found["type"], found.get("ctx", {})
    match kind:
        case "too_short":
            return f"must have at least {counted(about['min_length'], 'item')}"
        case "too_long":
            return f"must have at most {counted(about['max_length'], 'item')}"
        case "union_tag_invalid":
            return f"{about['discriminator'].strip(QUOTE)} must be one of {about['expected_tags']}"
        case "union_tag_not_found":
            return f"must have a {about['discriminator'].strip(QUOTE)}"
    return PLAIN.get(kind) or str(found["msg"]).removeprefix("Value error, ")


def counted(n: int, what: str) -> str:
    """So many of something, as people write it."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _model_at(model: type[BaseModel] | None, loc: Sequence[int | str]) -> type[BaseModel] | None:
    for part in loc:
        field = None if model is None else model.model_fields.get(str(part))
        model = None if field is None else _model_in(field.annotation)
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field may hold, itself or beside None."""
    for kind in get_args(annotation) or (annotation,):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
