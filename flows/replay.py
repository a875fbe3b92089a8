"""A backtest's middle: samples of the past through the very block of the flow, its verdicts kept row by row.

Rows become the chunks that a partition's log would hold: samples, then a control record with the time that the data
has reached, so the output is that of a flow which met them live. Two things differ, on purpose: a series is not
forgotten in a gap, and samples of any age are judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connectors.anomaly import Anomaly
from connectors.catalogue import Topics
from connectors.codec.encode import encode_labels
from connectors.codec.series_hash import series_hash
from connectors.detector import Aggregate, DetectorConfig, DetectorRevision, Group
from connectors.messages import DEFAULT_TENANT, MAX_TIME_MS, ControlRecord, OutRecord
from flows.block import Block
from flows.chunks import NewSeries, Samples
from flows.config import compile_config, compile_merged
from flows.detectors.base import Floats, Ints, Scored, Silent
from flows.detectors.registry import KINDS, Trait
from flows.episodes import Lanes
from flows.frame import Column, Frame, shaped, with_entity
from flows.limits import BlockLimits
from flows.peers import has_entities
from flows.program import Judged
from flows.selector import NAME_LABEL
from flows.validator import check_config

ROWS_PER_CHUNK = 256
CONTROL_EVERY_MS = 10_000
"""``missing`` believes a pause of log time only so far as control records witness it every 10 s."""
CONTROLS_PER_PAUSE = 60
"""So much of a pause is witnessed: it bounds what a frame of hourly rows, or a gap of a year, costs."""
EVERYTHING = f'{{{NAME_LABEL}=~".+"}}'
TOGETHER = Group(aggregate=Aggregate.MEMBERS)
"""All signals of a frame as one group."""
_EVER_MS = 2 * MAX_TIME_MS
LIMITS = BlockLimits(idle_s=_EVER_MS // 1000, too_old_ms=_EVER_MS, too_new_ms=_EVER_MS)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the flow says of a frame, one verdict a row.

    ``value`` (n,) and ``scored`` (n,) each are those of the leading signal, but for ``scored.score``, which is the
    entity's; ``alert`` (n,) bool is True on the row at which a user would be notified; ``anomalies`` are the last
    events of the episodes; ``drops`` counts samples that were not judged, by reason; ``learned`` says of each signal
    what it was taken for in the end, if the kind says so.
    """

    value: Floats
    scored: Scored
    alert: NDArray[np.bool_]
    anomalies: list[Anomaly]
    drops: dict[str, int]
    learned: list[str | None]


def replay(config: DetectorConfig, frame: Frame, tell: Callable[[float], None] = lambda _share: None) -> Replayed:
    """Judge a frame with a detector that watches all of it; raises ``ConfigError``.

    Several signals are one entity: the group of all of them, as ``aggregate: members`` makes it live. ``tell`` is told
    now and then which share of the rows is judged.
    """
    config = config.model_copy(update={"selector": EVERYTHING, "tenant": DEFAULT_TENANT, "enabled": True})
    together = len(frame.labels) > 1 and Trait.PAUSES not in KINDS[config.kind].traits
    if together or config.group is not None:  # who made the frame has parted the groups
        config = config.model_copy(update={"group": TOGETHER})
    check_config(config)
    columns = len(frame.labels)
    frame = frame if config.group is None else shaped(frame, config.shape)
    signals = Witness(config, with_entity(frame) if has_entities(config) else frame)
    told = Told(frame)
    for rows in signals.chunks():
        told.samples(rows, signals.take([signals.samples_of(rows)]))
        told.control(rows, signals.take(signals.controls(rows)))
        if rows.start // ROWS_PER_CHUNK < rows.stop // ROWS_PER_CHUNK:
            tell(rows.stop / len(frame.times_ms))
    signals.hear_silence()
    value, *scored = signals.of_the_leading()
    learned, anomalies = signals.learned()[:columns], list(told.last.values())
    return Replayed(value, Scored(*scored), told.alert, anomalies, signals.intake.drops(), learned)


