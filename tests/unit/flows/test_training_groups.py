"""A detector with groups learns the past of their values, and judges the next step as if it had met all of it live."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from connectors.detector import Aggregate, Detector, DetectorConfig, Group, Shape
from connectors.messages import OutRecord
from connectors.training import NO_LABELS, PartState, TrainingBegin, TrainingEnd, TrainingPart
from flows.block import Block
from flows.chunks import Chunk
from flows.frame import Frame
from flows.group import GroupPlan
from flows.learned import Learned
from flows.limits import BlockLimits
from flows.merge import Merge
from flows.replay import replay
from flows.saved_merge import load_merge, save_merge
from flows.saved_trainings import load_trained, save_trained
from flows.training import Trainings
from flows.validator import ConfigError
from tests.groups import sharing_logs
from tests.series import START_MS
from tests.streams import TOPICS, Log, anomalies, config, sample_bits

ID = "t-0123456789abcdef"
STEP_S, STEP_MS = 15, 15_000
FIRST = -(-START_MS // STEP_MS)
OFFSET_S = FIRST * STEP_S - START_MS / 1000
NOW, STEPS, BEGUN, PIECE = 200, 230, 190, 50
"""Steps: up to NOW is the past, at BEGUN the detector that is trained is created."""
PARTITIONS, HOME = 2, 1
Scores = dict[tuple[tuple[tuple[str, str], ...], int], tuple[float, float]]
"""Value and score by labels and step."""


def values_of(metric: str) -> np.ndarray[Any, Any]:
    """Two jobs of two members each, which break in the past and now; (STEPS, 4)."""
    rng = np.random.default_rng(7)
    values = rng.normal(10.0, 1.0, (STEPS, 4))
    for at in (100, NOW + 1, NOW + 15):
        values[at : at + 3, :2] += 20.0
    return np.cumsum(STEP_S * values, axis=0) if metric.endswith("_total") else values


def labels_of(metric: str, member: int) -> dict[str, str]:
    return {"__name__": metric, "inst": str(member), "job": "ab"[member // 2]}


def time_s(step: int) -> float:
    return OFFSET_S + STEP_S * step


class Told(Merge):
    """A merge that keeps the verdicts on groups."""

    def __init__(self, scores: Scores) -> None:
        super().__init__(TOPICS, BlockLimits(), PARTITIONS)
        self.scores = scores

    def new_block(self, plan: GroupPlan) -> Block:
        block = super().new_block(plan)
        follow = block.follow

        def noted(lanes: Any, entries: Any, times_ms: Any, judged: Any, steps_s: Any, out: list[OutRecord]) -> None:
            rows = block.watch.routes.entries["row"][entries].tolist()
            told = zip(rows, times_ms.tolist(), judged.values.tolist(), judged.scored.score.tolist(), strict=True)
            for row, time_ms, value, score in told:
                labels = tuple(sorted(block.series.labels_of(row).items()))
                self.scores[labels, time_ms // STEP_MS - FIRST] = value, score
            follow(lanes, entries, times_ms, judged, steps_s, out)

        block.follow = noted  # type: ignore[method-assign]
        return block


class Flow:
    """Two partitions with their trainings, and the merge of the one detector."""

    def __init__(self, logs: Sequence[Log]) -> None:
        self.logs, self.scores, self.out = logs, Scores(), list[OutRecord]()
        self.trainings = [Trainings(log.block()) for log in logs]
        self.merge = Told(self.scores)

    def take(self, partition: int, chunks: Iterable[Chunk]) -> None:
        self.out += self.trainings[partition].take(chunks)
        self.out += self.merge.take((partition, part) for part in self.trainings[partition].block.parts())

    def restart(self) -> None:
        saved = [save_trained(one) for one in self.trainings]
        self.trainings = [load_trained(raw, log.block()) for raw, log in zip(saved, self.logs, strict=True)]
        merge = Told(self.scores)
        load_merge(save_merge(self.merge), merge)
        self.merge = merge

    def run(self, seed: int = 1, restarts: float = 0.0) -> Flow:
        """All records, the partitions read in any order; now and then a restart."""
        rng, chunks, at = np.random.default_rng(seed), [log.chunks() for log in self.logs], [0, 0]
        while any(i < len(mine) for i, mine in zip(at, chunks, strict=True)):
            p = int(rng.integers(PARTITIONS))
            n = int(rng.integers(1, 12))
            self.take(p, chunks[p][at[p] : at[p] + n])
            at[p] += n
            if rng.random() < restarts:
                self.restart()
        return self

    def parts(self) -> list[TrainingPart]:
        return [TrainingPart.decode(one.value or b"") for one in self.out if one.topic == TOPICS.status]


def send_live(logs: Sequence[Log], metric: str, begin: int, end: int) -> None:
    values = values_of(metric)
    for step in range(begin, end):
        for p, log in enumerate(logs):
            log.samples(*((labels_of(metric, n), time_s(step), values[step, n]) for n in range(p, 4, PARTITIONS)))
            log.control(time_s(step) + 6)


def whole(detector: DetectorConfig, metric: str) -> Flow:
    """The same detector, there from the first step on."""
    return _whole(detector.model_dump_json(), metric)


@cache
def _whole(config_json: str, metric: str) -> Flow:
    detector = DetectorConfig.model_validate_json(config_json)
    logs = sharing_logs(PARTITIONS)
    logs[0].detector("d", detector)
    for log in logs:
        log.control(time_s(-20))
    send_live(logs, metric, 0, STEPS)
    return Flow(logs).run()


def trained(
    detector: DetectorConfig, metric: str, past: Scores, begun: int = BEGUN, signal: Shape | None = None
) -> Flow:
    """It is created at ``begun``, and knows the steps before NOW from a training that ends there."""
    logs = sharing_logs(PARTITIONS)
    send_live(logs, metric, 0, begun)
    logs[0].detector("d", detector)
    send_live(logs, metric, begun, NOW)
    source = Detector(id="d", revision=1, config=detector, author="test", updated_ms=0)
    home = logs[HOME]
    home.mark(ID, TrainingBegin(detector=source, signal=signal))
    steps = sorted({step for _, step in past if step < NOW})
    sent = [0, 0]
    for first in range(0, len(steps), PIECE):
        told: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
        for labels, step in past:
            if step in steps[first : first + PIECE] and not np.isnan(past[labels, step][0]):
                told.setdefault(labels, []).append((time_s(step), past[labels, step][0]))
        home.history(ID, source, *((dict(labels) or NO_LABELS, samples) for labels, samples in told.items()))
        sent = [sent[0] + 1, sent[1] + sum(map(len, told.values()))]
    home.mark(ID, TrainingEnd(records=sent[0], samples=sent[1]))
    send_live(logs, metric, NOW, STEPS)
    return Flow(logs)


def grouped(kind: str, shape: Shape = Shape.RAW, **group: Any) -> DetectorConfig:
    params = {"mad": {"window": 60}, "outlier": {"min_members": 4}}.get(kind, {})
    fields = {"params": params, "quiet_s": 60.0, "shape": shape, "group": Group(**{"by": ("job",), **group})}
    return config(kind, "m_total" if shape is Shape.RATE else "m", **fields)


def live(scores: Scores) -> Scores:
    return {key: told for key, told in scores.items() if key[1] >= NOW}


AGGREGATES = [
    grouped("mad"),
    grouped("auto", aggregate=Aggregate.AVG),
    grouped("ewma", aggregate=Aggregate.QUANTILE, q=0.5),
    grouped("seasonal", aggregate=Aggregate.MAX, by=()),
    grouped("mad", Shape.RATE),
    grouped("mad", denominator='m{job=~"a|b"}'),
    grouped("missing", aggregate=Aggregate.COUNT).model_copy(update={"shape": Shape.AUTO}),
]


@pytest.mark.parametrize("detector", AGGREGATES, ids=lambda one: f"{one.kind}-{one.group.aggregate}-{one.shape}")
def test_the_next_steps_are_judged_as_if_all_had_come_live(detector: DetectorConfig) -> None:
    """And as a replay of the groups' values judges them, which is what ``preview`` answers."""
    metric = "m_total" if detector.shape is Shape.RATE else "m"
    expected = whole(detector, metric)
    flow = trained(detector, metric, expected.scores).run()
    assert flow.parts()[-1].state is PartState.DONE, flow.parts()[-1]
    assert flow.parts()[-1].replaced == len({labels for labels, _ in expected.scores})
    assert live(flow.scores) == live(expected.scores)
    scores = np.array([score for _, score in live(flow.scores).values()])
    assert len(scores) >= STEPS - NOW
    assert np.isfinite(scores).all()
    if detector.kind == "missing":
        return
    for labels in {labels for labels, _ in expected.scores}:
        told = sorted((step, value) for (of, step), (value, _) in expected.scores.items() if of == labels)
        times_ms = np.array([(FIRST + step) * STEP_MS for step, _ in told])
        values = np.array([[value] for _, value in told])
        alone = detector.model_copy(update={"group": None, "shape": Shape.RAW})
        again = replay(alone, Frame(times_ms, values, np.ones(values.shape, np.bool_), [{"__name__": "g"}]))
        mine = [flow.scores[labels, step][1] for step, _ in told if step >= NOW]
        np.testing.assert_array_equal(again.scored.score[-len(mine) :], mine)


