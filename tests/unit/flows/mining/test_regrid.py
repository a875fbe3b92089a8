"""Another length of steps after a restart: patterns and totals stay, and no sample is told of a time before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flows.mining.count import Counting
from flows.mining.limits import MiningLimits
from flows.mining.miner import Miner
from flows.mining.numbers import Numbers
from flows.mining.saved import load_counting, load_miner, save_counting, save_miner
from tests.logs import Mine, Told, control, lines, samples
from tests.series import START_MS
from tests.streams import TOPICS

LIMITS = MiningLimits()


def run(mine: Mine, begin_s: int, end_s: int) -> Told:
    """A line a second, and now and then one of another pattern."""
    out = []
    for second in range(begin_s, end_s):
        at_ms = START_MS + 1000 * second
        said = [(at_ms, f"took {second} ms"), *([(at_ms, "reloaded the rules")] if second % 100 == 50 else [])]
        out += mine.take([lines({"app": "shop"}, *said), control(at_ms + 1000)])
    return samples(out)


def restarted(mine: Mine, limits: MiningLimits) -> Mine:
    again = Mine(1, limits)
    (counting,) = mine.countings
    again.countings = [load_counting(save_counting(counting), Counting(TOPICS.dead_letter, limits))]
    again.miner = load_miner(save_miner(mine.miner), Miner(Numbers(TOPICS.metrics, 1, limits), 1, limits))
    return again


@pytest.mark.parametrize("step_ms", [1_000, 7_000, 10_000, 30_000, 300_000])
def test_counters_go_on_and_nothing_is_born_again(step_ms: int) -> None:
    mine = Mine(1, LIMITS)
    before = run(mine, 0, 1004)
    again = restarted(mine, replace(LIMITS, step_ms=step_ms))
    after = run(again, 1004, 3000)
    assert [pattern.name for pattern in again.miner.tree] == ["took <*> ms", "reloaded the rules"]
    assert not any(dict(labels).get("pattern") for labels in after if ("__name__", "log_pattern_novelty") in labels)
    for labels, series in before.items():
        if labels in after:
            told = [*series, *after[labels]]
            assert [time_ms for time_ms, _ in told] == sorted(time_ms for time_ms, _ in told)
            if ("__name__", "log_pattern_novelty") not in labels:
                assert [value for _, value in told] == sorted(value for _, value in told), "counters never fall"
    lost = again.countings[0].counts["dropped_regrid"] + again.miner.counts["stalled"]
    assert (lost > 0) == (step_ms != LIMITS.step_ms)
    assert lost < 30
    (novelty,), (old,) = again.miner.numbers.novelties.values(), mine.miner.numbers.novelties.values()
    assert novelty.births == old.births
    assert 0 <= old.first * LIMITS.step_ms - novelty.first * step_ms < step_ms
