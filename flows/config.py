"""From what an operator wrote to what a block runs; one validator for api and flow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any

from pydantic import BaseModel, ValidationError

from connectors.detector import Aggregate, Detector, DetectorConfig, Shape
from connectors.errors import Rejected
from connectors.messages import TENANT_RULE, is_tenant
from connectors.refusals import expected_of, place_of
from flows.detectors import base
from flows.detectors.registry import KINDS, Trait
from flows.group import GroupPlan, problem_of
from flows.homes import Address, addresses_of
from flows.policy import policy_of, threshold_of, unusual_of
from flows.selector import Selector, SelectorError, parse_selector

EVERYTHING = Selector(())
"""Selects whatever it is asked about; no operator can write it."""


class ConfigError(Rejected):
    """A detector config that cannot run: which field, its value, and what would be right."""

    def __init__(self, *, field: str, value: object, expected: str) -> None:
        super().__init__(reason="bad_config", message=f"{field} = {value!r}: {expected}")
        self.field, self.value, self.expected = field, value, expected


@dataclass(frozen=True, slots=True)
class ProgramKey:
    """What is computed on a series. Detectors with the same key share one program: one state, one score."""

    kind: str
    params: str
    shape: Shape
    calibrated: bool = False
    """whether surprises are those that each signal's own tail bears out"""
    owner: str = ""
    """the only detector that it is for, of a kind that keeps Python objects: their number is bounded per detector"""
    peers: str = ""
    """the ``by`` and ``without`` as JSON that say which series are judged together; none if each is by itself"""

    @property
    def singly(self) -> bool:
        """Whether series are to be added one by one, because it matters which they are."""
        return bool(self.owner or self.peers)

    def make(self) -> base.Detector:
        """The detector itself."""
        kind = KINDS[self.kind]
        params = kind.params.model_validate_json(self.params)
        return (kind.vectors(params) if self.peers else None) or kind.make(params)


@dataclass(frozen=True, slots=True)
class GatherKey:
    """Whose members are gathered, in which role and shape."""

    detector: str
    """digest of the detector, in hexadecimal"""
    role: int
    shape: Shape


@dataclass(frozen=True)
class CompiledDetector:
    """A detector ready to run."""

    source: Detector
    selector: Selector
    program: ProgramKey
    watches: tuple[Selector, ...]
    """series that match any of these concern it"""
    plan: GroupPlan | None = None
    """how its groups are gathered; None if it judges each series"""

    @cached_property
    def computes(self) -> tuple[str, ...]:
        """All that decides its verdicts; two detectors with equal ``computes`` would say the same."""
        c = self.source.config
        limits = (repr(threshold_of(c)), repr(c.quiet_s))
        group = () if c.group is None else (c.group.model_dump_json(),)
        more = [f"{name}={value!r}" for name, value in unusual_of(c).items()]  # what is usual is left out: ids stay
        more += [] if c.calibrate else ["uncalibrated"]
        return (self.program.kind, self.program.params, c.shape, c.tenant, str(self.selector), *limits, *group, *more)

    def keys_for(self, labels: Mapping[str, str], *, counter: bool) -> list[ProgramKey | GatherKey]:
        """The programs that a series of interest is put into; ``counter`` decides what ``auto`` means."""
        if self.plan is None:
            return [self.programs[counter]]
        shape = self.program.shape
        if shape is Shape.AUTO:
            shape = Shape.RATE if counter or self.plan.group.histogram_quantile is not None else Shape.RAW
        digest = self.digest.hex()
        matched = (role for role, selector in enumerate(self.watches) if selector.matches(labels))
        return [GatherKey(digest, role, shape) for role in matched]

    @cached_property
    def programs(self) -> tuple[ProgramKey, ProgramKey]:
        """Without groups: that of a series which may fall, and that of a counter."""
        return _programs_of(self.program)

    @cached_property
    def addresses(self) -> tuple[tuple[Address, ...], ...]:
        """Where the series of each of ``watches`` can be found; worked out once for the blocks of all partitions."""
        return tuple(addresses_of(selector) for selector in self.watches)

    @cached_property
    def asked(self) -> tuple[str, ...]:
        """The selectors of ``watches`` as text: equal ones have equal text."""
        return tuple(str(selector) for selector in self.watches)

    def work_out(self) -> None:
        """Have ready what blocks will ask for."""
        _ = self.digest, self.programs, self.asked, self.policy, self.singly
        for addresses in self.addresses:
            for address in addresses:
                address.work_out()

    @cached_property
    def policy(self) -> bytes:
        """Its record of ``POLICY``: as bytes, since those of many become one array soonest from these."""
        packed: bytes = policy_of(self.source.config).tobytes()
        return packed

    @cached_property
    def singly(self) -> bool:
        """Whether its series are to be added one by one."""
        return self.plan is not None or self.program.singly

    def merged(self) -> CompiledDetector:
        """The same detector where its groups are judged: every group is a series there, and its value raw."""
        group, peers = self.source.config.group, ""
        if group is not None and group.aggregate is Aggregate.MEMBERS:
            peers = group.model_dump_json(include={"by", "without"})
        program = replace(self.program, shape=Shape.RAW, peers=peers)
        return replace(self, program=program, watches=(EVERYTHING,), plan=None)

    @cached_property
    def digest(self) -> bytes:
        """16 bytes of ``computes``, for anomaly ids."""
        return blake2b("\0".join(self.computes).encode(), digest_size=16).digest()


