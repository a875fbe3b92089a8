"""A backtest against the flow: the same samples as real records, one control record a second."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from connectors.anomaly import Anomaly
from connectors.codec.encode import encode_labels
from connectors.detector import Aggregate, Budget, DetectorConfig, Group, Period
from flows import replay as replay_module
from flows.detectors.base import STALE_MARKER
from flows.frame import Frame
from flows.replay import Replayed, replay
from flows.validator import ConfigError
from tests import naive_auto
from tests.groups import Partitions, sharing_logs
from tests.series import START_MS
from tests.streams import Log, anomalies, config, sample_bits

Floats = NDArray[np.float64]


def frame_of(values: Floats, times_s: Floats | None = None, names: tuple[str, ...] = ("m",)) -> Frame:
    table = values.reshape(len(values), len(names))
    seconds = 15.0 * np.arange(len(table)) if times_s is None else times_s
    times_ms = START_MS + np.round(1000 * seconds).astype(np.int64)
    return Frame(times_ms, table, ~np.isnan(table), [{"__name__": name} for name in names])


def noise(n: int, seed: int = 0, spikes: int = 12) -> Floats:
    rng = np.random.default_rng(seed)
    values = rng.normal(10.0, 1.0, n)
    for at in rng.integers(100, n - 10, spikes).tolist():
        values[at : at + int(rng.integers(1, 6))] += rng.choice((-40.0, 40.0))
    return values


def live(frame: Frame, detector: DetectorConfig) -> list[Anomaly]:
    """What the flow tells: a record per row, a control record every second up to the last row."""
    log = Log()
    log.detector("d", detector)
    log.control(0.0)
    reached_s = 0
    for time_ms, value, present in zip(frame.times_ms.tolist(), frame.values, frame.present, strict=True):
        at_s = (time_ms - START_MS) / 1000
        while reached_s + 1 <= at_s - 0.001:
            reached_s += 1
            log.control(reached_s)
        samples = zip(frame.labels, value.tolist(), present.tolist(), strict=True)
        log.samples(*((labels, at_s, number) for labels, number, there in samples if there))
    return log.run(idle_s=10**9)[1]


def essence(anomaly: Anomaly) -> dict[str, Any]:
    return anomaly.model_dump(exclude={"id", "detector", "sequence", "event", "end_ms", "closed_by"})


def alerts_of(events: list[Anomaly], frame: Frame) -> list[int]:
    told = [event.time_ms for event in events if event.notice is not None]
    return np.searchsorted(frame.times_ms, told).tolist()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["mad", "zscore", "ewma"])
@pytest.mark.parametrize("quiet_s", [4.0, 12.0, 60.0])
def test_it_says_what_the_flow_says(kind: str, quiet_s: float) -> None:
    """The same episodes with the same content, told at the same rows."""
    frame = frame_of(noise(700), 5.0 * np.arange(700))
    detector = config(kind, quiet_s=quiet_s)
    events = live(frame, detector)
    replayed = replay(detector, frame)
    assert np.flatnonzero(replayed.alert).tolist() == alerts_of(events, frame)
    assert replayed.alert.sum() > 2
    told = {event.id: event for event in events}
    assert [essence(event) for event in replayed.anomalies] == [essence(event) for event in told.values()]


@pytest.mark.long
def test_pauses_close_episodes_as_they_do_live() -> None:
    """Surprising samples on both sides of pauses shorter and longer than the quiet time, by more than a second."""
    values = noise(350, spikes=0)
    seconds = 15.0 * np.arange(350)
    for at, pause_s in ((100, 30.0), (150, 38.9), (200, 41.1), (300, 1000.0)):
        values[at - 1 : at + 1] = 60.0
        seconds[at:] += pause_s - 15.0
    frame = frame_of(values, seconds)
    detector = config("mad", params={"window": 60}, quiet_s=40.0)
    alerts = np.flatnonzero(replay(detector, frame).alert).tolist()
    assert alerts == alerts_of(live(frame, detector), frame)
    assert {99, 149, 199, 200, 299, 300} <= set(alerts)
    assert not {100, 150} & set(alerts)


@pytest.mark.long
def test_how_rows_are_cut_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = frame_of(np.stack([noise(700, seed) for seed in range(3)], axis=1), names=("a", "b", "c"))
    frame.present[np.random.default_rng(1).random(frame.present.shape) < 0.05] = False
    whole = replay(config(quiet_s=40.0), frame)
    monkeypatch.setattr(replay_module, "ROWS_PER_CHUNK", 1)
    single = replay(config(quiet_s=40.0), frame)
    assert_same(whole, single)


def assert_same(one: Replayed, other: Replayed) -> None:
    np.testing.assert_array_equal(one.value, other.value)
    for left, right in zip(one.scored, other.scored, strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(one.alert, other.alert)
    assert one.anomalies == other.anomalies


def test_verdicts_stand_in_their_rows() -> None:
    values = noise(300, spikes=0)
    values[200] = 99.0
    replayed = replay(config(params={"window": 60}), frame_of(values))
    assert np.isnan(replayed.scored.score[:60]).all()
    assert not np.isnan(replayed.scored.score[60:]).any()
    assert np.nanargmax(replayed.scored.score) == 200
    assert replayed.scored.expected[200] == pytest.approx(np.median(values[140:200]))
    assert np.array_equal(replayed.value, values)


def test_beyond_a_stated_bound_the_farthest_value_is_told_of() -> None:
    """Whatever is beyond it surprises the most there is, the first such sample as well."""
    frame = frame_of(np.array([100.0] * 5 + [111.0, 300.0, 500.0, 400.0] + [100.0] * 9))
    (anomaly,) = replay(config("threshold", params={"upper": 110.0}, quiet_s=60.0), frame).anomalies
    assert anomaly.peak.value == 500.0
    assert "was up to 500, above its bound of 110, for 45 s" in anomaly.sentence


def test_several_signals_are_one_entity() -> None:
    """Score and alarms are the entity's, value and band those of the signal that leads the row."""
    signals = [noise(400, seed, spikes=0) for seed in range(4)]
    for signal in signals[1:]:
        signal[300] += 12.0
    signals[3][300] += 6.0
    signals[0][350] = 17.5
    frame = frame_of(np.stack(signals, axis=1), names=("a", "b", "c", "d"))
    detector = config(params={"window": 60})
    replayed = replay(detector, frame)
    alone = [replay(detector, frame_of(signal, names=(name,))) for signal, name in zip(signals, "abcd", strict=True)]
    scores = np.stack([one.scored.score for one in alone], axis=1)
    np.testing.assert_allclose(replayed.scored.score, naive_auto.entity(scores.tolist()), rtol=1e-9)
    assert replayed.value[300] == signals[3][300]
    assert replayed.scored.expected[300] == alone[3].scored.expected[300]
    assert alone[0].alert[350], "the signal alone is surprising"
    assert np.flatnonzero(replayed.alert).tolist() == [300], "the entity is surprised when its signals agree"
    assert [anomaly.start_ms for anomaly in replayed.anomalies] == [int(frame.times_ms[300])]


