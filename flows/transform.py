"""What happens to collected series on their way: values scaled, names and labels changed, series dropped. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Literal

import re2
from pydantic import AfterValidator, Field, model_validator

from connectors.errors import TooLarge
from connectors.messages import Message
from flows.detectors.base import Floats
from flows.selector import NAME_LABEL

UNITS: Mapping[str, tuple[str, float]] = {
    "ns": ("time", 1e-9), "us": ("time", 1e-6), "ms": ("time", 1e-3), "s": ("time", 1.0), "m": ("time", 60.0),
    "h": ("time", 3600.0), "d": ("time", 86_400.0),
    "bit": ("data", 0.125), "B": ("data", 1.0), "kB": ("data", 1e3), "MB": ("data", 1e6), "GB": ("data", 1e9),
    "KiB": ("data", 2.0**10), "MiB": ("data", 2.0**20), "GiB": ("data", 2.0**30),
    "ratio": ("share", 1.0), "percent": ("share", 0.01),
}  # fmt: skip
"""What each measures, and how much of the base unit it is."""
MAX_TRANSFORMS = 20
MAX_TEXT = 65_536
"""Characters that a relabel may make of a label, more than ingest takes: relabels in a row multiply them."""
ESCAPE = re.compile(r"\\([0-9\\])")
"""In a replacement: the digit of a group, or a backslash. Any other backslash stands for itself."""

LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,199}$")]
MetricName = Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]{0,199}$")]


def _check_regex(pattern: str) -> str:
    try:
        re2.compile(pattern)
    except re2.error as error:
        message = f"must be a regular expression (RE2): {error.args[0].decode()}"
        raise ValueError(message) from error
    return pattern


Pattern = Annotated[str, Field(max_length=1000, description="RE2, anchored at both ends"), AfterValidator(_check_regex)]


class Unit(StrEnum):
    """Units that can be turned into others of the same sort."""

    NS, US, MS, S, M, H, D = "ns", "us", "ms", "s", "m", "h", "d"
    BIT, B, KB, MB, GB, KIB, MIB, GIB = "bit", "B", "kB", "MB", "GB", "KiB", "MiB", "GiB"
    RATIO, PERCENT = "ratio", "percent"


class Scale(Message):
    """Every value times ``factor``."""

    type: Literal["scale"]
    factor: float


class Convert(Message):
    """Values in one unit as those in another of the same sort."""

    type: Literal["unit"]
    given: Unit
    wanted: Unit

    @model_validator(mode="after")
    def _check(self) -> Convert:
        if UNITS[self.given][0] != UNITS[self.wanted][0]:
            message = f"given and wanted must measure the same, and {self.given} and {self.wanted} do not"
            raise ValueError(message)
        return self


class Rename(Message):
    """The metric gets this name."""

    type: Literal["rename"]
    name: MetricName


class Relabel(Message):
    """``target`` becomes ``replacement`` with groups of ``regex``, where that matches ``source``; empty: removed."""

    type: Literal["relabel"]
    source: LabelName
    target: LabelName
    regex: Pattern = "(.*)"
    replacement: Annotated[
        str, Field(max_length=1000, description="a backslash and a digit: that group, 0 all that matched")
    ] = "\\1"

    @model_validator(mode="after")
    def _check(self) -> Relabel:
        groups = re2.compile(self.regex).groups
        if any(int(digit) > groups for digit in ESCAPE.findall(self.replacement) if digit != "\\"):
            message = f"replacement names a group that regex does not have: it has {groups}"
            raise ValueError(message)
        return self

    def written(self, groups: Sequence[str | None]) -> str:
        """The replacement, given all that matched and then each group, None for one that took no part.

        Not by re2's ``expand``, which reads Python's escapes too, and spoils letters beyond ASCII on the way.
        """
        size = sum(len(groups[int(digit)] or "") for digit in ESCAPE.findall(self.replacement) if digit != "\\")
        if size > MAX_TEXT:
            message = f"relabel would give {self.target} a value of {size} characters, at most {MAX_TEXT} are allowed"
            raise TooLarge(reason="label", message=message)
        return ESCAPE.sub(lambda one: "\\" if one[1] == "\\" else groups[int(one[1])] or "", self.replacement)


class Drop(Message):
    """Series of which the label matches are left out; a label that is missing is empty."""

    type: Literal["drop"]
    label: LabelName
    regex: Pattern


Transform = Annotated[Scale | Convert | Rename | Relabel | Drop, Field(discriminator="type")]


def transformed(
    transforms: Sequence[Scale | Convert | Rename | Relabel | Drop], labels: Mapping[str, str], values: Floats
) -> tuple[dict[str, str], Floats] | None:
    """Labels and values of a series after all of them in order; None if it is dropped. Raises ``TooLarge``."""
    changed = dict(labels)
    for one in transforms:
        match one:
            case Scale():
                values = values * one.factor
            case Convert():
                values = values * (UNITS[one.given][1] / UNITS[one.wanted][1])
            case Rename():
                changed[NAME_LABEL] = one.name
            case Relabel():
                _relabel(one, changed)
            case Drop():
                if re2.fullmatch(one.regex, changed.get(one.label, "")):
                    return None
    return changed, values


def _relabel(one: Relabel, labels: dict[str, str]) -> None:
    found = re2.fullmatch(one.regex, labels.get(one.source, ""))
    if found is None:
        return
    text = one.written((found[0], *found.groups()))
    if text:
        labels[one.target] = text
    else:
        labels.pop(one.target, None)
