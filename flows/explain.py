"""What an episode is, from cheap facts: how long, how dense, to which side, and what became of the expected value."""

from __future__ import annotations

from enum import Enum, auto

from connectors.anomaly import Change
from flows.config import ProgramKey
from flows.detectors.base import Silent
from flows.detectors.registry import KINDS, Trait
from flows.episode import Episode
from flows.policy import QUIET_MS, QUIET_SAMPLES, WEEK_S

LONG_MS, LONG_SAMPLES = 900_000, 6
"""An episode that lasts so long, and so many samples, is one degree worse."""
BOTH_WAYS = 0.25
"""Share of the samples on the lesser side from which an episode has no direction."""
BOTH_WAYS_SAMPLES = 4
DENSE = 0.5
"""Share of the samples that must be surprising in an episode that is more than some spikes in a row."""
MOVED = 0.5
"""Share of the way to the peak that the expected value goes in an episode that became usual."""


class Manner(Enum):
    """What a kind of detector speaks of."""

    VALUES = auto()
    BOUNDS = auto()
    """values beyond what the operator stated; chance has no part in it"""
    STILLNESS = auto()
    SILENCE = auto()
    """value, expected and band are seconds without a sample"""

    @classmethod
    def of(cls, program: ProgramKey) -> Manner:
        """That of a program's kind."""
        kind = KINDS[program.kind]
        traits = kind.traits
        if isinstance(kind.make(kind.params.model_validate(kind.example)), Silent):
            return cls.SILENCE
        if Trait.STATED in traits:
            return cls.BOUNDS
        return cls.STILLNESS if Trait.TIMES in traits else cls.VALUES


def change_of(episode: Episode, manner: Manner) -> Change:
    """What kind of change it is, as far as it has shown."""
    if manner is Manner.SILENCE:
        return Change.SILENCE
    downs = episode.samples - episode.ups
    if manner is Manner.STILLNESS or (
        episode.samples >= BOTH_WAYS_SAMPLES and min(episode.ups, downs) >= BOTH_WAYS * episode.samples
    ):
        return Change.VARIANCE
    if lasts(episode, QUIET_MS, QUIET_SAMPLES) and is_dense(episode):
        return Change.NEW_REGIME if has_become_usual(episode) else Change.LEVEL_SHIFT
    return Change.SPIKE if episode.direction > 0 else Change.DIP


def lasts(episode: Episode, length_ms: int, samples: int) -> bool:
    """Whether it went on for so long, and for so many samples at the cadence of its series."""
    return episode.time_ms - episode.start_ms >= max(length_ms, 1000.0 * samples * episode.step_s)


def is_long(episode: Episode) -> bool:
    """Whether its length makes it worse."""
    return lasts(episode, LONG_MS, LONG_SAMPLES)


def is_dense(episode: Episode) -> bool:
    """Whether surprising samples are the rule in it."""
    expected_s = DENSE * 0.001 * (episode.time_ms - episode.start_ms)
    return (episode.samples - 1) * episode.step_s >= expected_s


def has_become_usual(episode: Episode) -> bool:
    """Whether what is expected has followed."""
    way = abs(episode.peak_value - episode.first_expected)
    return way > 0.0 and abs(episode.expected - episode.first_expected) >= MOVED * way


def chance_per_week(episode: Episode, manner: Manner) -> float | None:
    """How often one like it comes by chance on this signal, as far as that was seen; None where that means nothing."""
    if manner is Manner.BOUNDS or episode.step_s <= 0.0:
        return None
    return float(10.0 ** -borne_out(episode) * WEEK_S / episode.step_s)


def borne_out(episode: Episode) -> float:
    """The peak's surprise, as far as so much was seen of the signal that it can be believed."""
    return min(episode.peak_surprise, episode.evidence)