def test_late_rows_and_duplicates_are_not_judged() -> None:
    """As in the flow: the first sample of a time counts, what comes behind a later one does not."""
    seconds = np.array([0, 1, 2, 3, 4, 5, 6, 6, 3, 7, 8], float)
    values = np.array([1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 900.0, 900.0, 2.0, 1.0])
    replayed = replay(config(), frame_of(values, seconds))
    judged = ~np.isnan(replayed.scored.score)
    assert judged.tolist() == [False] * 5 + [True, True, False, False, True, True]
    assert {reason: n for reason, n in replayed.drops.items() if n} == {"duplicate": 1, "out_of_order": 1}
    assert np.array_equal(replayed.value, values)


def test_signals_may_come_in_rows_of_their_own() -> None:
    """Two rows of one time, each with one signal: a step of the entity, whose verdict stands in the second."""
    a, b = noise(200, 1, spikes=0), noise(200, 2, spikes=0)
    table = np.full((400, 2), np.nan)
    table[::2, 0], table[1::2, 1] = a, b
    frame = frame_of(table, np.repeat(15.0 * np.arange(200), 2), names=("a", "b"))
    apart, together = (replay(config(), one) for one in (frame, frame_of(np.stack([a, b], axis=1), names=("a", "b"))))
    for left, right in zip(apart.scored, together.scored, strict=True):
        np.testing.assert_array_equal(left[1::2], right)
        assert np.isnan(left[::2]).all()
    assert apart.anomalies == together.anomalies


