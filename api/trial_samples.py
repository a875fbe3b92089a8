"""Samples in a request's body, as what a detector judges by itself each: series, or the series of one entity."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from connectors.detector import DetectorConfig, Group
from connectors.messages import MAX_TIME_MS, Message
from flows.frame import Frame, entities_of
from flows.selector import NAME_LABEL
from flows.validator import ConfigError, refuse_aggregates

MAX_ROWS, MAX_SERIES = 20_000, 100
MAX_SAMPLES = 100_000
"""Of all series together: half a minute of work, of most kinds far less."""

TimeMs = Annotated[int, Field(strict=True, ge=0, le=MAX_TIME_MS)]
Value = Annotated[float, Field(strict=True)] | None


def without_empty(labels: dict[str, str]) -> dict[str, str]:
    """Labels as ingest keeps them: one with an empty value means the same as none."""
    return {name: value for name, value in labels.items() if value}


class SampledSeries(Message):
    """One series; a value that is null is no sample."""

    labels: Annotated[
        dict[str, str],
        Field(max_length=64, description="as Prometheus has them, __name__ among them; an empty one is none"),
        AfterValidator(without_empty),
    ]
    values: Annotated[list[Value], Field(max_length=MAX_ROWS, description="one for each of times_ms")]


Times = Annotated[list[TimeMs], Field(max_length=MAX_ROWS, description="ms since 1970, ascending")]
SeriesList = Annotated[list[SampledSeries], Field(min_length=1, max_length=MAX_SERIES)]


class Samples(Message):
    """Series of the past on common times."""

    times_ms: Times
    series: SeriesList

    def frames(self) -> list[Frame]:
        """One of each series, of the rows at which it has a sample; raises ``ConfigError``."""
        self._check_order()
        self.check()
        times_ms = np.array(self.times_ms, np.int64)
        found = []
        for one in self.series:
            values = np.array([np.nan if value is None else value for value in one.values], np.float64)
            rows = np.flatnonzero(~np.isnan(values))
            present = np.ones((len(rows), 1), np.bool_)
            found.append(Frame(times_ms[rows], values[rows, None], present, [one.labels]))
        return found

    def _check_order(self) -> None:
        backwards = np.flatnonzero(np.diff(np.array(self.times_ms, np.int64)) <= 0)
        if len(backwards):
            at = int(backwards[0]) + 1
            expected = f"must be later than the time before, {self.times_ms[at - 1]}"
            raise ConfigError(field=f"times_ms.{at}", value=self.times_ms[at], expected=expected)

    def check(self) -> None:
        """Raise ``ConfigError`` for too many samples, columns of unequal length, and series that are not told apart."""
        many = len(self.times_ms) * len(self.series)
        if many > MAX_SAMPLES:
            raise ConfigError(field="series", value=many, expected=f"at most {MAX_SAMPLES} samples, times × series")
        seen = set[frozenset[tuple[str, str]]]()
        for at, one in enumerate(self.series):
            if len(one.values) != len(self.times_ms):
                expected = f"{len(self.times_ms)} values, as there are times_ms; null where there is no sample"
                raise ConfigError(field=f"series.{at}.values", value=len(one.values), expected=expected)
            labels = frozenset(one.labels.items())
            if not one.labels.get(NAME_LABEL) or labels in seen:
                expected = f"must have {NAME_LABEL}, and differ from those of the other series"
                raise ConfigError(field=f"series.{at}.labels", value=one.labels, expected=expected)
            seen.add(labels)


def check_judgeable(config: DetectorConfig) -> None:
    """Raise ``ConfigError`` for groups of which the members alone cannot be judged here."""
    refuse_aggregates(config, "here", "send the aggregate as a series of its own")


def parted(group: Group | None, frames: list[Frame]) -> list[Frame]:
    """The frames of single series as they are judged: each by itself, or those of an entity as one."""
    return frames if group is None else list(entities_of(group, frames).values())
