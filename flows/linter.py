"""A linter of detector configs: what is refused, and what runs but will hardly do what was meant, with numbers.

The flow logs its warnings, the api answers with them. What depends on the data is judged by what is known of it
(``Known``); what is not known is said to be so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field

from connectors.detector import Detector, DetectorConfig
from connectors.messages import Message
from flows.config import CompiledDetector, compile_config
from flows.detectors.registry import KINDS, Trait
from flows.futility import futility_text, refuse_blank, refuse_chance, refuse_futile
from flows.gathering import MAX_MEMBERS
from flows.keys import MAX_KEYS
from flows.policy import KNOWN_EXTRA, LEAST, WEEK_S, chance_of_each
from flows.sentence import number
from flows.validator import ConfigError

MUCH_MEMORY = 1 << 30
"""Of one detector's state, bytes."""
SLOW_TO_ALARM_S = 14 * 86_400.0
VISITS_S = {"seasonal": 2 * WEEK_S}
"""``seasonal`` knows an hour of the week after two visits."""
ROWS = 256


class LintSeverity(StrEnum):
    """What becomes of the config."""

    REFUSAL = "refusal"
    """it is not taken"""
    WARNING = "warning"
    """it runs, and will hardly do what was meant"""
    INFO = "info"


class LintCode(StrEnum):
    """What was found; a closed list."""

    INVALID = "invalid"
    NEVER_FIRES = "never_fires"
    HARDLY_FIRES = "hardly_fires"
    SLOW_TO_ALARM = "slow_to_alarm"
    NEEDS_HISTORY = "needs_history"
    FIRST_VERDICT = "first_verdict"
    WATCHES = "watches"
    WATCHES_NOTHING = "watches_nothing"
    SERIES_UNKNOWN = "series_unknown"
    TOO_MANY_SERIES = "too_many_series"
    MUCH_MEMORY = "much_memory"


class Finding(Message):
    """One thing that was found."""

    code: LintCode
    severity: LintSeverity
    field: Annotated[str, Field(description="of the config")]
    says: Annotated[str, Field(description="in one sentence")]
    numbers: Annotated[dict[str, float], Field(description="those of the sentence")]


class Known(NamedTuple):
    """What is known of the data; None is unknown."""

    series: int | None = None
    signals: int | None = None
    step_s: float | None = None
    """usual time from sample to sample"""
    horizon_s: float | None = None
    """how far history goes back, or how long the detector is to live"""
    partitions: int = 1
    max_keys: int = MAX_KEYS
    """series of one detector on a partition"""


NOTHING_KNOWN = Known()


def lint(config: DetectorConfig, known: Known = NOTHING_KNOWN) -> list[Finding]:
    """All findings, refusals first; of a config that is refused nothing else is said."""
    detector = Detector(id="lint", revision=1, config=config, author="", updated_ms=0)
    code = LintCode.INVALID
    try:
        compiled = compile_config(detector)
        refuse_blank(config)
        refuse_chance(config)
        code = LintCode.NEVER_FIRES
        refuse_futile(config)
    except ConfigError as error:
        return [Finding(code=code, severity=LintSeverity.REFUSAL, field=error.field, says=str(error), numbers={})]
    order = list(LintSeverity)
    return sorted(_findings(compiled, known), key=lambda one: order.index(one.severity))


def warnings_of(detector: Detector) -> list[str]:
    """What is to be said of a detector that stands, whatever its data: also that it would be refused today."""
    futile = futility_text(detector.config)
    if futile:
        return [futile]
    try:
        refuse_chance(detector.config)
    except ConfigError as error:
        return [str(error)]
    if detector.config.group is None:  # the cadence of its series decides the rest
        return []
    return [one.says for one in lint(detector.config) if one.severity is LintSeverity.WARNING]


def _findings(compiled: CompiledDetector, known: Known) -> Iterator[Finding]:
    config = compiled.source.config
    step_s = known.step_s if config.group is None else float(config.group.step_s)
    params = KINDS[config.kind].params.model_validate(config.params)
    yield from _lasting(config, params, step_s)
    yield from _history(config, params, step_s, known)
    yield from _chance(config, step_s, known)
    yield from _series(config, params, known)


def _lasting(config: DetectorConfig, params: Any, step_s: float | None) -> Iterator[Finding]:
    """A window without a hold learns what lasts, and the episode ends."""
    window, hold_s = getattr(params, "window", None), getattr(params, "hold_s", 0.0)
    if window is None or hold_s or step_s is None or config.min_duration_s <= window * step_s:
        return
    yield _warning(
        LintCode.HARDLY_FIRES,
        "min_duration_s",
        f"a change that lasts is learned within {window} samples, {span(window * step_s)} at {step_s:g} s: hardly any "
        f"episode lasts {span(config.min_duration_s)}; set params.hold_s, or a longer window",
        {"min_duration_s": config.min_duration_s, "learned_s": window * step_s},
    )


