"""What a request tells of metric families: the rows that the scan has entered, read as text. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from connectors.codec.limits import MAX_FAMILY_BYTES
from connectors.codec.metadata import FAMILY_FROM, FAMILY_TO, HELP_FROM, HELP_TO, TYPE, UNIT_FROM, UNIT_TO
from connectors.messages import MetricType

MAX_TEXT_BYTES = 16 * 1024
"""Units and helps are cut here."""


class Family(NamedTuple):
    """Metadata of one metric family as sent."""

    name: str
    type: MetricType
    unit: str
    help: str


class Told(NamedTuple):
    """Families, and of how many more the name is too long."""

    families: list[Family]
    too_long: int


class Texts:
    """Spans of a body as text, each made once: many rows of 2.0 refer to one symbol."""

    def __init__(self, body: bytes | memoryview) -> None:
        self._body = body
        self._made: dict[tuple[int, int], str] = {}

    def at(self, start: int, end: int) -> str:
        """The text of a span, cut at MAX_TEXT_BYTES; what is not UTF-8 is replaced."""
        text = self._made.get((start, end))
        if text is None:
            cut = min(end, start + MAX_TEXT_BYTES)
            text = self._made[start, end] = bytes(self._body[start:cut]).decode(errors="replace")
        return text


def read_told(body: bytes | memoryview, rows: Iterable[list[int]], named: Callable[[str, MetricType], str]) -> Told:
    """Families of the rows in their order, ``named`` by what stands there and their type; without a name left out."""
    texts, families, too_long = Texts(body), [], 0
    for row in rows:
        if row[FAMILY_TO] - row[FAMILY_FROM] > MAX_FAMILY_BYTES:
            too_long += 1
            continue
        kind = MetricType.of(row[TYPE])
        name = named(texts.at(row[FAMILY_FROM], row[FAMILY_TO]), kind)
        if name:
            unit, about = texts.at(row[UNIT_FROM], row[UNIT_TO]), texts.at(row[HELP_FROM], row[HELP_TO])
            families.append(Family(name, kind, unit, about))
    return Told(families, too_long)


def as_named(family: str, kind: MetricType) -> str:  # noqa: ARG001 - as ``family_name``
    """Name of a family in 1.0, which tells it."""
    return family


def family_name(metric: str, kind: MetricType) -> str:
    """Family of a series by its ``__name__``, which is all that 2.0 has: without the suffix of its type."""
    suffixes = {
        MetricType.HISTOGRAM: ("_bucket", "_count", "_sum"),
        MetricType.GAUGEHISTOGRAM: ("_bucket", "_gcount", "_gsum"),
        MetricType.SUMMARY: ("_count", "_sum"),
    }
    for suffix in suffixes.get(kind, ()):
        if metric.endswith(suffix):
            return metric.removesuffix(suffix)
    return metric
