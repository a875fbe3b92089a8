"""What pydantic's errors say to people: where, and what would be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel


def place_of(loc: Sequence[int | str]) -> str:
    """Path of a field; that a key is meant, and not its value, is pydantic's to know."""
    return ".".join(str(part) for part in loc if part != "[key]")


def expected_of(model: type[BaseModel], found: Mapping[str, Any], loc: Sequence[int | str] | None = None) -> str:
    """What would be right, of one of the errors of ``model``; ``loc`` if the place in it is another than it says."""
    if found["type"] != "extra_forbidden":
        return str(found["msg"]).removeprefix("Value error, ")
    *outer, name = found["loc"] if loc is None else loc
    owner = _model_at(model, outer)
    if owner is None:
        return str(found["msg"])
    whose = f" of {place_of(outer)}" if outer else ""
    return f"there is no field {str(name)[:100]!r}: those{whose} are {', '.join(owner.model_fields)}"


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
