from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from connectors.detector import Detector, Group
from connectors.reader import ReaderStats
from connectors.training import TrainingBegin, TrainingCancel
from flows.config import compile_config
from flows.decode import Decoder
from flows.limits import BlockLimits
from flows.merge import Merge, Running
from flows.readiness import Readiness, readiness_of
from flows.teller import Teller
from flows.training import Trainings
from flows.vitals import BEHIND_S, Stops, Vitals
from tests.streams import TOPICS, Log, busy_log, config

STATS = ReaderStats(
    queued_records=3, queued_bytes=400, lag_records=5, received_records_total=60, received_bytes_total=7000,
    full_waits_total=8, partitions=2,
)  # fmt: skip


def exposed(vitals: Vitals) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(vitals)
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_what_the_blocks_counted_is_summed() -> None:
    vitals = Vitals(Decoder(60, 100), lambda: STATS)
    blocks = [busy_log(seed, steps=50).run(max_series=4, max_episodes=1)[0] for seed in (0, 1)]
    vitals.blocks += blocks
    metrics = exposed(vitals)
    assert metrics["tocsin_flow_samples_total"] == sum(b.counts["samples"] for b in blocks) > 0
    assert metrics["tocsin_flow_judged_total"] == sum(b.counts["judged"] for b in blocks) > 0
    for reason in ("unlabelled", "too_old", "too_new", "out_of_order", "duplicate"):
        total = sum(b.intake.drops()[reason] for b in blocks)
        assert metrics[f'tocsin_flow_dropped_total{{reason="{reason}"}}'] == total
    opened = sum(b.counts["events_opened"] for b in blocks)
    assert metrics['tocsin_flow_events_total{event="opened"}'] == opened > 0
    assert metrics['tocsin_flow_poison_records_total{reason="poison"}'] > 0
    assert metrics['tocsin_flow_revisions_total{outcome="invalid"}'] == 2
    assert metrics["tocsin_flow_series_refused_total"] > 0
    assert metrics["tocsin_flow_episodes_refused_total"] == sum(b.episodes.refused for b in blocks) > 0
    assert metrics["tocsin_flow_series_gone_total"] == sum(b.counts["series_gone"] for b in blocks) > 0
    assert metrics["tocsin_flow_log_time_seconds"] == min(b.log_ms for b in blocks) / 1000


def test_what_is_told_is_counted() -> None:
    vitals, log = Vitals(Decoder(60, 100), lambda: STATS), busy_log(0, steps=40)
    block = log.block()
    block.teller = Teller()
    block.take(log.chunks()[:-1])
    told = block.tellings()
    vitals.blocks.append(block)
    metrics = exposed(vitals)
    assert metrics["tocsin_flow_status_told_total"] == len(told) > 0
    assert metrics["tocsin_flow_status_signals"] == len(block.teller.naming.heard) > 0


def test_what_is_held_is_shown() -> None:
    vitals, log = Vitals(Decoder(60, 100), lambda: STATS), busy_log(0, steps=40)
    block = log.block()
    block.take(log.chunks()[:-1])
    vitals.blocks.append(block)
    vitals.saved(block, 1000)
    vitals.saved(block, 1234)
    metrics = exposed(vitals)
    assert metrics["tocsin_flow_series"] == len(block.series) > 0
    assert metrics["tocsin_flow_lanes"] == len(block.watch.routes.lanes) > 0
    assert metrics["tocsin_flow_state_bytes"] == block.size_bytes
    assert metrics["tocsin_flow_snapshot_bytes"] == 1234


def test_trainings_are_counted() -> None:
    vitals, log = Vitals(Decoder(60, 100), lambda: STATS), Log()
    learner = Detector(id="d", revision=1, config=config(), author="test", updated_ms=0)
    log.control(0)
    for number in range(3):
        log.mark(f"t-{number:016x}", TrainingBegin(detector=learner))
        log.history(f"t-{number:016x}", learner, ({"__name__": "m"}, [(-1.0, 1.0), (0.0, 2.0)]))
    log.mark(f"t-{0:016x}", TrainingCancel(reason="enough"))
    log.history(f"t-{0:016x}", learner, ({"__name__": "m"}, [(-1.0, 1.0)]))
    trainings = Trainings(log.block())
    trainings.take(log.chunks())
    vitals.blocks.append(trainings.block)
    vitals.trainings.append(trainings)
    metrics = exposed(vitals)
    assert metrics["tocsin_flow_trainings_running"] == 2
    assert metrics['tocsin_flow_trainings_total{outcome="cancelled"}'] == 1
    assert metrics["tocsin_flow_trained_samples_total"] == 6
    assert metrics["tocsin_flow_training_records_unknown_total"] == 1
    assert metrics["tocsin_flow_training_bytes"] == trainings.size_bytes > 0


def test_what_still_warms_up_is_shown_by_detector() -> None:
    log = Log()
    log.detector("long", config(params={"window": 60}))
    log.detector("short", config(params={"window": 5}))
    log.detector("grouped", config(group=Group()))
    log.detector("other", config(selector="nothing"))
    log.control(0)
    for step in range(9):
        log.samples(*(({"__name__": "m", "n": str(n)}, step, 1.0) for n in range(3) if n or step < 2))
    log.control(61)
    block, _ = log.run()
    assert dict(block.readiness.items()) == {"long": Readiness(3, 3, 58), "short": Readiness(3, 1, 3)}
    vitals = Vitals(Decoder(60, 100), lambda: STATS)
    vitals.blocks += [block, block]
    metrics = {name: value for name, value in exposed(vitals).items() if "warming" in name}
    assert metrics == {
        'tocsin_flow_warming_up{detector="long"}': 6,
        'tocsin_flow_warming_up{detector="short"}': 2,
        'tocsin_flow_warming_up_samples{detector="long"}': 58,
        'tocsin_flow_warming_up_samples{detector="short"}': 3,
    }