def members(kind: str) -> DetectorConfig:
    return grouped(kind, aggregate=Aggregate.MEMBERS, by=()).model_copy(update={"threshold": 1.0})


@pytest.mark.parametrize("kind", ["auto", "mad", "outlier", "river"])
def test_members_that_are_judged_together_are_learned_together(kind: str) -> None:
    detector = members(kind)
    expected = whole(detector, "m")
    past: Scores = {
        (tuple(sorted(labels_of("m", n).items())), step): (value, 0.0)
        for step, row in enumerate(values_of("m"))
        for n, value in enumerate(row.tolist())
    }
    flow = trained(detector, "m", past).run()
    assert flow.parts()[-1].state is PartState.DONE, flow.parts()[-1]
    np.testing.assert_equal(live(flow.scores), live(expected.scores))
    scores = [score for _, score in live(flow.scores).values()]
    assert np.isfinite(scores).sum() >= STEPS - NOW


@pytest.mark.parametrize(
    "detector", [AGGREGATES[0], members("outlier"), members("auto")], ids=["sum", "outlier", "auto"]
)
def test_order_of_partitions_and_restarts_change_nothing_and_the_past_is_told_to_nobody(
    detector: DetectorConfig,
) -> None:
    past = whole(AGGREGATES[0], "m").scores
    if detector.group is not None and detector.group.aggregate is Aggregate.MEMBERS:
        past = {
            (tuple(sorted(labels_of("m", n).items())), step): (float(row[n]), 0.0)
            for step, row in enumerate(values_of("m"))
            for n in range(4)
        }
    flows = [trained(detector, "m", past).run(seed, restarts) for seed, restarts in ((1, 0.0), (2, 0.0), (3, 0.3))]
    for flow in flows:
        np.testing.assert_equal(live(flow.scores), live(flows[0].scores))
        assert flow.parts()[-1] == flows[0].parts()[-1]
        events = anomalies(flow.out)
        assert all(event.start_ms >= (FIRST + NOW) * STEP_MS for event in events)
        assert events or detector.kind == "auto", "an entity has learned too little to alarm"
        assert {event.id for event in events} == {event.id for event in anomalies(flows[0].out)}


