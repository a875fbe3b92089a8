"""LogQL from typed parts: what can be made of them is valid, and no text that goes in gets out of its quotes.

``Logs`` are lines, of which ``Counted`` and ``Summed`` make numbers. Each part checks itself and raises ``Rejected``;
``str`` gives the text. Source: https://grafana.com/docs/loki/latest/query/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import re2

from connectors.errors import Rejected
from flows.pattern import check_pattern
from flows.promql import check_window, duration, matcher_text, quoted, refuse
from flows.selector import Matcher, Op, Selector, SelectorError, parse_selector

LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
"""Loki knows no others, quoted or not."""
WORDS = frozenset(
    {"by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset", "unwrap", "json", "logfmt",
     "regexp", "unpack", "pattern", "line_format", "label_format", "decolorize", "drop", "keep", "and", "or", "unless",
     "distinct", "ip", "vector"}
)  # fmt: skip
"""Words of the language: its lexer takes them for these wherever they stand, so no label can be asked for by them."""


class LineOp(StrEnum):
    """What a line must hold, or must not."""

    HAS = "|="
    HAS_NOT = "!="
    MATCHES = "|~"
    MATCHES_NOT = "!~"


class Parser(StrEnum):
    """What reads labels out of lines."""

    JSON = "json"
    LOGFMT = "logfmt"


class Counting(StrEnum):
    """Functions of the lines in a range."""

    RATE = "rate"
    COUNT = "count_over_time"
    BYTES_RATE = "bytes_rate"
    BYTES = "bytes_over_time"


@dataclass(frozen=True, slots=True)
class LineFilter:
    """A condition on the line."""

    op: LineOp
    text: str

    def __post_init__(self) -> None:
        if self.op in (LineOp.MATCHES, LineOp.MATCHES_NOT):
            _check_regex(self.text)

    def __str__(self) -> str:
        return f"{self.op} {quoted(self.text)}"


@dataclass(frozen=True, slots=True)
class LabelFilter:
    """A condition on a label, of the stream or one that a parser read."""

    name: str
    op: Op
    value: str

    def __post_init__(self) -> None:
        _check_label(self.name)
        if self.op in (Op.REGEX, Op.NOT_REGEX):
            _check_regex(self.value)

    def __str__(self) -> str:
        return f"| {self.name} {self.op} {quoted(self.value)}"


Stage = LineFilter | Parser | LabelFilter


@dataclass(frozen=True, slots=True)
class Logs:
    """The lines of the streams that a selector takes, after the stages in their order."""

    selector: Selector
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        for matcher in self.selector.matchers:
            _check_label(matcher.name)
        text = _braces(self.selector.matchers)
        try:
            parsed = parse_selector(text)
        except SelectorError as error:
            raise Rejected(reason="bad_query", message=str(error)) from error
        if parsed != self.selector:
            refuse("selector", text, "must be sorted, as parse_selector gives it")

    def __str__(self) -> str:
        stages = (f"| {stage}" if isinstance(stage, Parser) else str(stage) for stage in self.stages)
        return " ".join((_braces(self.selector.matchers), *stages))


@dataclass(frozen=True, slots=True)
class Counted:
    """A number for each stream: what came of it in the time before."""

    function: Counting
    logs: Logs
    window_ms: int

    def __post_init__(self) -> None:
        check_window(self.window_ms)

    def __str__(self) -> str:
        return f"{self.function}({self.logs} [{duration(self.window_ms)}])"


@dataclass(frozen=True, slots=True)
class Summed:
    """The numbers of all streams that share these labels, added up."""

    by: tuple[str, ...]
    counted: Counted

    def __post_init__(self) -> None:
        for name in self.by:
            _check_label(name)

    def __str__(self) -> str:
        return f"sum by ({', '.join(self.by)}) ({self.counted})"


def _braces(matchers: Iterable[Matcher]) -> str:
    return "{" + ",".join(map(matcher_text, matchers)) + "}"


def _check_label(name: str) -> None:
    if LABEL.fullmatch(name) is None:
        refuse("label", name, "must be a letter or _, then letters, digits and _")
    if name.lower() in WORDS:
        refuse("label", name, "is a word of LogQL, by which no label can be asked for")


def _check_regex(pattern: str) -> None:
    try:
        check_pattern(pattern)
    except re2.error as error:
        refuse("text", pattern, f"must be a regular expression (RE2): {error.args[0].decode()}")