def test_each_signal_says_what_it_still_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.readiness.MAX_NAMED", 3)
    log = Log()
    log.detector("long", config(params={"window": 60}))
    log.detector("short", config(params={"window": 5}))
    log.control(0)
    for step in range(9):
        log.samples(*(({"__name__": "m", "n": str(n)}, step, 1.0) for n in range(2) if n or step < 4))
    log.control(61)
    vitals = Vitals(Decoder(60, 100), lambda: STATS)
    vitals.blocks.append(log.run()[0])
    page = json.loads(vitals.readiness().encode())
    assert page == {
        "warming_up": 3,
        "signals": [
            {"detector": "long", "labels": {"__name__": "m", "n": "0"}, "says": "needs 56 more samples"},
            {"detector": "long", "labels": {"__name__": "m", "n": "1"}, "says": "needs 51 more samples"},
            {"detector": "short", "labels": {"__name__": "m", "n": "0"}, "says": "needs 1 more sample"},
        ],
    }
    monkeypatch.setattr("flows.readiness.MAX_NAMED", 1)
    assert [one.needs for one in readiness_of(vitals.blocks[0].watch).needing] == [56]


def test_the_reader_is_shown() -> None:
    metrics = exposed(Vitals(Decoder(60, 100), lambda: STATS))
    names = ("queue_records", "queue_bytes", "lag_records", "received_records_total", "received_bytes_total")
    assert [metrics[f"tocsin_flow_{name}"] for name in names] == [3, 400, 5, 60, 7000]
    assert metrics["tocsin_flow_full_waits_total"] == 8
    assert metrics["tocsin_flow_log_time_seconds"] == 0


def test_it_is_behind_while_records_wait_and_log_time_is_old() -> None:
    """Whatever the other parts say: half a minute late is no alarm any more."""
    log = Log()
    log.control(100.0)
    late, _ = log.run()
    log.control(160.0)
    current, _ = log.run()
    now_s = current.log_ms / 1000
    vitals = Vitals(Decoder(60, 100), lambda: STATS)
    assert vitals.behind_reason(now_s) == "", "nothing was read yet"
    vitals.blocks += [current, log.block()]
    assert vitals.behind_reason(now_s + BEHIND_S) == ""
    vitals.blocks.append(late)
    assert vitals.behind_reason(now_s) == "60 s behind: 5 records wait to be judged"
    assert vitals.behind_reason(now_s - 30.0) == ""
    idle = STATS._replace(lag_records=0)
    vitals.reader = lambda: idle
    assert vitals.behind_reason(now_s) == "", "nobody sends, so log time stands still"


def test_every_drop_and_every_metric_has_a_help_text() -> None:
    vitals = Vitals(Decoder(60, 100), lambda: STATS)
    vitals.blocks.append(Log().block())
    for metric in vitals.collect():
        assert metric.documentation
        assert metric.name.startswith("tocsin_flow_")


def test_a_stop_lasts_from_the_first_snapshot_of_an_epoch_to_the_next_batch() -> None:
    now = iter([10.0, 10.5, 20.0, 22.0])
    stops = Stops(lambda: next(now))
    stops.end()
    stops.begin()
    stops.begin()
    stops.end()
    stops.end()
    assert (stops.count, stops.total_s, stops.longest_s) == (1, 0.5, 0.5)
    stops.begin()
    stops.end()
    assert (stops.count, stops.total_s, stops.longest_s) == (2, 2.5, 2.0)


def test_what_merges_count_may_change_while_it_is_asked_about() -> None:
    class Growing(Counter[str]):
        """Another name comes whenever somebody walks through it, as the flow's thread may do."""

        def items(self) -> Any:
            for item in super().items():
                self[f"events_{len(self)}"] = 1
                yield item

        def copy(self) -> Any:
            """As it stands, in one go, as of every ``Counter``."""
            return Counter(dict(self))

    made = Detector(id="a", revision=1, config=config(group=Group()), author="", updated_ms=0)
    plan = compile_config(made).plan
    assert plan is not None
    merge = Merge(TOPICS, BlockLimits(), 1)
    merge.counts, merge.ended = Growing(steps=3), Growing(events_opened=1)
    block = merge.new_block(plan)
    block.counts = Growing(events_opened=2)
    merge.running = Running(0, 1, plan, block)
    vitals = Vitals(Decoder(60, 100), lambda: STATS)
    vitals.merges = [merge]
    counts = vitals.counts()
    assert (counts["merged_steps"], counts["events_opened"]) == (3, 3)


def test_a_merge_may_end_while_it_is_asked_about() -> None:
    """What it runs is there at one look and gone at the next, as the probes' thread may find it."""

    class Ending(Merge):
        looks = 0

        @property
        def running(self) -> Running | None:
            self.looks += 1
            return Running(0, 1, plan, Log().block()) if self.looks == 1 else None

        @running.setter
        def running(self, running: Running | None) -> None:
            """Nothing sets it here."""

        def block_counts(self) -> Counter[str]:
            return Counter()

    made = Detector(id="a", revision=1, config=config(group=Group()), author="", updated_ms=0)
    plan = compile_config(made).plan
    assert plan is not None
    vitals = Vitals(Decoder(60, 100), lambda: STATS)
    for ask in (vitals._state, lambda: vitals._bounds(Counter()), vitals._telling, vitals._readiness):
        vitals.merges = [Ending(TOPICS, BlockLimits(), 1)]
        list(ask())