def _history(config: DetectorConfig, params: Any, step_s: float | None, known: Known) -> Iterator[Finding]:
    made = KINDS[config.kind].make(params)
    samples = int(made.needs(made.allocate(1), np.zeros(1, np.int64))[0])
    after = "" if step_s is None else f": {span(samples * step_s)} at {step_s:g} s"
    numbers = {"samples": float(samples)} | ({} if step_s is None else {"seconds": samples * step_s})
    says = f"first verdict after {samples} sample{'s' * (samples != 1)}{after}"
    yield Finding(code=LintCode.FIRST_VERDICT, severity=LintSeverity.INFO, field="params", says=says, numbers=numbers)
    needs_s = max(samples * (step_s or 0.0), _season_s(config, params))
    if known.horizon_s is not None and needs_s > known.horizon_s:
        yield _warning(
            LintCode.NEEDS_HISTORY,
            "kind",
            f"{config.kind} needs {span(needs_s)} of history to know this signal, and there will be "
            f"{span(known.horizon_s)}: choose another kind, or train it with more",
            {"needs_s": needs_s, "horizon_s": known.horizon_s},
        )


def _season_s(config: DetectorConfig, params: Any) -> float:
    """History that a season takes to be known."""
    period_s = getattr(params, "period_s", None)
    return VISITS_S.get(config.kind, 0.0) if period_s is None else 2.0 * period_s


MOST_DECADES = 100.0
"""Beyond it nobody cares how many samples it would take."""


def _chance(config: DetectorConfig, step_s: float | None, known: Known) -> Iterator[Finding]:
    """Where the threshold is by chance, a sample counts for no more than what was seen bears out."""
    chance = chance_of_each(config, known.signals or 1)
    if math.isnan(chance) or step_s is None:
        return
    threshold = max(LEAST, math.log10(WEEK_S / step_s) - math.log10(chance))
    samples = 10.0 ** min(threshold - KNOWN_EXTRA, MOST_DECADES)
    says = (
        f"a single sample can alarm after {number(samples)} samples, {span(samples * step_s)} at {step_s:g} s; before, "
        "several in a row"
    )
    numbers = {"threshold": round(threshold, 3), "samples": round(samples), "seconds": round(samples * step_s)}
    severity = LintSeverity.WARNING if samples * step_s > SLOW_TO_ALARM_S else LintSeverity.INFO
    field = "chance_per_week"
    yield Finding(code=LintCode.SLOW_TO_ALARM, severity=severity, field=field, says=says, numbers=numbers)


def _series(config: DetectorConfig, params: Any, known: Known) -> Iterator[Finding]:
    if known.series is None:
        says = "how many series it would watch is not known: no detector with this selector has told"
        yield Finding(code=LintCode.SERIES_UNKNOWN, severity=LintSeverity.INFO, field="selector", says=says, numbers={})
        return
    numbers = {"series": float(known.series)}
    if not known.series:
        says = f"it watches nothing now: no series fits {config.selector}"
        yield _warning(LintCode.WATCHES_NOTHING, "selector", says, numbers)
        return
    says = f"it watches {known.series} series now"
    yield Finding(code=LintCode.WATCHES, severity=LintSeverity.INFO, field="selector", says=says, numbers=numbers)
    most = _most(config, params, known)
    if known.series > most:
        yield _warning(
            LintCode.TOO_MANY_SERIES,
            "selector",
            f"it would watch {known.series} series, {known.series / most:.2g} times the {most} that there is room for; "
            "further ones are not judged: narrow its selector, or split it",
            {**numbers, "most": float(most)},
        )
    yield from _memory(config, params, known)


def _most(config: DetectorConfig, params: Any, known: Known) -> int:
    each = known.max_keys if config.group is None else MAX_MEMBERS
    if Trait.OBJECTS in KINDS[config.kind].traits and config.group is None:
        each = min(each, int(getattr(params, "max_keys", each)))
    return each * known.partitions


def _memory(config: DetectorConfig, params: Any, known: Known) -> Iterator[Finding]:
    if known.signals is None or Trait.OBJECTS in KINDS[config.kind].traits:
        return
    each = KINDS[config.kind].make(params).allocate(ROWS).size_bytes / ROWS
    if each * known.signals > MUCH_MEMORY:
        gigabytes = each * known.signals / 1e9
        yield _warning(
            LintCode.MUCH_MEMORY,
            "params",
            f"its state takes {gigabytes:.2g} GB: {each:.0f} bytes for each of {known.signals} signals; a smaller "
            "window, another kind or a narrower selector takes less",
            {"bytes": each * known.signals, "signals": float(known.signals)},
        )


def span(seconds: float) -> str:
    """A length of time for people."""
    for unit, length_s in (("years", 365 * 86_400.0), ("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length_s:
            return f"{number(seconds / length_s)} {unit}"
    return f"{seconds:.3g} s"


def _warning(code: LintCode, field: str, says: str, numbers: Mapping[str, float]) -> Finding:
    return Finding(code=code, severity=LintSeverity.WARNING, field=field, says=says, numbers=dict(numbers))
