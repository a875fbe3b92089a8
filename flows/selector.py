"""PromQL series selectors: text to matchers, matchers to a verdict on labels.

The grammar is that of a PromQL instant selector without modifiers::

    selector = name [ "{" [ matcher { "," matcher } [ "," ] ] "}" ]  |  "{" matcher { "," matcher } [ "," ] "}"
    matcher  = label ( "=" | "!=" | "=~" | "!~" ) string  |  string        (a lone string is a metric name)
    label    = identifier | string                                        (quoted: Prometheus 3 UTF-8 names)

Regular expressions are RE2 and anchored at both ends, as in Prometheus; a label that a series lacks counts as "".
As in Prometheus at least one matcher must not match the empty string, so ``{}`` is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

import re2

from connectors.errors import Rejected
from flows.contradiction import contradiction
from flows.pattern import Home, Plain, beginnings_of, check_pattern, homes_of, matches_pattern, texts_of, texts_without

NAME_LABEL = "__name__"
MAX_MATCHERS = 64
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", "'": "'", '"': '"'}

_METRIC_NAME, _LABEL_NAME = re.compile("[a-zA-Z_:][a-zA-Z0-9_:]*"), re.compile("[a-zA-Z_][a-zA-Z0-9_]*")
_RUNS = {mark: re.compile(f"[^{mark}\\\\\\n]+") for mark in "'\""} | {"`": re.compile("[^`]+")}
"""What may stand between these quotes as it is."""


class SelectorError(Rejected):
    """A selector that cannot be read; the message shows where."""

    def __init__(self, text: str, position: int, problem: str) -> None:
        message = f"selector {text!r}, character {position + 1}: {problem}"
        super().__init__(reason="bad_selector", message=message)
        self.position, self.problem = position, problem


class Op(StrEnum):
    """How a matcher compares."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label."""

    name: str
    op: Op
    value: str

    def matches(self, text: str) -> bool:
        """Whether a label value (``""`` for a missing label) fulfils the condition."""
        match self.op:
            case Op.EQUAL:
                return text == self.value
            case Op.NOT_EQUAL:
                return text != self.value
            case Op.REGEX:
                return matches_pattern(self.value, text)
            case Op.NOT_REGEX:
                return not matches_pattern(self.value, text)

    def texts(self) -> Sequence[str] | None:
        """All label values that may fulfil the condition; None where they cannot be listed."""
        match self.op:
            case Op.EQUAL:
                return (self.value,)
            case Op.NOT_EQUAL:
                return None
            case Op.REGEX:
                return texts_of(self.value)
            case Op.NOT_REGEX:
                return texts_without(self.value)

    def homes(self) -> Sequence[Home]:
        """Values, or begins of values, that fulfil the condition; none where that cannot be told."""
        return homes_of(self.value) if self.op is Op.REGEX else ()

    def beginnings(self) -> tuple[Sequence[Plain] | None, bool]:
        """For an expression all texts, or beginnings of texts, that it matches, and whether those fulfil the condition.

        None where that cannot be told.
        """
        return beginnings_of(self.value), self.op is Op.REGEX

    def __str__(self) -> str:
        return f"{label_name(self.name)}{self.op}{quote(self.value)}"


@dataclass(frozen=True, slots=True)
class Selector:
    """All conditions that a series must fulfil, sorted, so that equal selectors are equal."""

    matchers: tuple[Matcher, ...]

    @property
    def metric(self) -> str | None:
        """The metric name, when exactly one is asked for."""
        return next((m.value for m in self.matchers if m.name == NAME_LABEL and m.op is Op.EQUAL), None)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels is selected."""
        return all(matcher.matches(labels.get(matcher.name, "")) for matcher in self.matchers)

    def __str__(self) -> str:
        return "{" + ",".join(str(matcher) for matcher in self.matchers) + "}"


def quote(text: str) -> str:
    """A PromQL string literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def label_name(name: str) -> str:
    """A label name as selectors write it: quoted unless it is a word."""
    return name if name.isascii() and name.isidentifier() else quote(name)


def parse_selector(text: str) -> Selector:
    """Read a selector; raises ``SelectorError`` that names the place."""
    reader = _Reader(text)
    matchers: list[Matcher] = []
    if reader.peek() not in ("{", ""):
        matchers.append(Matcher(NAME_LABEL, Op.EQUAL, reader.metric_name()))
    if reader.peek() == "{":
        matchers += reader.braces()
    if reader.peek():
        reader.fail("expected the end of the selector")
    _check_whole(reader, matchers)
    return Selector(tuple(sorted(matchers, key=lambda m: (m.name, m.op, m.value))))