def test_late_rows_of_an_entity_are_not_judged() -> None:
    """A row behind a later one is late, for the signals and for what stands for them."""
    table = np.stack([noise(100, 1, spikes=0), noise(100, 2, spikes=0)], axis=1)
    usual = replay(config(), frame_of(table, names=("a", "b")))
    rows = [*range(60), 40, 41, *range(60, 100)]
    late = replay(config(), frame_of(table[rows], 15.0 * np.array(rows), names=("a", "b")))
    np.testing.assert_array_equal(np.delete(late.scored.score, [60, 61]), usual.scored.score)
    assert np.isnan(late.scored.score[[60, 61]]).all()
    assert late.drops["out_of_order"] == 4


def test_a_nan_is_a_gap_and_an_absent_sample_is_none() -> None:
    values = noise(100, spikes=0)
    values[50] = np.nan
    for present in (True, False):
        frame = frame_of(values)
        frame.present[50] = present
        score = replay(config(), frame).scored.score
        assert np.flatnonzero(np.isnan(score)).tolist() == [0, 1, 2, 3, 4, 50]


def test_a_series_is_remembered_through_a_long_gap() -> None:
    seconds = np.append(15.0 * np.arange(100), 15.0 * 100 + 14 * 86_400)
    score = replay(config(), frame_of(np.append(noise(100, spikes=0), 90.0), seconds)).scored.score
    assert score[100] > 8.0


def test_a_counter_is_shaped() -> None:
    """The value of a row is that of the signal, which is a rate here."""
    counted = np.cumsum(np.full(100, 30.0))
    replayed = replay(config(shape="rate"), frame_of(counted, names=("requests_total",)))
    assert np.isnan(replayed.value[0])
    np.testing.assert_allclose(replayed.value[1:], 2.0)


def test_times_from_zero_are_taken() -> None:
    frame = frame_of(noise(300, spikes=0))
    shifted = frame._replace(times_ms=frame.times_ms - frame.times_ms[0])
    np.testing.assert_array_equal(replay(config(), shifted).scored.score, replay(config(), frame).scored.score)


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_it_tells_how_far_it_is(names: tuple[str, ...]) -> None:
    shares: list[float] = []
    values = np.stack([noise(1000, seed, spikes=0) for seed in range(len(names))], axis=1)
    replay(config(), frame_of(values, names=names), shares.append)
    assert shares == pytest.approx([0.256, 0.512, 0.768])


def test_no_rows() -> None:
    replayed = replay(config(), frame_of(np.zeros((0, 1))))
    assert len(replayed.value) == len(replayed.alert) == len(replayed.anomalies) == 0


def test_a_bad_config_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"params\.window"):
        replay(config(params={"window": 1}), frame_of(noise(20, spikes=0)))


def test_silence_is_told_on_the_row_that_follows() -> None:
    """A pause of everything, and one of a signal while the others go on: judged by log time, as live."""
    seconds = 15.0 * np.arange(120)
    seconds[100:] += 600.0
    detector = config("missing", params={})
    replayed = replay(detector, frame_of(noise(120, spikes=0), seconds))
    assert np.flatnonzero(replayed.alert).tolist() == [100]
    assert np.nanargmax(replayed.scored.score) == 100
    assert replayed.anomalies[0].time_ms < START_MS + 1000 * seconds[100]

    table = np.full((120, 2), 5.0)
    table[60:90, 1] = np.nan
    frame = frame_of(table, names=("a", "b"))
    replayed = replay(detector.model_copy(update={"threshold": 1.5}), frame)
    assert 60 < int(np.flatnonzero(replayed.alert)[0]) < 70
    assert np.flatnonzero(replayed.scored.score >= 1.5)[0] in range(61, 70), "each signal is judged by itself"
    assert {anomaly.signal.labels["__name__"] for anomaly in replayed.anomalies} == {"b"}


@pytest.mark.long
def test_a_budget_is_kept_in_a_backtest_too() -> None:
    """Two weeks of a sample every ten minutes, and nothing before it has learned for six hours."""
    seconds = 600.0 * np.arange(14 * 144)
    budget = Budget(per=Period.DAY, alarms=5.0)
    replayed = replay(config("ewma", budget=budget), frame_of(noise(14 * 144, spikes=0), seconds))
    opened = np.flatnonzero(replayed.alert)
    assert 0.5 <= len(replayed.anomalies) / 70 <= 1.5
    assert seconds[opened[0]] > 6 * 3600