def test_a_detector_created_just_now_judges_its_first_step() -> None:
    detector = AGGREGATES[0]
    flow = trained(detector, "m", whole(detector, "m").scores, begun=NOW).run()
    first = min(step for _, step in flow.scores)
    assert NOW <= first <= NOW + 5
    assert all(np.isfinite(score) for (_, step), (_, score) in flow.scores.items() if step == first)


def test_what_was_made_of_another_shape_is_not_put_to_use() -> None:
    detector = AGGREGATES[0].model_copy(update={"shape": Shape.AUTO})
    flow = trained(detector, "m", whole(detector, "m").scores, signal=Shape.RATE).run()
    assert flow.parts()[-1].state is PartState.FAILED
    assert "members are raw live and were rate in the history" in flow.parts()[-1].reason


def learned_of(detector: DetectorConfig) -> tuple[Flow, Learned]:
    """A flow that has read all, and what was handed over in it."""
    flow = trained(detector, "m", whole(detector, "m").scores)
    caught: list[Learned] = []
    take = flow.merge.take

    def catch(parts: Iterable[Any]) -> list[OutRecord]:
        parts = list(parts)
        caught.extend(part for _, part in parts if isinstance(part, Learned))
        return take(parts)

    flow.merge.take = catch  # type: ignore[method-assign]
    flow.run()
    return flow, caught[0]


def test_what_comes_too_late_or_to_a_version_that_refuses_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    flow, learned = learned_of(AGGREGATES[0])
    (other,) = flow.merge.take([(HOME, Learned(learned.detector, 7, *_rest(learned)))])
    assert "computes something else by now" in TrainingPart.decode(other.value or b"").reason

    def newer(_detector: Detector) -> Any:
        raise ConfigError(field="kind", value="mad", expected="must be better")

    monkeypatch.setattr("flows.merge.compile_config", newer)
    (refused,) = Told({}).take([(HOME, learned)])
    assert "this version of Tocsin refuses the detector" in TrainingPart.decode(refused.value or b"").reason


def _rest(learned: Learned) -> tuple[int, Shape | None, TrainingPart, bytes]:
    return learned.until, learned.signal, learned.report, learned.memory


@pytest.mark.parametrize("detector", [AGGREGATES[0], AGGREGATES[-1], members("auto")], ids=lambda one: one.kind)
def test_garbage_in_the_history_ends_nothing(detector: DetectorConfig) -> None:
    """Labels that are none, times that are no ends of steps, or before 1970: all of it is left out."""
    log = Log()
    log.detector("d", detector)
    log.control(time_s(NOW))
    source = Detector(id="d", revision=1, config=detector, author="test", updated_ms=0)
    log.mark(ID, TrainingBegin(detector=source))
    log.history(ID, source, ({"job": "a"}, [(time_s(1) + 0.5, 1.0), (-START_MS / 1000 - 15.0, 1.0), (time_s(2), 1.0)]))
    broken = b"\x0a\x06\x0a\x01\xff\x12\x01\xfe"
    good = dict(log.records[-1].headers)
    log.append(sample_bits(broken, START_MS + round(1000 * time_s(3)), 0), headers=list(good.items()))
    log.mark(ID, TrainingEnd(records=2, samples=4))
    trainings = Trainings(log.block())
    told = [TrainingPart.decode(one.value or b"") for one in trainings.take(log.chunks()) if one.topic == TOPICS.status]
    assert told[-1].state is PartState.LEARNING, told[-1]
    (learned,) = [part for part in trainings.block.parts() if isinstance(part, Learned)]
    assert (learned.report.samples, learned.report.ahead) == (4, 2)
