"""The one validator: which detector configs cannot run, and why. The api, the flow and the command line ask it. Pure.

Every revision in the log is read by it, so what it takes once it must take for ever: else a flow that resumes from a
snapshot and a reader that begins at the log's start disagree on what stands. What is merely unwise to propose is
refused by ``flows.futility``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from connectors.detector import Aggregate, DetectorConfig, Shape
from connectors.errors import Rejected
from connectors.messages import TENANT_RULE, is_tenant
from connectors.refusals import expected_of, given_of, path_of
from flows.detectors.registry import KINDS, Trait
from flows.group import problem_of
from flows.selector import Selector, SelectorError, parse_selector


class ConfigError(Rejected):
    """A detector config that cannot run: which field, its value, and what would be right."""

    def __init__(self, *, field: str, value: object, expected: str) -> None:
        super().__init__(reason="bad_config", message=f"{field} = {value!r}: {expected}")
        self.field, self.value, self.expected = field, value, expected


@contextmanager
def inside(field: str) -> Iterator[None]:
    """Name the place of a refused field in the whole that it is a part of."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(field=f"{field}.{error.field}", value=error.value, expected=error.expected) from error


class Checked(NamedTuple):
    """What was read of a config that can run."""

    params: BaseModel
    """of its kind, with the defaults"""
    selectors: tuple[Selector, ...]
    """the members, and the members of the denominator if there is one"""


def check_config(config: DetectorConfig) -> Checked:
    """Read a config; raises ``ConfigError`` for the first thing in it that cannot run."""
    if not is_tenant(config.tenant):
        raise ConfigError(field="tenant", value=config.tenant, expected=f"must be {TENANT_RULE}")
    selector = _selector("selector", config.selector)
    params = _params(config)
    _check_sense(config)
    problem = problem_of(config)
    if problem is not None:
        raise ConfigError(field=problem.field, value=problem.value, expected=problem.expected)
    _check_thresholds(config)
    _check_together(config)
    if config.group is None or config.group.denominator is None:
        return Checked(params, (selector,))
    return Checked(params, (selector, _selector("group.denominator", config.group.denominator)))


def refuse_aggregates(config: DetectorConfig, where: str, instead: str) -> None:
    """Raise ``ConfigError`` if groups become one value, where nobody runs the step that merges partitions."""
    if config.group is not None and config.group.aggregate is not Aggregate.MEMBERS:
        expected = f"must be members {where}, or group left out: {instead}"
        raise ConfigError(field="group.aggregate", value=str(config.group.aggregate), expected=expected)


def _selector(field: str, text: str) -> Selector:
    try:
        return parse_selector(text)
    except SelectorError as error:
        raise ConfigError(field=field, value=text, expected=str(error)) from error


@lru_cache(maxsize=256)
def _read_params(model: type[BaseModel], params: str) -> BaseModel:
    """The same few again and again, where detectors are many; they are frozen. Raises ``ValidationError``."""
    return model.model_validate_json(params, strict=True)


def _params(config: DetectorConfig) -> BaseModel:
    kind = KINDS.get(config.kind)
    if kind is None:
        raise ConfigError(field="kind", value=config.kind, expected=f"must be one of {', '.join(sorted(KINDS))}")
    try:
        return _read_params(kind.params, json.dumps(config.params))
    except ValidationError as error:
        first: Any = error.errors()[0]
        field = path_of(["params", *first["loc"]])
        known = ", ".join(sorted(kind.params.model_fields)) or "no parameters"
        extra = first["type"] == "extra_forbidden"
        expected = f"{config.kind} takes {known}" if extra else expected_of(kind.params, first)
        raise ConfigError(field=field, value=given_of(first), expected=expected) from error


def _check_sense(config: DetectorConfig) -> None:
    """What could be computed but would say nothing."""
    if config.kind == "missing" and config.shape not in (Shape.AUTO, Shape.RAW):
        expected = "missing judges when samples come, not how they change: leave shape out"
        raise ConfigError(field="shape", value=str(config.shape), expected=expected)
    if config.kind in {"auto", "river"} and "hold_from" in config.params and not config.params.get("hold_s"):
        expected = "does nothing without hold_s, the seconds for which such samples are not learned: give both"
        raise ConfigError(field="params.hold_from", value=config.params["hold_from"], expected=expected)


def _check_thresholds(config: DetectorConfig) -> None:
    """One of ``threshold``, ``chance_per_week`` and ``budget`` decides when it fires.

    A budget needs surprises that tell more from less.
    """
    if config.threshold is not None and config.chance_per_week is not None:
        raise _beside(config, ("threshold", "chance_per_week"), config.chance_per_week)
    if config.budget is None:
        return
    value = f"{config.budget.alarms:g} per {config.budget.per}"
    for field in ("threshold", "chance_per_week"):
        if getattr(config, field) is not None:
            raise _beside(config, (field, "budget"), value)
    if Trait.STATED in KINDS[config.kind].traits:
        raise by_no_chance(config.kind, "budget", value)


def by_no_chance(kind: str, field: str, value: object) -> ConfigError:
    """A field that has no meaning for a kind whose bounds are stated."""
    expected = f"must be left out: {kind} alarms at what you state, and nothing of that is by chance"
    return ConfigError(field=field, value=value, expected=expected)


def _beside(config: DetectorConfig, fields: tuple[str, str], value: object) -> ConfigError:
    """The second of two fields, which has this value, does not go with the first."""
    given, too_much = fields
    expected = f"must be left out beside {given} = {getattr(config, given):g}: one decides when it fires"
    return ConfigError(field=too_much, value=value, expected=expected)


def _check_together(config: DetectorConfig) -> None:
    """Kinds that judge the members of a group together need them; pauses are those of each series."""
    traits = KINDS[config.kind].traits
    aggregate = None if config.group is None else config.group.aggregate
    if Trait.TOGETHER in traits and aggregate is not Aggregate.MEMBERS:
        field, value = ("group", None) if aggregate is None else ("group.aggregate", str(aggregate))
        expected = f"{config.kind} compares the members of a group: give group with aggregate members"
        raise ConfigError(field=field, value=value, expected=expected)
    if Trait.PAUSES in traits and aggregate is Aggregate.MEMBERS:
        expected = (
            f"{config.kind} judges when samples come, each series by itself: leave group out, or choose sum or the like"
        )
        raise ConfigError(field="group.aggregate", value="members", expected=expected)