def _check_whole(reader: _Reader, matchers: list[Matcher]) -> None:
    if len(matchers) > MAX_MATCHERS:
        reader.fail(f"{len(matchers)} matchers, at most {MAX_MATCHERS} are allowed")
    if sum(m.name == NAME_LABEL and m.op is Op.EQUAL for m in matchers) > 1:
        reader.fail("the metric name is given twice")
    if all(matcher.matches("") for matcher in matchers):
        reader.fail(
            "every matcher takes series that lack its label, which Prometheus refuses too; "
            'add one that does not, e.g. {__name__="up"} or {job=~".+"}'
        )
    together = contradiction(matchers)
    if len(together) == 1:
        reader.fail(f"no series can fulfil {together[0]}")
    if together:
        last = together[-1]
        listed = ", ".join(str(matcher) for matcher in together[:-1])
        both = "both " if len(together) == 2 else ""
        reader.fail(f"no series can fulfil {both}{listed} and {last}; leave one of them out")


class _Reader:
    """A cursor over the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, problem: str) -> NoReturn:
        raise SelectorError(self.text, self.at, problem)

    def peek(self) -> str:
        """The next character that is not white space, "" at the end."""
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
            self.at += 1
        return self.text[self.at : self.at + 1]

    def metric_name(self) -> str:
        return self._word(_METRIC_NAME, "a metric name")

    def _word(self, form: re.Pattern[str], what: str) -> str:
        self.peek()
        found = form.match(self.text, self.at)
        if found is None:
            self.fail(f"expected {what}")
        self.at = found.end()
        return found[0]

    def braces(self) -> list[Matcher]:
        self.at += 1
        matchers: list[Matcher] = []
        while self.peek() != "}":
            matchers.append(self.matcher())
            if self.peek() == ",":
                self.at += 1
            elif self.peek() != "}":
                self.fail("expected , or }")
        self.at += 1
        return matchers

    def matcher(self) -> Matcher:
        quoted = self.peek() in ("'", '"', "`")
        name = self.string() if quoted else self._word(_LABEL_NAME, "a label name")
        if quoted and self.peek() in (",", "}"):
            return Matcher(NAME_LABEL, Op.EQUAL, name)
        op = self.op()
        self.peek()
        start = self.at
        value = self.string()
        if op in (Op.REGEX, Op.NOT_REGEX):
            self._check_regex(value, start)
        return Matcher(name, op, value)

    def _check_regex(self, pattern: str, start: int) -> None:
        try:
            check_pattern(pattern)
        except re2.error as error:
            self.at = start
            self.fail(f"not a regular expression (RE2): {error.args[0].decode()}")

    def op(self) -> Op:
        self.peek()
        for op in (Op.REGEX, Op.NOT_REGEX, Op.NOT_EQUAL, Op.EQUAL):
            if self.text.startswith(op, self.at):
                self.at += len(op)
                return op
        self.fail("expected one of = != =~ !~")

    def string(self) -> str:
        mark = self.peek()
        if mark not in ("'", '"', "`") or not mark:
            self.fail("expected a string in \"double\", 'single' or `back` quotes")
        self.at += 1
        out: list[str] = []
        while (char := self.text[self.at : self.at + 1]) != mark:
            if char in ("", "\n") and (not char or mark != "`"):
                self.fail("the string does not end")
            run = _RUNS[mark].match(self.text, self.at)
            if run is not None:
                self.at = run.end()
                out.append(run[0])
            else:
                self.at += 1
                out.append(self._escape())
        self.at += 1
        return "".join(out)

    def _escape(self) -> str:
        char = self.text[self.at : self.at + 1]
        digits = {"x": 2, "u": 4, "U": 8}.get(char)
        if digits is None:
            if char not in _ESCAPES:
                self.fail(f"unknown escape \\{char}")
            self.at += 1
            return _ESCAPES[char]
        code = self.text[self.at + 1 : self.at + 1 + digits]
        try:
            text = chr(int(code, 16))
            text.encode()  # half of a surrogate pair is no character, and would break ids and regular expressions
        except (ValueError, OverflowError):
            self.fail(f"\\{char} needs {digits} hexadecimal digits of a Unicode character")
        self.at += 1 + digits
        return text
