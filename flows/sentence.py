"""An episode in one English sentence."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.anomaly import Change
from connectors.detector import Shape
from flows.episode import Episode
from flows.explain import Manner, chance_per_week, change_of
from flows.selector import NAME_LABEL, quote

TIMES_FROM = 1.5
"""From here on a ratio is told as times, below it in per cent."""
TIMES_LIMIT = 1e6
"""Beyond, what was expected is next to nothing."""
SAME = 0.02
"""Nearer to 1, a ratio says nothing: then the difference is told."""
WHOLE_FROM = 999.5
"""What three digits would round up to a thousand is told in whole numbers as well."""
PLAIN_LIMIT = 1e15
"""Larger numbers are told with an exponent."""
WEEKS_PER_YEAR = 52.1775
WEEKS_PER_MONTH = WEEKS_PER_YEAR / 12
MAX_SIGNAL = 300
"""Characters of a signal in a sentence; what is longer is cut."""


def signal_text(labels: Mapping[str, str], shape: Shape, expression: str | None = None) -> str:
    """The signal as PromQL writes a series, a rate as ``rate(…)``; of a group its expression and labels."""
    if not labels:
        return expression or "the entity"
    name = labels.get(NAME_LABEL, "")
    matchers = ",".join(f"{key}={quote(value)}" for key, value in sorted(labels.items()) if key != NAME_LABEL)
    series = f"{name}{{{matchers}}}" if matchers or not name else name
    if expression is not None:
        return f"{expression} {series}"
    return series if shape is Shape.RAW else f"{shape}({series})"


def sentence(signal: str, episode: Episode, manner: Manner, *, closed: bool, most: str = "") -> str:
    """What was seen on a signal, for how long, which member is ``most`` of it, and how often chance would bring it."""
    signal = _cut(signal)
    chance = chance_per_week(episode, manner)
    often = "" if chance is None else f"; one like it comes by chance {how_often(chance)}"
    member = f"; {_cut(most)}" if most else ""
    return f"{signal} {_seen(episode, manner, closed=closed)}{member}{often}."


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SIGNAL else text[: MAX_SIGNAL - 1] + "…"


def _seen(episode: Episode, manner: Manner, *, closed: bool) -> str:
    match manner:
        case Manner.SILENCE:
            return _silence(episode, closed=closed)
        case Manner.STILLNESS:
            stood = "stood" if closed else "has stood"
            return f"{stood} still at {number(episode.expected)} for longer than it ever did"
        case Manner.BOUNDS:
            return _beyond_bounds(episode, closed=closed)
    change = change_of(episode, manner)
    if change is Change.VARIANCE:
        left = "left" if closed else "has left"
        band = f"{number(episode.lower)} to {number(episode.upper)}"
        return f"{left} its expected range of {band} to both sides{_for(episode)}"
    usual = f", and {number(episode.expected)} is expected by now" if change is Change.NEW_REGIME else ""
    away = deviation(episode.peak_value, episode.peak_expected)
    return f"{_was(episode, closed=closed)} {away}{_for(episode)}{usual}"


def _silence(episode: Episode, *, closed: bool) -> str:
    usual = f"where {duration(1000 * episode.expected)} are usual"
    length = duration(1000 * max(episode.value, episode.peak_value))
    return f"{'sent' if closed else 'has sent'} nothing for {length}, {usual}"


def _beyond_bounds(episode: Episode, *, closed: bool) -> str:
    side, bound = ("above", episode.upper) if episode.direction > 0 else ("below", episode.lower)
    value = number(episode.peak_value)
    return f"{_was(episode, closed=closed)} {value}, {side} its bound of {number(bound)},{_for(episode)}".rstrip(",")


def _was(episode: Episode, *, closed: bool) -> str:
    if episode.samples == 1:
        return "was" if closed else "is"
    return "was up to" if closed else "has been up to"


def _for(episode: Episode) -> str:
    length_ms = episode.time_ms - episode.start_ms
    return f" for {duration(length_ms)}" if length_ms > 0 else ""


def deviation(value: float, expected: float) -> str:
    """How a value relates to what was expected."""
    usual = f"its expected {number(expected)}"
    ratio = value / expected if expected != 0.0 else 0.0
    if TIMES_FROM <= ratio < TIMES_LIMIT:
        return f"{number(ratio)} times {usual}"
    side = "above" if value >= expected else "below"
    if expected > 0.0 and 0.0 <= ratio < TIMES_LIMIT and abs(ratio - 1.0) >= SAME:
        return f"{100 * abs(ratio - 1.0):.0f} % {side} {usual}"
    return f"{number(abs(value - expected))} {side} {usual}"


def how_often(per_week: float) -> str:
    """A frequency in words."""
    if per_week >= 1.5:
        return f"about {number(per_week)} times a week"
    if per_week > 0.0 and (weeks := 1.0 / per_week) < 1000.0 * WEEKS_PER_YEAR:
        return f"about once {_in(weeks)}"
    return "less than once in a thousand years"


def _in(weeks: float) -> str:
    for unit, length in (("year", WEEKS_PER_YEAR), ("month", WEEKS_PER_MONTH), ("week", 1.0)):
        if weeks >= 1.5 * length:
            return f"in {weeks / length:.0f} {unit}s"
    return "a week"


def duration(length_ms: float) -> str:
    """A length of time in its two largest units."""
    if length_ms < 1000.0:
        return f"{max(length_ms, 0.0) / 1000.0:.2g} s"
    seconds = round(length_ms / 1000.0)
    for size, unit, lesser_size, lesser in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = seconds % size // lesser_size
            return f"{seconds // size} {unit} {rest} {lesser}" if rest else f"{seconds // size} {unit}"
    return f"{seconds} s"


def number(value: float) -> str:
    """Three digits, all of a whole number's."""
    if WHOLE_FROM <= abs(value) < PLAIN_LIMIT:
        return f"{value:.0f}"
    return f"{value:.3g}"
