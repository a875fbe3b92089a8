"""PromQL from typed parts: what can be made of them is valid, and no text that goes in gets out of its quotes.

Parts say what they are by their types: a ``Series`` or an aggregate is a vector, ``Change`` makes one of the samples
of a range. Each checks itself, so a wrong one raises ``Rejected`` where it is made. ``str`` gives the text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from connectors.errors import Rejected
from flows.selector import NAME_LABEL, Matcher, Op, Selector, parse_selector

MAX_WINDOW_MS = 400 * 86_400_000
WORDS = frozenset(
    {"inf", "nan", "and", "or", "unless", "atan2", "bool", "on", "ignoring", "group_left", "group_right", "by",
     "without", "offset", "start", "end", "anchored", "smoothed", "fill", "fill_left", "fill_right"}
)  # fmt: skip
"""Words of the language that are a metric's name in some versions, and not in others."""
NO_LABELS = frozenset({"inf", "nan", "without", "anchored", "smoothed"})
"""Words of the language that are no labels either, in a list of them."""


class Changing(StrEnum):
    """Functions of the samples in a range."""

    RATE = "rate"
    INCREASE = "increase"
    DELTA = "delta"


class Aggregator(StrEnum):
    """How many series become one."""

    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Series:
    """The series that a selector takes."""

    selector: Selector

    def __post_init__(self) -> None:
        if parse_selector(str(self)) != self.selector:
            refuse("selector", str(self.selector), "must be sorted, as parse_selector gives it")

    def __str__(self) -> str:
        matchers, metric = self.selector.matchers, self.selector.metric
        if metric is None or not is_name(metric) or metric.lower() in WORDS:
            return f"{{{_written(matchers)}}}"
        others = _written(m for m in matchers if m.name != NAME_LABEL or m.op is not Op.EQUAL)
        return f"{metric}{{{others}}}" if others else metric


@dataclass(frozen=True, slots=True)
class Change:
    """``rate``, ``increase`` or ``delta`` of each series over the time before."""

    function: Changing
    series: Series
    window_ms: int

    def __post_init__(self) -> None:
        check_window(self.window_ms)

    def __str__(self) -> str:
        return f"{self.function}({self.series}[{duration(self.window_ms)}])"


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which labels stay: those of ``labels``, or with ``without`` all others."""

    labels: tuple[str, ...] = ()
    without: bool = False

    def __post_init__(self) -> None:
        for name in self.labels:
            _check_label(name)

    def __str__(self) -> str:
        return f"{'without' if self.without else 'by'} ({', '.join(map(label_text, self.labels))})"


@dataclass(frozen=True, slots=True)
class Aggregated:
    """One value for each group of a vector."""

    aggregator: Aggregator
    grouping: Grouping
    vector: Vector

    def __str__(self) -> str:
        return f"{self.aggregator} {self.grouping} ({self.vector})"


@dataclass(frozen=True, slots=True)
class QuantileOf:
    """A quantile of the members of each group."""

    q: float
    grouping: Grouping
    vector: Vector

    def __post_init__(self) -> None:
        _check_quantile(self.q)

    def __str__(self) -> str:
        return f"quantile {self.grouping} ({self.q:.15g}, {self.vector})"


@dataclass(frozen=True, slots=True)
class HistogramQuantile:
    """A quantile of what histograms counted."""

    q: float
    buckets: Vector

    def __post_init__(self) -> None:
        _check_quantile(self.q)

    def __str__(self) -> str:
        return f"histogram_quantile({self.q:.15g}, {self.buckets})"


@dataclass(frozen=True, slots=True)
class Quotient:
    """A vector divided by another one with the same labels."""

    over: Aggregated | QuantileOf | HistogramQuantile
    under: Aggregated | QuantileOf | HistogramQuantile

    def __str__(self) -> str:
        return f"{self.over} / {self.under}"


Vector = Series | Change | Aggregated | QuantileOf | HistogramQuantile | Quotient


def quoted(text: str) -> str:
    """A string literal of PromQL and LogQL, which both read as Go does."""
    check_text("text", text)
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f").replace("\ufeff", "\\ufeff")


def label_text(name: str) -> str:
    """A label as it stands in a list; what is no word is quoted, which Prometheus 3 reads."""
    return name if is_name(name) and name.lower() not in NO_LABELS else quoted(name)


def is_name(name: str) -> bool:
    """Whether every version reads it without quotes."""
    return name.isascii() and name.isidentifier()


def check_text(field: str, text: str) -> None:
    """Raise ``Rejected`` for what UTF-8 cannot carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        refuse(field, text, "must have no half of a surrogate pair")


def duration(length_ms: int) -> str:
    """As both languages read it: in seconds where that is exact."""
    return f"{length_ms}ms" if length_ms % 1000 else f"{length_ms // 1000}s"


def check_window(window_ms: int) -> None:
    """Raise ``Rejected`` for a range of nothing, or one longer than any."""
    if not 1 <= window_ms <= MAX_WINDOW_MS:
        refuse("window_ms", window_ms, f"must be from 1 to {MAX_WINDOW_MS}")


def matcher_text(matcher: Matcher) -> str:
    """A matcher in braces, where words of the language are labels like others."""
    _check_label(matcher.name)
    name = matcher.name if is_name(matcher.name) else quoted(matcher.name)
    return f"{name}{matcher.op}{quoted(matcher.value)}"


def _written(matchers: Iterable[Matcher]) -> str:
    return ",".join(map(matcher_text, matchers))


def _check_label(name: str) -> None:
    check_text("label", name)
    if not name:
        refuse("label", name, "must have a name")


def _check_quantile(q: float) -> None:
    if not (math.isfinite(q) and 0 <= q <= 1):
        refuse("q", q, "must be from 0 to 1")


def refuse(field: str, value: object, expected: str) -> NoReturn:
    """Raise ``Rejected`` for a part of which no query can be made, of either language."""
    message = f"{field} = {value!r}: {expected}"
    raise Rejected(reason="bad_query", message=message)
