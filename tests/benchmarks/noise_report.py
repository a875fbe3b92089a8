"""What ``tests/benchmarks/noise.py`` heard on a host, and whether that is quiet and watchful enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from connectors.anomaly import Anomaly
from tests.benchmarks.injection import tells_of

MOST_UNCAUSED = 3
FOUND_WITHIN_S = 60.0
COMMON = ("__name__", "instance", "job")
"""Labels that tell no two series of one host from each other, but for the name."""


class Heard(NamedTuple):
    """The opening of an episode, and when it reached the client, in seconds since the run began."""

    at_s: float
    anomaly: Anomaly

    @property
    def series(self) -> str:
        """Without what all series of a host have in common."""
        labels = self.anomaly.signal.labels
        inside = ",".join(f"{key}={value}" for key, value in sorted(labels.items()) if key not in COMMON)
        return labels["__name__"] + (f"{{{inside}}}" if inside else "")

    def figures(self, since_s: float) -> dict[str, Any]:
        """For programs; times from ``since_s`` on."""
        return {
            "after_s": round(self.at_s - since_s, 1),
            "labels": self.anomaly.signal.labels,
            "surprise": round(self.anomaly.surprise, 2),
            "sentence": self.anomaly.sentence,
        }


class Injected(NamedTuple):
    """A load, when it began, and the episodes that opened until the next one did."""

    load: str
    begin_s: float
    heard: Sequence[Heard]

    @property
    def finder(self) -> Heard | None:
        """The first episode that tells of this load, if it came in time."""
        in_time = (one for one in self.heard if one.at_s - self.begin_s <= FOUND_WITHIN_S)
        return next((one for one in in_time if tells_of(self.load, one.anomaly)), None)

    def line(self) -> str:
        """The verdict for people."""
        found = self.finder
        after = "missed" if found is None else f"found after {found.at_s - self.begin_s:.1f} s by {found.series}"
        return f"{self.load} load: {after}; {len(self.heard)} episodes in all"

    def figures(self) -> dict[str, Any]:
        """For programs."""
        found = self.finder
        return {
            "load": self.load,
            "found": None if found is None else found.figures(self.begin_s),
            "episodes": [one.figures(self.begin_s) for one in self.heard],
        }


class Outcome(NamedTuple):
    """All of a run; ``busy`` is the mean share of the host's cores that worked while nothing was injected."""

    minutes: float
    interval_s: float
    series: int
    busy: float
    uncaused: Sequence[Heard]
    injected: Sequence[Injected]

    @property
    def quiet(self) -> bool:
        """Whether few enough episodes came by themselves."""
        return len(self.uncaused) <= MOST_UNCAUSED

    @property
    def holds(self) -> bool:
        """Whether it was quiet, and every load was found."""
        return self.quiet and all(one.finder for one in self.injected)

    def lines(self) -> Iterator[str]:
        """The verdict for people."""
        yield (
            f"{len(self.uncaused)} episodes that nobody caused in {self.minutes:g} minutes on {self.series} series, "
            f"a sample every {self.interval_s:g} s, {self.busy:.0%} of the host busy; "
            f"at most {MOST_UNCAUSED} wanted: {'holds' if self.quiet else 'missed'}"
        )
        yield from (one.line() for one in self.injected)

    def figures(self) -> dict[str, Any]:
        """For programs."""
        return {
            "minutes": self.minutes,
            "interval_s": self.interval_s,
            "series": self.series,
            "busy": round(self.busy, 3),
            "holds": self.holds,
            "uncaused": [one.figures(0.0) for one in self.uncaused],
            "injected": [one.figures() for one in self.injected],
        }
