"""Configs that run, but never tell anything, have a name that shows none, or a field without effect. Pure.

It is asked where a config is proposed: by writes of the api, previews, backtests and the linter. Never where the log of
detectors is reduced: what stands there and compiles is obeyed, whatever a later version knows of it.
"""

from __future__ import annotations

from connectors.detector import Aggregate, DetectorConfig, Shape
from flows.detectors.registry import KINDS, Trait
from flows.group import Problem
from flows.selector import SelectorError, parse_selector
from flows.validator import ConfigError, by_no_chance, check_config


def check_proposal(config: DetectorConfig) -> None:
    """Raise ``ConfigError`` for what cannot run or could never tell anything, a blank name, and what has no effect."""
    check_config(config)
    refuse_blank(config)
    refuse_chance(config)
    refuse_futile(config)


def refuse_blank(config: DetectorConfig) -> None:
    """Raise ``ConfigError`` for a name of which people see nothing; the log may hold such names."""
    if not any(char.isprintable() and not char.isspace() for char in config.name):
        expected = "must have a character that can be seen: people tell detectors apart by it"
        raise ConfigError(field="name", value=config.name, expected=expected)


def refuse_chance(config: DetectorConfig) -> None:
    """Raise ``ConfigError`` for a threshold by chance where nothing is by chance; the log may hold such configs."""
    if config.chance_per_week is not None and Trait.STATED in KINDS[config.kind].traits:
        raise by_no_chance(config.kind, "chance_per_week", config.chance_per_week)


def refuse_futile(config: DetectorConfig) -> None:
    """Raise ``ConfigError`` for a config that runs, but could never tell anything."""
    futile = futility_of(config)
    if futile is not None:
        raise ConfigError(field=futile.field, value=futile.value, expected=futile.expected)


def futility_text(config: DetectorConfig) -> str:
    """Why a config that runs can never fire, in words; empty if nothing speaks against it."""
    futile = futility_of(config)
    return "" if futile is None else f"it can never fire: {futile.field} = {futile.value!r} {futile.expected}"


def futility_of(config: DetectorConfig) -> Problem | None:
    """Why a config that runs can never fire, and what would be right; None if nothing speaks against it."""
    return _brevity(config) or _identity(config) or _floor(config)


def _brevity(config: DetectorConfig) -> Problem | None:
    """Episodes that end before their second step have no length."""
    group, quiet_s = config.group, config.quiet_s
    if group is None or quiet_s is None or quiet_s > group.step_s or not config.min_duration_s:
        return None
    if Trait.PAUSES in KINDS[config.kind].traits:  # silence is judged between the steps too
        return None
    expected = (
        f"is never reached: steps come every {group.step_s} s, and quiet_s = {quiet_s:g} ends an episode before the "
        f"next one: leave it out, or raise quiet_s above {group.step_s}"
    )
    return Problem("min_duration_s", config.min_duration_s, expected)


def _identity(config: DetectorConfig) -> Problem | None:
    """What is divided by itself is 1."""
    group = config.group
    if group is None or group.denominator is None:
        return None
    try:
        same = parse_selector(group.denominator) == parse_selector(config.selector)
    except SelectorError:  # told by who reads them
        return None
    expected = "must select other series than selector: the share is always 1"
    return Problem("group.denominator", group.denominator, expected) if same else None


def _floor(config: DetectorConfig) -> Problem | None:
    """A lower bound that no value is below, and no upper one."""
    lower = config.params.get("lower")
    if config.kind != "threshold" or config.params.get("upper") is not None or not isinstance(lower, int | float):
        return None
    group = config.group
    if group is not None and group.histogram_quantile is not None:  # which may be of negative buckets
        return None
    counts = group is not None and group.aggregate is Aggregate.COUNT
    grows = config.shape in (Shape.RATE, Shape.INCREASE)
    least = 1.0 if counts else 0.0
    if lower > least or not (counts or grows):
        return None
    what = "a group has one member at least" if counts else f"a {config.shape} is never negative"
    return Problem("params.lower", lower, f"nothing is ever below it, since {what}: raise it, or give upper")
