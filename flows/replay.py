"""A backtest's middle: samples of the past through the very block of the flow, its verdicts kept row by row.

Rows become the chunks that a partition's log would hold: samples, then a control record with the time that the data
has reached, so the output is that of a flow which met them live. Two things differ, on purpose: a series is not
forgotten in a gap, and samples of any age are judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.catalogue import Topics
from connectors.codec.encode import encode_labels
from connectors.codec.series_hash import series_hash
from connectors.messages import (
    DEFAULT_TENANT,
    MAX_TIME_MS,
    Anomaly,
    ControlRecord,
    DetectorConfig,
    DetectorRevision,
    OutRecord,
)
from flows.block import Block, BlockLimits
from flows.chunks import NewSeries, Samples
from flows.config import check_config
from flows.detectors.base import Floats, Ints, Scored, Silent
from flows.entity import combine
from flows.episodes import Lanes
from flows.program import Judged
from flows.selector import NAME_LABEL

ROWS_PER_CHUNK = 256
CONTROL_EVERY_MS = 10_000
"""``missing`` believes a pause of log time only so far as control records witness it every 10 s."""
CONTROLS_PER_PAUSE = 60
"""So much of a pause is witnessed: it bounds what a frame of hourly rows, or a gap of a year, costs."""
EVERYTHING = f'{{{NAME_LABEL}=~".+"}}'
ENTITY = {NAME_LABEL: "entity"}
_EVER_MS = 2 * MAX_TIME_MS
LIMITS = BlockLimits(idle_s=_EVER_MS // 1000, too_old_ms=_EVER_MS, too_new_ms=_EVER_MS)


class Frame(NamedTuple):
    """Rows of the past in the order in which they came: one entity, a column per signal.

    ``times_ms`` (n,) int64 from 0 to ``MAX_TIME_MS``; ``values`` (n, signals) float64; ``present`` (n, signals) bool,
    False where a row has no sample of that signal; ``labels`` of each signal, with a name.
    """

    times_ms: Ints
    values: Floats
    present: NDArray[np.bool_]
    labels: Sequence[Mapping[str, str]]


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


def replay(config: DetectorConfig, frame: Frame) -> Replayed:
    """Judge a frame with a detector that watches all of it; raises ``ConfigError``."""
    config = config.model_copy(update={"selector": EVERYTHING, "tenant": DEFAULT_TENANT, "enabled": True})
    check_config(config)
    signals = Witness(config, frame)
    told = Told(frame)
    for rows in signals.chunks():
        told.samples(rows, signals.take([signals.samples_of(rows)]))
        told.control(rows, signals.take(signals.controls(rows)))
    signals.hear_silence()
    if len(frame.labels) == 1:
        value, *scored = signals.verdicts[:, :, 0]
        return _replayed(signals, told, value, Scored(*scored))
    return _replay_entity(config, frame, signals)


def _replay_entity(config: DetectorConfig, frame: Frame, signals: Witness) -> Replayed:
    """Several signals as one: the combined surprise makes the episodes, by the code that makes them of any signal."""
    combined = combine(signals.verdicts[1])
    value, _, expected, lower, upper = signals.verdicts[:, np.arange(len(frame.times_ms)), combined.leader]
    scored = Scored(combined.score, expected, lower, upper)
    times_ms = frame.times_ms[:, None]
    told = Told(frame)
    entity = Witness(config, Frame(frame.times_ms, value[:, None], np.ones_like(times_ms, np.bool_), [ENTITY]))
    advancing = np.diff(np.maximum.accumulate(frame.times_ms), prepend=-1) > 0
    for rows in entity.chunks():
        at = rows.start + np.flatnonzero(advancing[rows])
        told.samples(rows, entity.report(at, value, scored))
        told.control(rows, entity.take(entity.controls(rows)))
    return _replayed(signals, told, value, scored)


def _replayed(signals: Witness, told: Told, value: Floats, scored: Scored) -> Replayed:
    return Replayed(value, scored, told.alert, list(told.last.values()), signals.drops(), signals.learned())


class Witness(Block):
    """A block that keeps the verdicts of its one detector: (value, score, expected, lower, upper) × row × signal."""

    def __init__(self, config: DetectorConfig, frame: Frame) -> None:
        revision = DetectorRevision(detector_id="backtest", base_revision=0, config=config, author="", time_ms=0)
        super().__init__(Topics(), LIMITS, lambda start, end: [revision][start:end])
        self.frame = frame
        self.verdicts = np.full((5, *frame.values.shape), np.nan)
        self.verdicts[0] = np.where(frame.present, frame.values, np.nan)
        self._silences = np.full((5, *frame.values.shape), np.nan)
        self._reached_ms = np.maximum.accumulate(frame.times_ms)
        self._columns = [_Column(frame.times_ms, present) for present in frame.present.T]
        encoded = [encode_labels(labels) for labels in frame.labels]
        self._hashes = np.array([series_hash(raw, DEFAULT_TENANT) for raw in encoded], np.uint64)
        new = [NewSeries(int(series), DEFAULT_TENANT, raw) for series, raw in zip(self._hashes, encoded, strict=True)]
        nothing = np.zeros(0, np.int64)
        first_ms = int(frame.times_ms[0]) if len(frame.times_ms) else 1
        announced = Samples(nothing.astype(np.uint64), nothing, nothing.astype(np.float64), None, tuple(new))
        self.take([control_at(first_ms), announced])

    def chunks(self) -> Iterator[slice]:
        """Runs of rows that control records follow."""
        often = self._judges_silence or self.watch.budgets  # a threshold changes at control records only
        n, size = len(self.frame.times_ms), 1 if often else ROWS_PER_CHUNK
        yield from (slice(at, min(at + size, n)) for at in range(0, n, size))

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

    def report(self, at: Ints, values: Floats, scored: Scored) -> list[OutRecord]:
        """Episodes from verdicts that are known already, on the only series; ``at`` are rows, times increasing."""
        out: list[OutRecord] = []
        times_ms, entries = self.frame.times_ms[at], np.full(len(at), int(self.series.table["head"][0]))
        part = Scored(*(column[at] for column in scored))
        _, _, steps_s = self.admit(np.full(len(at), self._hashes[0]), times_ms, values[at])
        judged = Judged(values[at], part, at.astype(np.int32))  # every row so far taught the entity's ladder
        self.follow(self.watch.lanes(), entries, times_ms, judged, steps_s, out)
        return out

    def follow(
        self, lanes: Lanes, entries: Ints, times_ms: Ints, judged: Judged, steps_s: NDArray[np.float32],
        out: list[OutRecord],
    ) -> None:  # fmt: skip
        """Keep the verdicts; rows of the block's series are columns of the frame, as both count in order."""
        signals = self.watch.routes.entries["row"][entries]
        for signal in np.unique(signals).tolist():
            mine = signals == signal
            at = self._columns[signal].rows_at(times_ms[mine])
            verdicts = np.stack([judged.values, *judged.scored])[:, mine]
            self.verdicts[:, at[at >= 0], signal] = verdicts[:, at >= 0]
            # at a time without a sample: known when the next row comes; after the last row, never
            following = np.searchsorted(self._reached_ms, times_ms[mine])
            silent = (at < 0) & (following < len(self._reached_ms))
            self._silences[:, following[silent], signal] = verdicts[:, silent]
        super().follow(lanes, entries, times_ms, judged, steps_s, out)
        # live, each sample comes at its own log time; here a chunk comes at once
        self.episodes.open["log_ms"] = self.episodes.open["time_ms"]

    def learned(self) -> list[str | None]:
        """What each signal is taken for by now."""
        self.watch.programs.take_notes()
        rows = self.series.index.find(self._hashes).tolist()
        return [self.watch.learned_of_lane(lane) for row in rows for lane in self.watch.lanes_of_series(row)]

    def hear_silence(self) -> None:
        """Let the silence before a row count as that row's verdict where it is the more surprising one."""
        louder = self._silences[1] > np.nan_to_num(self.verdicts[1], nan=-np.inf)
        self.verdicts = np.where(louder, self._silences, self.verdicts)


class _Column:
    """Finds the row of a signal's sample by its time: the first that has it, as only that one is judged."""

    def __init__(self, times_ms: Ints, present: NDArray[np.bool_]) -> None:
        rows = np.flatnonzero(present)
        order = np.argsort(times_ms[rows], kind="stable")
        self._rows = rows[order]
        self._times_ms = times_ms[self._rows]

    def rows_at(self, times_ms: Ints) -> Ints:
        """(n,) int64, −1 for a time at which there is no sample."""
        if not len(self._rows):
            return np.full(len(times_ms), -1)
        at = np.minimum(np.searchsorted(self._times_ms, times_ms), len(self._rows) - 1)
        return np.where(self._times_ms[at] == times_ms, self._rows[at], -1)


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
