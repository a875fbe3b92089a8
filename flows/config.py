"""From what an operator wrote to what a block runs; one validator for api and flow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from pydantic import BaseModel, ValidationError

from connectors.errors import Rejected
from connectors.messages import TENANT_RULE, Detector, DetectorConfig, Shape, is_tenant
from flows.detectors import base
from flows.detectors.registry import KINDS
from flows.selector import Selector, SelectorError, parse_selector


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

    def make(self) -> base.Detector:
        """The detector itself."""
        kind = KINDS[self.kind]
        return kind.make(kind.params.model_validate_json(self.params))


@dataclass(frozen=True, slots=True)
class CompiledDetector:
    """A detector ready to run."""

    source: Detector
    selector: Selector
    program: ProgramKey

    @property
    def computes(self) -> tuple[str, ...]:
        """All that decides its verdicts; two detectors with equal ``computes`` would say the same."""
        c = self.source.config
        limits = (repr(c.threshold), repr(c.quiet_s))
        return (self.program.kind, self.program.params, self.program.shape, c.tenant, str(self.selector), *limits)

    @property
    def digest(self) -> bytes:
        """16 bytes of ``computes``, for anomaly ids."""
        return blake2b("\0".join(self.computes).encode(), digest_size=16).digest()


def compile_config(detector: Detector) -> CompiledDetector:
    """Check kind, params, selector and tenant; raises ``ConfigError``."""
    config = detector.config
    if not is_tenant(config.tenant):
        raise ConfigError(field="tenant", value=config.tenant, expected=f"must be {TENANT_RULE}")
    try:
        selector = parse_selector(config.selector)
    except SelectorError as error:
        raise ConfigError(field="selector", value=config.selector, expected=str(error)) from error
    params = _params(config).model_dump_json()
    return CompiledDetector(detector, selector, ProgramKey(config.kind, params, config.shape))


def check_config(config: DetectorConfig) -> None:
    """Raise ``ConfigError`` for a config that cannot run."""
    compile_config(Detector(id="check", revision=1, config=config, author="", updated_ms=0))


def _params(config: DetectorConfig) -> BaseModel:
    kind = KINDS.get(config.kind)
    if kind is None:
        raise ConfigError(field="kind", value=config.kind, expected=f"must be one of {', '.join(sorted(KINDS))}")
    try:
        return kind.params.model_validate_json(json.dumps(config.params), strict=True)
    except ValidationError as error:
        first: Any = error.errors()[0]
        field = ".".join(["params", *(str(part) for part in first["loc"])])
        known = ", ".join(sorted(kind.params.model_fields))
        expected = f"{config.kind} takes {known}" if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigError(field=field, value=first["input"], expected=expected) from error