class Witness(Block):
    """A block that keeps the verdicts of its one detector: (value, score, expected, lower, upper) × row × signal.

    Of an entity it is its own signal alone; the value of the first stands in while it is not scored.
    """

    def __init__(self, config: DetectorConfig, frame: Frame) -> None:
        revision = DetectorRevision(detector_id="backtest", base_revision=0, config=config, author="", time_ms=0)
        compiled = compile_config if config.group is None else compile_merged
        super().__init__(Topics(), LIMITS, lambda start, end: [revision][start:end], compiled)
        self.frame, self._entities = frame, has_entities(config)
        signals = frame.values.shape[1]
        told = [signals - 1] if self._entities else range(signals)  # an entity comes last, its members get no verdict
        self._columns = {signal: Column(frame.times_ms, frame.present[:, signal]) for signal in told}
        self.verdicts = np.full((5, len(frame.times_ms), len(told)), np.nan)
        self.verdicts[0] = np.where(frame.present, frame.values, np.nan)[:, : len(told)]
        self._silences = np.full(self.verdicts.shape, np.nan)
        self._reached_ms = np.maximum.accumulate(frame.times_ms)
        encoded = [encode_labels(labels) for labels in frame.labels]
        self._hashes = np.array([series_hash(raw, DEFAULT_TENANT) for raw in encoded], np.uint64)
        new = [NewSeries(int(series), DEFAULT_TENANT, raw) for series, raw in zip(self._hashes, encoded, strict=True)]
        nothing = np.zeros(0, np.int64)
        first_ms = int(frame.times_ms[0]) if len(frame.times_ms) else 1
        announced = Samples(nothing.astype(np.uint64), nothing, nothing.astype(np.float64), None, tuple(new))
        self.take([control_at(first_ms), announced])

    def chunks(self) -> Iterator[slice]:
        """Runs of rows that control records follow; rows of one time are never parted, as steps must not be.

        Budgets change thresholds at control records only; entities are judged step by step, as live.
        """
        often = self._judges_silence or self.watch.budgets or self._entities
        times_ms, size = self.frame.times_ms, 1 if often else ROWS_PER_CHUNK
        ends = np.flatnonzero(np.diff(times_ms, append=-1)) + 1
        start = 0
        while start < len(times_ms):
            stop = int(ends[np.searchsorted(ends, min(start + size, len(times_ms)))])
            yield slice(start, stop)
            start = stop

    def controls(self, rows: slice) -> Iterator[ControlRecord]:
        """Log time until the row that follows.

        One control record says it all, but to a detector that judges silence: that one is asked at each.
        """
        reached_ms = int(self._reached_ms[rows.stop - 1])
        following = self.frame.times_ms[rows.stop : rows.stop + 1].tolist()
        until_ms = max([reached_ms, *(time_ms - 1 for time_ms in following)])
        if self._judges_silence:
            times_ms = range(reached_ms, until_ms, CONTROL_EVERY_MS)[:CONTROLS_PER_PAUSE]
            yield from (control_at(time_ms) for time_ms in times_ms)
        yield control_at(until_ms)

    @property
    def _judges_silence(self) -> bool:
        programs = self.watch.programs.judging()
        return any(isinstance(program.detector, Silent) for program in programs)

    def samples_of(self, rows: slice) -> Samples:
        """The chunk of these rows, signal after signal within a row."""
        at, columns = np.nonzero(self.frame.present[rows])
        times_ms, values = self.frame.times_ms[rows], self.frame.values[rows]
        return Samples(self._hashes[columns], times_ms[at], values[at, columns], None)

    def follow(
        self, lanes: Lanes, entries: Ints, times_ms: Ints, judged: Judged, steps_s: NDArray[np.float32],
        out: list[OutRecord],
    ) -> None:  # fmt: skip
        """Keep the verdicts; rows of the block's series are columns of the frame, as both count in order."""
        signals = self.watch.routes.entries["row"][entries]
        for place, (signal, column) in enumerate(self._columns.items()):
            mine = signals == signal
            at = column.rows_at(times_ms[mine])
            verdicts = np.stack([judged.values, *judged.scored])[:, mine]
            self.verdicts[:, at[at >= 0], place] = verdicts[:, at >= 0]
            # at a time without a sample: known when the next row comes; after the last row, never
            following = np.searchsorted(self._reached_ms, times_ms[mine])
            silent = (at < 0) & (following < len(self._reached_ms))
            self._silences[:, following[silent], place] = verdicts[:, silent]
        super().follow(lanes, entries, times_ms, judged, steps_s, out)
        # live, each sample comes at its own log time; here a chunk comes at once
        self.episodes.open["log_ms"] = self.episodes.open["time_ms"]
        self.episodes.look_anew()

    def count_readiness(self) -> None:
        """Nobody asks a backtest, and it would take half of the time of an entity's row."""

    def learned(self) -> list[str | None]:
        """What each signal is taken for by now."""
        self.watch.programs.take_notes()
        rows = self.series.index.find(self._hashes).tolist()
        return [self.watch.learned_of_lane(lane) for row in rows for lane in self.watch.lanes_of_series(row)]

    def hear_silence(self) -> None:
        """Let the silence before a row count as that row's verdict where it is the more surprising one."""
        louder = self._silences[1] > np.nan_to_num(self.verdicts[1], nan=-np.inf)
        self.verdicts = np.where(louder, self._silences, self.verdicts)

    def of_the_leading(self) -> Floats:
        """Of each row the verdict of the signal that surprises most, or of the entity; (5, n)."""
        scores = self.verdicts[1]
        leader = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1)
        return self.verdicts[:, np.arange(len(scores)), leader]


class Told:
    """What a user would have been told while the rows of a frame came in."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.alert = np.zeros(len(frame.times_ms), np.bool_)
        self.last: dict[str, Anomaly] = {}
        self._reached_ms = np.maximum.accumulate(frame.times_ms)

    def samples(self, rows: slice, records: list[OutRecord]) -> None:
        """Take what these rows caused; an episode is noticed at the row of its latest sample."""
        for anomaly in self._take(records):
            at = rows.start + int(np.searchsorted(self._reached_ms[rows], anomaly.time_ms))
            self.alert[min(at, rows.stop - 1)] = True

    def control(self, rows: slice, records: list[OutRecord]) -> None:
        """Take what the control records after these rows caused; a user knows it before the row that follows."""
        if self._take(records) and rows.stop < len(self.alert):
            self.alert[rows.stop] = True

    def _take(self, records: list[OutRecord]) -> list[Anomaly]:
        """Remember the last event of each episode; gives those of which a user is notified."""
        events = [Anomaly.decode(record.value or b"") for record in records]
        self.last.update((event.id, event) for event in events)
        return [event for event in events if event.notice is not None]


def control_at(time_ms: int) -> ControlRecord:
    """The control record of a log in which the one detector stands."""
    return ControlRecord(time_ms=max(1, time_ms), detectors_offset=1, feedback_offset=0)