def test_the_odd_one_of_several_signals_is_told() -> None:
    """The kind that compares members: each row has the verdict of the oddest column."""
    table = np.stack([noise(200, seed, spikes=0) for seed in range(8)], axis=1)
    table[150, 3] = 60.0
    names = tuple(f"m{n}" for n in range(8))
    group = Group(aggregate=Aggregate.MEMBERS)
    replayed = replay(config("outlier", params={}, group=group), frame_of(table, names=names))
    assert np.flatnonzero(replayed.alert).tolist() == [150]
    assert replayed.value[150] == 60.0
    assert [anomaly.signal.labels["__name__"] for anomaly in replayed.anomalies] == ["m3"]


@pytest.mark.parametrize("group", [
    Group(by=("__name__",), aggregate="members"), Group(by=("instance",), aggregate="members"),
    Group(without=("cpu",), aggregate="members"),
])  # fmt: skip
def test_one_signal_is_an_entity_however_it_is_grouped(group: Group) -> None:
    """The frame holds one group, whose labels need not be there to tell it from others."""
    frame = frame_of(noise(300))
    frame = frame._replace(labels=[{"__name__": "m", "instance": "a", "cpu": "0"}])
    judged = replay(config("mad", params={"window": 60}, group=group), frame)
    alike = replay(config("mad", params={"window": 60}, group=Group(aggregate="members")), frame)
    assert np.isfinite(judged.scored.score).any()
    assert_same(judged, alike)


def test_vectors_of_river_take_all_signals_at_once() -> None:
    load = np.random.default_rng(4).normal(0.0, 3.0, 300)
    table = np.stack([load + np.random.default_rng(n).normal(0.0, 0.1, 300) for n in range(4)], axis=1)
    table[250, :2] = 6.0, -6.0
    detector = config("river", params={"model": "LocalOutlierFactor", "warmup": 20})
    replayed = replay(detector, frame_of(table, names=("a", "b", "c", "d")))
    assert np.nanargmax(replayed.scored.score) == 250, "each value alone is usual"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["auto", "mad", "river"])
def test_an_entity_is_judged_as_it_is_live(kind: str) -> None:
    """The members on three partitions, gathered and merged, with one that stays away for a while: the same episodes."""
    names, steps, partitions = [f"m{n}" for n in range(6)], 400, 3
    table = np.random.default_rng(8).normal(10.0, 1.0, (steps, len(names)))
    table[200:206, 1:5] += 40.0
    table[300, :] -= 30.0
    table[350:380, 2] = np.nan
    group = Group(aggregate=Aggregate.MEMBERS, grace_s=0)
    detector = config(kind, params={}, group=group, selector='{__name__=~"m."}', quiet_s=60.0, threshold=2.0)
    logs = sharing_logs(partitions)
    logs[0].detector("d", detector)
    for log in logs:
        log.control(0)
    for step in range(steps):
        at_s = 15 * (step + 8) - 5  # the end of a step of the grid
        for n, value in enumerate(table[step].tolist()):
            if not np.isnan(value):
                logs[n % partitions].samples(({"__name__": names[n]}, at_s, value))
            elif not np.isnan(table[step - 1, n]):
                stale = sample_bits(encode_labels({"__name__": names[n]}), START_MS + 1000 * at_s, STALE_MARKER)
                logs[n % partitions].append(stale)
        for log in logs:
            log.control(at_s + 1)
    world = Partitions(logs)
    world.run(np.random.default_rng(0))
    frame = frame_of(table, 15.0 * (np.arange(steps) + 8) - 5, names=tuple(names))
    events = list({event.id: event for event in anomalies(world.out)}.values())
    replayed = replay(detector, frame)
    assert len(events) == (1 if kind == "auto" else 2)
    assert [_told(event) for event in replayed.anomalies] == [_told(event) for event in events]


def _told(anomaly: Anomaly) -> dict[str, Any]:
    """What is said of an entity; live it is called by its selector."""
    said = essence(anomaly.model_copy(update={"signal": None}))
    return {**said, "sentence": said["sentence"].replace('{__name__=~"m."}', "the entity")}
