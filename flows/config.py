"""From what an operator wrote to what a block runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import blake2b

from connectors.detector import Aggregate, Detector, Shape
from flows.detectors import base
from flows.detectors.registry import KINDS, Trait
from flows.group import GroupPlan
from flows.homes import Address, addresses_of
from flows.policy import policy_of, threshold_of, unusual_of
from flows.selector import Selector
from flows.validator import check_config

EVERYTHING = Selector(())
"""Selects whatever it is asked about; no operator can write it."""


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

    @property
    def meaning(self) -> tuple[str, ...]:
        """``computes`` as it is however groups and lists of parameters are written: their order tells nothing."""
        given = json.loads(self.program.params)
        params = {name: sorted(set(value)) if isinstance(value, list) else value for name, value in given.items()}
        group = () if self.plan is None else (repr(self.plan.meaning),)
        written = {self.program.params: json.dumps(params, sort_keys=True)}
        if self.plan is not None:
            written[self.plan.group.model_dump_json()] = ""
        return (*(written.get(one, one) for one in self.computes), *group)

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
    """What blocks run of a detector; raises ``ConfigError`` for one that cannot run."""
    config = detector.config
    params, watches = check_config(config)
    kind = KINDS[config.kind]
    program = ProgramKey(config.kind, params.model_dump_json(), config.shape, config.calibrate and kind.calibrable)
    if Trait.OBJECTS in kind.traits:
        program = replace(program, owner=detector.id)
    plan = None if config.group is None else GroupPlan(config.group, config.shape, watches)
    return CompiledDetector(detector, watches[0], program, watches, plan)


Compile = Callable[[Detector], CompiledDetector]


def compile_merged(detector: Detector) -> CompiledDetector:
    """As ``compile_config``, for the step that judges groups."""
    return compile_config(detector).merged()
