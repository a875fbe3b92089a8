"""``/api/detector-kinds``: every kind of detector with its parameters, so that a form can be drawn from it."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from fastapi import Response
from pydantic import AfterValidator, Field, TypeAdapter

from api.json_route import JSON
from api.names import among
from api.problems import ApiError, Code
from api.router import Router
from connectors.messages import Message
from flows.detectors.registry import KINDS, Trait
from flows.policy import DEFAULT_THRESHOLD

router = Router(prefix="/api/detector-kinds", tags=["detectors"])

UNITS = {"s": "seconds", "ms": "milliseconds", "ratio": "ratio", "hours": "hours", "days": "days"}
"""By the last word of a parameter's name."""
JSONABLE: TypeAdapter[Any] = TypeAdapter(Any)
ROWS = 1024
"""Memory is that of so many signals, divided by them."""


KindName = Annotated[str, AfterValidator(among(sorted(KINDS))), Field(json_schema_extra={"enum": list(KINDS)})]


class DetectorKind(Message):
    """One kind: what it does, what it takes, and what it costs."""

    kind: str
    description: Annotated[str, Field(description="what it does, in plain words")]
    parameters: Annotated[dict[str, Any], Field(description="JSON Schema (2020-12) of ``params``")]
    defaults: Annotated[dict[str, Any], Field(description="what parameters are if not given; send what differs alone")]
    example: Annotated[dict[str, Any], Field(description="parameters with which it can fire, if the defaults cannot")]
    units: Annotated[dict[str, str], Field(description="of the parameters that have one")]
    threshold: Annotated[float | None, Field(description="if the config gives none; null: by chance")]
    chance_per_week: Annotated[float | None, Field(description="samples a week that alarm by chance on one signal")]
    chance_in_all: Annotated[
        float | None, Field(description="the same of all signals together at most; null: no bound")
    ]
    cooldown_s: Annotated[float | None, Field(description="if the config gives none; null: follows the cadence")]
    needs_group: Annotated[bool, Field(description="judges the members of a group together")]
    calibrated: Annotated[bool, Field(description="whether each signal's own tail corrects its surprises")]
    bytes_per_signal: Annotated[
        int | None, Field(description="memory by the defaults, the series itself not counted; null: Python objects")
    ]


class DetectorKinds(Message):
    """All kinds; ``auto``, the default, comes first."""

    kinds: list[DetectorKind]


@router.get("", response_model=DetectorKinds)
async def list_kinds() -> Response:
    """All kinds of detectors."""
    return Response(_all_kinds(), media_type=JSON)


@router.get("/{kind}")
async def read_kind(kind: str) -> DetectorKind:
    """One kind of detector."""
    if kind not in KINDS:
        message = f"kind {kind[:100]!r}: there are {', '.join(KINDS)}"
        raise ApiError(Code.NOT_FOUND, message)
    return _kind(kind)


@cache
def _all_kinds() -> bytes:
    return DetectorKinds(kinds=[_kind(name) for name in KINDS]).encode()


@cache
def _kind(name: str) -> DetectorKind:
    kind = KINDS[name]
    fields, made = kind.params.model_fields, kind.params.model_validate(dict(kind.example))
    defaults = {name: JSONABLE.dump_python(field.get_default(), mode="json") for name, field in fields.items()}
    by_chance = kind.chance_per_week is not None
    memory = None if Trait.OBJECTS in kind.traits else kind.make(made).allocate(ROWS).size_bytes // ROWS
    return DetectorKind(
        kind=name,
        description=kind.summary,
        parameters=kind.params.model_json_schema(),
        defaults=defaults,
        example=dict(kind.example),
        units={field: unit for field in fields if (unit := UNITS.get(field.rsplit("_", 1)[-1]))},
        threshold=None if by_chance else DEFAULT_THRESHOLD,
        chance_per_week=kind.chance_per_week,
        chance_in_all=kind.chance_in_all,
        cooldown_s=kind.cooldown_s,
        needs_group=Trait.TOGETHER in kind.traits,
        calibrated=kind.calibrable,
        bytes_per_signal=memory,
    )