def remembered(source: Detector, program: ProgramKey, digest: bytes) -> CompiledDetector:
    """A detector that cannot run any more, as far as the end of its episodes needs it: ``digest`` makes their ids."""
    detector = CompiledDetector(source, EVERYTHING, program, ())
    vars(detector)["digest"] = digest  # where ``cached_property`` looks first; of its own it would be another
    return detector


@lru_cache(maxsize=4096)
def _programs_of(program: ProgramKey) -> tuple[ProgramKey, ProgramKey]:
    """One pair of objects for all equal ones: a look-up that finds the very object need not compare."""
    if program.shape is not Shape.AUTO:
        return program, program
    return replace(program, shape=Shape.RAW), replace(program, shape=Shape.RATE)


def compile_config(detector: Detector) -> CompiledDetector:
    """Check kind, params, selectors, tenant and group; raises ``ConfigError``.

    Every revision in the log is read by it, so what it takes once it must take for ever: else a flow that resumes from
    a snapshot and a reader that begins at the log's start disagree on what stands. What is merely unwise to propose is
    refused by ``flows.futility``.
    """
    config = detector.config
    if not is_tenant(config.tenant):
        raise ConfigError(field="tenant", value=config.tenant, expected=f"must be {TENANT_RULE}")
    selector = _selector("selector", config.selector)
    params = _params(config).model_dump_json()
    _check_sense(config)
    program = ProgramKey(config.kind, params, config.shape, config.calibrate and KINDS[config.kind].calibrable)
    if Trait.OBJECTS in KINDS[config.kind].traits:
        program = replace(program, owner=detector.id)
    problem = problem_of(config)
    if problem is not None:
        raise ConfigError(field=problem.field, value=problem.value, expected=problem.expected)
    if config.threshold is not None and config.chance_per_week is not None:
        expected = f"must be left out beside threshold = {config.threshold:g}: one decides when it fires"
        raise ConfigError(field="chance_per_week", value=config.chance_per_week, expected=expected)
    _check_budget(config)
    _check_together(config)
    if config.group is None:
        return CompiledDetector(detector, selector, program, (selector,))
    watches: tuple[Selector, ...] = (selector,)
    if config.group.denominator is not None:
        watches = (selector, _selector("group.denominator", config.group.denominator))
    return CompiledDetector(detector, selector, program, watches, GroupPlan(config.group, config.shape, watches))


def _check_sense(config: DetectorConfig) -> None:
    """What could be computed but would say nothing."""
    if config.kind == "missing" and config.shape not in (Shape.AUTO, Shape.RAW):
        expected = "missing judges when samples come, not how they change: leave shape out"
        raise ConfigError(field="shape", value=str(config.shape), expected=expected)
    if config.kind in {"auto", "river"} and "hold_from" in config.params and not config.params.get("hold_s"):
        expected = "does nothing without hold_s, the seconds for which such samples are not learned: give both"
        raise ConfigError(field="params.hold_from", value=config.params["hold_from"], expected=expected)


def _check_budget(config: DetectorConfig) -> None:
    """A budget sets the threshold, so none may be given; and it needs surprises that tell more from less."""
    if config.budget is None:
        return
    value = f"{config.budget.alarms:g} per {config.budget.per}"
    for field in ("threshold", "chance_per_week"):
        if getattr(config, field) is not None:
            expected = f"must be left out beside {field} = {getattr(config, field):g}: one decides when it fires"
            raise ConfigError(field="budget", value=value, expected=expected)
    if Trait.STATED in KINDS[config.kind].traits:
        expected = f"must be left out: {config.kind} alarms at what you state, and nothing of that is by chance"
        raise ConfigError(field="budget", value=value, expected=expected)


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


def refuse_aggregates(config: DetectorConfig, where: str, instead: str) -> None:
    """Raise ``ConfigError`` if groups become one value, where nobody runs the step that merges partitions."""
    if config.group is not None and config.group.aggregate is not Aggregate.MEMBERS:
        expected = f"must be members {where}, or group left out: {instead}"
        raise ConfigError(field="group.aggregate", value=str(config.group.aggregate), expected=expected)


Compile = Callable[[Detector], CompiledDetector]


def compile_merged(detector: Detector) -> CompiledDetector:
    """As ``compile_config``, for the step that judges groups."""
    return compile_config(detector).merged()


def _selector(field: str, text: str) -> Selector:
    try:
        return parse_selector(text)
    except SelectorError as error:
        raise ConfigError(field=field, value=text, expected=str(error)) from error


def check_config(config: DetectorConfig) -> None:
    """Raise ``ConfigError`` for a config that cannot run."""
    compile_config(Detector(id="check", revision=1, config=config, author="", updated_ms=0))


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
        field = place_of(["params", *first["loc"]])
        known = ", ".join(sorted(kind.params.model_fields)) or "no parameters"
        extra = first["type"] == "extra_forbidden"
        expected = f"{config.kind} takes {known}" if extra else expected_of(kind.params, first)
        raise ConfigError(field=field, value=first["input"], expected=expected) from error
