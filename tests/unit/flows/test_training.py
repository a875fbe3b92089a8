"""History in a partition's log makes its detector warm, at the same place of the log whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from connectors.detector import Detector, DetectorConfig
from connectors.messages import OutRecord
from connectors.training import PartState, TrainingBegin, TrainingCancel, TrainingEnd, TrainingPart
from flows import training
from flows.block import Block
from flows.config import CompiledDetector, compile_config
from flows.detectors.base import Floats, Ints
from flows.episodes import Lanes
from flows.frame import Frame
from flows.limits import BlockLimits
from flows.persistence import save
from flows.program import Judged
from flows.replay import replay
from flows.saved_trainings import load_trained, save_trained
from flows.training import ABANDONED_MS, MAX_TRAININGS, Trainings
from flows.validator import ConfigError
from flows.work import WORK_PER_MET
from tests.series import START_MS
from tests.streams import TOPICS, Log, anomalies, config

ID = "t-0123456789abcdef"
STEP_S, NOW, STEPS, PIECE = 15, 600, 700, 50
NAMES = ("m", "n_total")
SELECTOR = '{__name__=~"m|n_total"}'
Scores = dict[tuple[str, int], float]


def values_of(seed: int = 3) -> Floats:
    """A gauge and a counter that break in the past and now, (STEPS, 2)."""
    rng = np.random.default_rng(seed)
    gauge, rate = rng.normal(10.0, 1.0, STEPS), rng.normal(50.0, 2.0, STEPS)
    for at in (300, NOW + 1, NOW + 60):
        gauge[at : at + 3] += 30.0
        rate[at + 5 : at + 8] += 90.0
    return np.stack([gauge, np.cumsum(STEP_S * rate)], axis=1)


VALUES = values_of()


class Told(Block):
    """A block that keeps the scores which it gives live."""

    def __init__(self, log: Log) -> None:
        super().__init__(TOPICS, BlockLimits(), log.read_revisions)
        self.scores: Scores = {}

    def follow(
        self, lanes: Lanes, entries: Ints, times_ms: Ints, judged: Judged, steps_s: NDArray[np.float32],
        out: list[OutRecord],
    ) -> None:  # fmt: skip
        rows = self.watch.routes.entries["row"][entries].tolist()
        for row, time_ms, score in zip(rows, times_ms.tolist(), judged.scored.score.tolist(), strict=True):
            self.scores[self.series.labels_of(row)["__name__"], time_ms] = score
        super().follow(lanes, entries, times_ms, judged, steps_s, out)


def as_it_stands(detector: DetectorConfig, revision: int = 1) -> Detector:
    return Detector(id="d", revision=revision, config=detector, author="test", updated_ms=0)


def begin_with(detector: DetectorConfig, now: int = NOW) -> Log:
    log = Log()
    log.detector("d", detector)
    log.control(STEP_S * now - 1)
    return log


def send_history(log: Log, detector: DetectorConfig, now: int = NOW, training_id: str = ID) -> list[int]:
    """What the api sends: pieces of the past of both series; records and samples of it."""
    source = as_it_stands(detector)
    log.mark(training_id, TrainingBegin(detector=source))
    pieces = range(0, now, PIECE)
    for first in pieces:
        steps = range(first, min(now, first + PIECE))
        told = [
            ({"__name__": name}, [(STEP_S * step, float(VALUES[step, at])) for step in steps])
            for at, name in enumerate(NAMES)
        ]
        log.history(training_id, source, *told)
    return [len(pieces), 2 * now]


def send_live(log: Log, begin: int = NOW, end: int = STEPS) -> None:
    for step in range(begin, end):
        told = (({"__name__": name}, STEP_S * step, VALUES[step, at]) for at, name in enumerate(NAMES))
        log.samples(*told)
        log.control(STEP_S * step + 1)


def trained(detector: DetectorConfig, begin: int = NOW) -> Log:
    """A training, and live samples from a step on: some come before its end."""
    log = begin_with(detector)
    send_live(log, begin, NOW)
    sent = send_history(log, detector)
    log.mark(ID, TrainingEnd(records=sent[0], samples=sent[1]))
    send_live(log)
    return log


def parts(records: Iterable[OutRecord]) -> list[TrainingPart]:
    return [TrainingPart.decode(one.value or b"") for one in records if one.topic == TOPICS.status]


def run(log: Log) -> tuple[Trainings, list[OutRecord]]:
    trainings = Trainings(log.block())
    return trainings, trainings.take(log.chunks())


def last_of(log: Log) -> TrainingPart:
    return parts(run(log)[1])[-1]


@pytest.mark.parametrize("kind", ["mad", "auto", "seasonal", "ewma", "forecast"])
@pytest.mark.parametrize("begin", [NOW, NOW - 20])
def test_live_scores_are_those_of_a_replay_of_past_and_present(kind: str, begin: int) -> None:
    """Of the very next sample on, of a gauge and of a counter, whether their series were met before or not.

    Replayed is what ``detect`` and ``preview`` answer.
    """
    params = {"window": 60} if kind == "mad" else {}
    detector = config(kind, SELECTOR, shape="auto", params=params, quiet_s=120.0)
    log = trained(detector, begin)
    block = Told(log)
    told = Trainings(block).take(log.chunks())
    assert parts(told)[-1].state is PartState.DONE
    for at, name in enumerate(NAMES):
        times_ms = START_MS + 1000 * STEP_S * np.arange(STEPS)
        frame = Frame(times_ms, VALUES[:, at : at + 1], np.ones((STEPS, 1), np.bool_), [{"__name__": name}])
        expected = replay(detector, frame).scored.score[NOW:]
        live = [block.scores[name, time_ms] for time_ms in times_ms[NOW:].tolist()]
        assert np.isfinite(live).all()
        np.testing.assert_array_equal(live, expected)


def test_nothing_is_told_of_the_past_and_the_next_anomaly_is() -> None:
    detector = config("mad", SELECTOR, shape="auto", params={"window": 60}, quiet_s=120.0)
    trainings, told = run(trained(detector))
    assert {event.start_ms for event in anomalies(told)} >= {START_MS + 1000 * STEP_S * (NOW + 1)}
    assert min(event.start_ms for event in anomalies(told)) >= START_MS + 1000 * STEP_S * NOW
    said = parts(told)
    assert [part.state for part in said] == [PartState.LEARNING] * (1 + NOW // PIECE) + [PartState.DONE]
    assert said[0].key == f"training/{ID}/0".encode()
    done = said[-1]
    assert (done.samples, done.ahead, done.series, done.replaced) == (2 * NOW, 0, 2, 2)
    assert not trainings.running
    assert trainings.block.counts["trainings_done"] == 1
    assert trainings.block.counts["trained_samples"] == 2 * NOW


@pytest.mark.parametrize("kind", ["mad", "auto", "missing", "river"])
def test_killed_anywhere_in_the_middle_it_goes_on_from_its_snapshot(kind: str) -> None:
    params = {"window": 60} if kind == "mad" else {}
    detector = config(kind, SELECTOR, shape="auto" if kind != "missing" else "raw", params=params, quiet_s=120.0)
    log = trained(detector, NOW - 3)
    chunks = log.chunks()
    whole = Trainings(log.block())
    told = whole.take(chunks)
    for point in (5, 9, 14, len(chunks) - STEPS + NOW, len(chunks) - 2 * (STEPS - NOW)):
        before = Trainings(log.block())
        out = before.take(chunks[:point])
        after = load_trained(save_trained(before), log.block())
        out += after.take(chunks[point:])
        assert out == told, f"killed after {point} chunks"
        if kind != "river":  # equal models need not have equal bytes
            assert save(after.block) == save(whole.block)


def test_it_does_not_matter_how_the_log_is_cut() -> None:
    detector = config("mad", SELECTOR, shape="auto", params={"window": 60}, quiet_s=120.0)
    log = trained(detector, NOW - 3)
    told = run(log)[1]
    one_by_one = Trainings(log.block())
    assert [record for chunk in log.chunks() for record in one_by_one.take([chunk])] == told


def test_other_detectors_say_what_they_say_without_it() -> None:
    detector = config("mad", SELECTOR, shape="auto", params={"window": 60}, quiet_s=120.0)
    logs = []
    for with_history in (True, False):
        log = begin_with(detector)
        log.detector("e", config("zscore", "m", params={"window": 30}, quiet_s=60.0, threshold=2.0))
        log.control(STEP_S * NOW - 1)
        send_live(log, NOW, NOW + 50)
        if with_history:
            records, samples = send_history(log, detector)
            log.mark(ID, TrainingEnd(records=records, samples=samples))
        send_live(log, NOW + 50)
        logs.append(log)
    told = [[event for event in anomalies(run(log)[1]) if event.detector.id == "e"] for log in logs]
    assert told[0] == told[1] != []


def interrupted(log: Log, detector: DetectorConfig) -> None:
    log.records.pop()
    log.mark(ID, TrainingEnd(records=NOW // PIECE, samples=2 * NOW))


def changed(log: Log, detector: DetectorConfig) -> None:
    log.detector("d", detector.model_copy(update={"threshold": 9.5}))


def stopped(log: Log, detector: DetectorConfig) -> None:
    log.detector("d", detector.model_copy(update={"enabled": False}))


def deleted(log: Log, _detector: DetectorConfig) -> None:
    log.detector("d", None)


def abandoned(log: Log, _detector: DetectorConfig) -> None:
    log.control(STEP_S * NOW + ABANDONED_MS / 1000 + 1)


def cancelled(log: Log, _detector: DetectorConfig) -> None:
    log.mark(ID, TrainingCancel(reason="nobody wants it"))


@pytest.mark.parametrize(
    ("happens", "state", "says"),
    [
        (interrupted, PartState.FAILED, "interrupted: 11 of 12 records came with 1100 of 1200 samples"),
        (changed, PartState.FAILED, "revision 2 of the detector computes something else than revision 1"),
        (stopped, PartState.FAILED, "the detector is stopped since revision 2"),
        (deleted, PartState.FAILED, "the detector was deleted meanwhile"),
        (abandoned, PartState.FAILED, "given up: nothing came for 300 s, and no end"),
        (cancelled, PartState.CANCELLED, "nobody wants it"),
    ],
)
def test_what_does_not_end_well_leaves_all_as_it_was(
    happens: Callable[[Log, DetectorConfig], None], state: PartState, says: str
) -> None:
    detector = config("mad", SELECTOR, shape="auto", params={"window": 60}, quiet_s=120.0)
    logs = [begin_with(detector), begin_with(detector)]
    for log in logs:
        send_live(log, NOW - 10, NOW)
    send_history(logs[0], detector)
    for log in logs:
        happens(log, detector)
        log.control(STEP_S * NOW + 600)
    learning, nothing = run(logs[0]), run(logs[1])
    told = parts(learning[1])[-1]
    assert told.state is state
    assert says in told.reason
    assert (told.replaced, learning[0].running) == (0, {})
    assert save(learning[0].block) == save(nothing[0].block)
    assert learning[0].block.counts[f"trainings_{state}"] == 1


def test_a_new_name_does_not_end_it() -> None:
    detector = config("mad", SELECTOR, shape="auto", params={"window": 60}, quiet_s=120.0)
    log = begin_with(detector)
    records, samples = send_history(log, detector)
    log.detector("d", detector.model_copy(update={"name": "renamed"}))
    log.control(STEP_S * NOW)
    log.mark(ID, TrainingEnd(records=records, samples=samples))
    assert last_of(log).state is PartState.DONE


def test_the_end_waits_for_the_revision_that_is_to_learn() -> None:
    detector = config("mad", SELECTOR, shape="auto", params={"window": 60}, quiet_s=120.0)
    log = Log()
    log.control(STEP_S * NOW - 1)
    records, samples = send_history(log, detector)
    log.mark(ID, TrainingEnd(records=records, samples=samples))
    trainings = Trainings(log.block())
    chunks = log.chunks()
    assert parts(trainings.take(chunks))[-1].state is PartState.LEARNING
    again = load_trained(save_trained(trainings), log.block())
    log.detector("d", detector)
    log.control(STEP_S * NOW)
    (done,) = parts(again.take(log.chunks()[len(chunks) :]))
    assert (done.state, done.replaced) == (PartState.DONE, 2)


def test_a_revision_that_never_comes_is_not_waited_for_for_ever() -> None:
    detector = config("mad", SELECTOR, params={"window": 60})
    log = Log()
    log.control(STEP_S * NOW - 1)
    records, samples = send_history(log, detector)
    log.mark(ID, TrainingEnd(records=records, samples=samples))
    log.control(STEP_S * NOW + 400)
    assert last_of(log).reason == "given up: revision 1 of the detector has not come"


def test_a_repeated_beginning_keeps_it_alive() -> None:
    detector = config("mad", SELECTOR, shape="auto", params={"window": 60})
    log = begin_with(detector)
    records, samples = send_history(log, detector)
    for later_s in range(250, 1500, 250):
        log.control(STEP_S * NOW + later_s)
        log.mark(ID, TrainingBegin(detector=as_it_stands(detector), again=True))
    log.mark(ID, TrainingEnd(records=records, samples=samples))
    assert last_of(log).state is PartState.DONE


def test_a_repeated_beginning_does_not_revive_what_has_failed() -> None:
    detector = config("mad", SELECTOR, shape="auto", params={"window": 60})
    log = begin_with(detector)
    records, samples = send_history(log, detector)
    abandoned(log, detector)
    log.mark(ID, TrainingBegin(detector=as_it_stands(detector), again=True))
    log.mark(ID, TrainingEnd(records=records, samples=samples))
    trainings, told = run(log)
    assert (parts(told)[-1].state, trainings.running) == (PartState.FAILED, {})
    assert trainings.block.counts["training_records_unknown"] == 1


def test_a_newer_version_that_refuses_the_detector_fails_its_training_alone() -> None:
    """The other one goes on, and so does the flow."""
    refused = config("mad", SELECTOR, shape="auto", params={"window": 60})
    log = begin_with(refused)
    taken = config("zscore", SELECTOR, shape="auto", params={"window": 60})
    log.detector("e", taken)
    log.control(STEP_S * NOW - 1)
    records, samples = send_history(log, refused)
    other = as_it_stands(taken).model_copy(update={"id": "e"})
    log.mark("t-00000000000000ee", TrainingBegin(detector=other), "e")
    before = Trainings(log.block())
    before.take(log.chunks())
    met = len(log.chunks())

    def newer(detector: Detector) -> CompiledDetector:
        if detector.config.kind == "mad":
            raise ConfigError(field="kind", value="mad", expected="must be something better")
        return compile_config(detector)

    after = load_trained(save_trained(before), Block(TOPICS, BlockLimits(), log.read_revisions, newer))
    log.mark(ID, TrainingEnd(records=records, samples=samples))
    log.mark("t-00000000000000ee", TrainingEnd(records=0, samples=0), "e")
    failed, done = parts(after.take(log.chunks()[met:]))
    assert (failed.training_id, failed.state) == (ID, PartState.FAILED)
    assert failed.reason == ("this version of Tocsin refuses the detector: kind = 'mad': must be something better")
    assert (done.training_id, done.state, after.running) == ("t-00000000000000ee", PartState.DONE, {})


def without_time(log: Log) -> DetectorConfig:
    del log.records[:]
    return config()


def unknown_kind(_log: Log) -> DetectorConfig:
    return config().model_copy(update={"kind": "mda"})


def too_many(log: Log) -> DetectorConfig:
    for number in range(MAX_TRAININGS):
        log.mark(f"t-{number:016x}", TrainingBegin(detector=as_it_stands(config())))
    return config()


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (without_time, "no control record has told this partition the time yet"),
        (unknown_kind, "kind = 'mda'"),
        (too_many, "4 trainings run on this partition, the most that there may be"),
    ],
)
def test_what_cannot_begin_is_refused_and_what_follows_ignored(
    prepare: Callable[[Log], DetectorConfig], says: str
) -> None:
    log = begin_with(config())
    detector = as_it_stands(prepare(log))
    log.mark(ID, TrainingBegin(detector=detector))
    log.history(ID, detector, ({"__name__": "m"}, [(0.0, 1.0)]))
    log.mark(ID, TrainingEnd(records=1, samples=1))
    log.mark(ID, TrainingCancel(reason=""))
    trainings, told = run(log)
    (refused,) = [part for part in parts(told) if part.training_id == ID]
    assert (refused.state, ID in trainings.running) == (PartState.FAILED, False)
    assert says in refused.reason
    assert trainings.block.counts["trainings_refused"] == 1
    assert trainings.block.counts["training_records_unknown"] == 1


@pytest.mark.parametrize(
    ("bound", "most", "says"),
    [("MAX_SERIES", 1, "more than 1 series on a partition"), ("MAX_SAMPLES", 150, "more than 150 samples")],
)
def test_its_bounds_end_it(monkeypatch: pytest.MonkeyPatch, bound: str, most: int, says: str) -> None:
    monkeypatch.setattr(training, bound, most)
    detector = config("mad", SELECTOR, shape="auto", params={"window": 60})
    log = begin_with(detector)
    send_history(log, detector)
    trainings, told = run(log)
    assert parts(told)[-1].state is PartState.FAILED
    assert says in parts(told)[-1].reason
    assert not trainings.running


def two_trainings() -> tuple[Log, str]:
    """A second one begins when the first has learned all."""
    first = config("mad", SELECTOR, shape="auto", params={"window": 60})
    second, other_id = config("mad", SELECTOR, shape="auto", params={"window": 61}), "t-00000000000000ee"
    log = begin_with(first)
    log.detector("e", second)
    log.control(STEP_S * NOW - 1)
    send_history(log, first)
    other = as_it_stands(second).model_copy(update={"id": "e"})
    log.mark(other_id, TrainingBegin(detector=other), "e")
    for step in range(0, 100, 10):
        log.history(other_id, other, ({"__name__": "m"}, [(STEP_S * at, 1.0) for at in range(step, step + 10)]))
    return log, other_id


def test_snapshots_have_room_for_so_much_and_the_one_that_exceeds_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    log, other_id = two_trainings()
    alone = Trainings(log.block())
    alone.take(log.chunks()[: 3 + NOW // PIECE])
    (training,) = alone
    room = training.warm.snapshot_bytes
    assert room >= len(training.warm.save()) - 6000, "the header is of the block, not of its series"
    monkeypatch.setattr("flows.training.MAX_SNAPSHOT_BYTES", room + 10)
    for restarted in (False, True):
        trainings, told = Trainings(log.block()), list[OutRecord]()
        for chunk in log.chunks():
            told += trainings.take([chunk])
            if restarted:
                trainings = load_trained(save_trained(trainings), log.block())
        failed = next(part for part in parts(told) if part.state is PartState.FAILED)
        assert (failed.training_id, failed.records) == (other_id, 1)
        assert f"more than {room + 10} bytes in a snapshot: train it again when others have ended" in failed.reason
        assert list(trainings.running) == [ID]


def test_a_training_that_learns_nothing_meanwhile_is_not_packed_again() -> None:
    log, other_id = two_trainings()
    trainings = Trainings(log.block())
    chunks = log.chunks()
    trainings.take(chunks[:-1])
    before = {one.id: one.warm.save() for one in trainings}
    trainings.take(chunks[-1:])
    after = {one.id: one.warm.save() for one in trainings}
    assert after[ID] is before[ID]
    assert after[other_id] != before[other_id]


def test_what_comes_live_is_not_learned_before() -> None:
    """Up to the sample met live last; of a series never met, up to log time."""
    detector = config("mad", SELECTOR, shape="raw", params={"window": 60})
    log = begin_with(detector)
    log.samples(({"__name__": "m"}, STEP_S * (NOW - 10), 1.0))
    records, samples = send_history(log, detector)
    source = as_it_stands(detector)
    log.history(ID, source, ({"__name__": "n_total"}, [(STEP_S * (NOW + 5), 1.0)]))
    log.mark(ID, TrainingEnd(records=records + 1, samples=samples + 1))
    done = last_of(log)
    assert (done.state, done.samples, done.ahead) == (PartState.DONE, 2 * NOW + 1, 9 + 1)


def test_series_of_long_ago_are_not_met_again() -> None:
    detector = config("mad", SELECTOR, shape="raw", params={"window": 60})
    log = begin_with(detector)
    source = as_it_stands(detector)
    log.mark(ID, TrainingBegin(detector=source))
    for name, end_s in (("m", STEP_S * NOW - 3700), ("n_total", STEP_S * NOW - 3500)):
        log.history(ID, source, ({"__name__": name}, [(end_s - STEP_S * at, 1.0) for at in range(80, 0, -1)]))
    log.mark(ID, TrainingEnd(records=2, samples=160))
    trainings, told = run(log)
    assert (parts(told)[-1].series, parts(told)[-1].replaced) == (2, 1)
    assert [trainings.block.series.labels_of(row)["__name__"] for row in trainings.block.series.live()] == ["n_total"]


def test_many_series_are_met_bit_by_bit_before_the_swap() -> None:
    """As live samples wait meanwhile; killed in between, it goes on."""
    detector = config("mad", SELECTOR, shape="raw", params={"window": 60})
    log = begin_with(detector)
    records, samples = send_history(log, detector)
    log.mark(ID, TrainingEnd(records=records, samples=samples))
    trainings = Trainings(log.block(max_work=WORK_PER_MET))
    told = parts(trainings.take(log.chunks()))
    known = [len(trainings.block.series)]
    for second in range(3):
        log.control(STEP_S * NOW + second)
        trainings = load_trained(save_trained(trainings), log.block(max_work=WORK_PER_MET))
        told += parts(trainings.take(log.chunks()[-1:]))
        known.append(len(trainings.block.series))
    assert known == [1, 2, 2, 2]
    assert [part.state for part in told[-2:]] == [PartState.LEARNING, PartState.DONE]
    assert told[-1].replaced == 2


def test_without_history_all_stays_as_it_is() -> None:
    detector = config("mad", SELECTOR, shape="auto", params={"window": 60})
    log = begin_with(detector)
    send_live(log, NOW - 10, NOW)
    before = save(run(log)[0].block)
    log.mark(ID, TrainingBegin(detector=as_it_stands(detector)))
    log.mark(ID, TrainingEnd(records=0, samples=0))
    trainings, told = run(log)
    assert (parts(told)[-1].state, parts(told)[-1].replaced) == (PartState.DONE, 0)
    assert save_trained(trainings) == before


def test_snapshots_of_another_version_are_refused() -> None:
    detector = config("mad", SELECTOR, params={"window": 60})
    log = begin_with(detector)
    log.mark(ID, TrainingBegin(detector=as_it_stands(detector)))
    raw = save_trained(run(log)[0])
    newer = raw.replace(b'{"version":1', b'{"version":9', 1)
    with pytest.raises(ValueError, match="trainings of version 9, this Tocsin reads version 1"):
        load_trained(newer, log.block())


def test_memory_is_told() -> None:
    detector = config("mad", SELECTOR, params={"window": 60})
    log = begin_with(detector)
    assert run(log)[0].size_bytes == 0
    send_history(log, detector)
    assert run(log)[0].size_bytes > 0
