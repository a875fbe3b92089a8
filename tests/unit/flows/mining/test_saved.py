"""What counting and mining remember, as bytes and back."""

from __future__ import annotations

import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.messages import OutRecord
from flows.mining.count import Counting
from flows.mining.limits import MiningLimits
from flows.mining.miner import Miner
from flows.mining.numbers import Numbers
from flows.mining.saved import load_counting, load_miner, save_counting, save_miner
from flows.saved import SavedVersionError
from tests.logs import Mine, control, lines
from tests.series import START_MS
from tests.streams import TOPICS, Record

LIMITS = MiningLimits(max_patterns=12, max_lines=40, max_scopes=9, idle_s=300)
"""So few that all bounds are met."""
PARTITIONS, STEPS = 2, 80
WORDS = ["alpha", "beta", "gamma", "d\u00e9lta", "ERROR", "<*>", "warn"]


@cache
def log() -> list[Record]:
    """Both partitions: two tenants, many patterns, some soon forgotten; late lines, a gap, one that is behind."""
    rng, records = random.Random(7), list[Record]()
    for step in range(STEPS):
        at_ms = START_MS + LIMITS.step_ms * (step + (9 if step > 60 else 0))
        some = WORDS[step // 20 : step // 20 + 4]
        for partition in range(PARTITIONS):
            for tenant in ("t", "u"):
                said = [
                    (at_ms + rng.randrange(-15_000, 9_000), f"{rng.choice(some)} {rng.choice(some)} {rng.choice(some)}")
                    for _ in range(rng.randrange(4))
                ]
                app = rng.choice(["shop", "mail", "web"])
                records.append(lines({"app": app}, *said, tenant=tenant, partition=partition))
            if step % 17 == 3:
                records.append(Record(TOPICS.logs, partition, 0, b"anonymous", b"\xff\xff", []))
            if partition == 0 or not 30 < step < 40:
                records += [control(at_ms + 5000 * n, partition) for n in (1, 2)]
    return records


def new_counting() -> Counting:
    return Counting(TOPICS.dead_letter, LIMITS)


def new_miner() -> Miner:
    return Miner(Numbers(TOPICS.metrics, PARTITIONS, LIMITS), PARTITIONS, LIMITS)


def saved(mine: Mine) -> list[bytes]:
    return [*map(save_counting, mine.countings), save_miner(mine.miner)]


def resume(mine: Mine, *, reader_too: bool) -> None:
    """Everything from its bytes; the reader starts anew, and tells all lines once more."""
    *countings, miner = saved(mine)
    mine.countings = [load_counting(raw, new_counting()) for raw in countings]
    mine.miner = load_miner(miner, new_miner())
    if reader_too:
        mine.decoder = Mine(PARTITIONS, LIMITS).decoder


def run(resumed_at: frozenset[int] = frozenset(), *, reader_too: bool = False) -> tuple[list[OutRecord], Mine]:
    mine, out = Mine(PARTITIONS, LIMITS), list[OutRecord]()
    for n, record in enumerate(log()):
        if n in resumed_at:
            resume(mine, reader_too=reader_too)
        out += mine.take([record])
    return out, mine


@cache
def expected() -> tuple[list[OutRecord], list[bytes]]:
    out, mine = run()
    return out, saved(mine)


def test_the_log_meets_every_bound() -> None:
    _, mine = run()
    counts = mine.miner.counts
    assert min(counts[name] for name in ("patterns_refused", "patterns_forgotten", "lines_unmined", "scopes_refused"))
    assert mine.miner.lines.refused > 0
    assert min(mine.countings[0].counts[name] for name in ("dropped_late", "poison_poison")) > 0
    assert mine.miner.next_step > 0


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.frozensets(st.integers(0, 400), max_size=6))
def test_saved_and_loaded_at_any_point_it_tells_the_same_and_is_the_same(points: frozenset[int]) -> None:
    out, mine = run(points)
    assert out == expected()[0]
    assert saved(mine) == expected()[1]


def test_saved_and_loaded_after_every_record_it_tells_the_same() -> None:
    out, mine = run(frozenset(range(len(log()))))
    assert out == expected()[0]
    assert saved(mine) == expected()[1]


def test_what_was_loaded_saves_the_same_bytes_at_every_point() -> None:
    mine, waiting, texts, new = Mine(PARTITIONS, LIMITS), 0, 0, 0
    for record in log():
        mine.take([record])
        before = saved(mine)
        waiting, texts = max(waiting, len(mine.miner.waiting)), max(texts, len(mine.miner.texts))
        new = max(new, len(mine.countings[0].new))
        resume(mine, reader_too=False)
        assert saved(mine) == before
    assert min(waiting, texts, new) > 1, "steps that wait, and lines to be learned, were saved"


def test_what_was_saved_lives_on_its_own() -> None:
    """A snapshot is not the live object, nor is what was loaded of it."""
    mine = Mine(PARTITIONS, LIMITS)
    mine.take(log()[:200])
    before = saved(mine)
    copies = list(before)
    mine.take(log()[200:])
    assert before == copies
    assert saved(mine) != before


def test_another_reader_makes_nothing_new() -> None:
    """One that starts anew tells each line once more: nothing is born of those that are known, none counts twice."""
    roomy = MiningLimits(idle_s=300)
    totals = []
    for points in (frozenset[int](), frozenset({90, 150, 222})):
        mine = Mine(PARTITIONS, roomy)
        for n, record in enumerate(log()):
            if n in points:
                mine.decoder = Mine(PARTITIONS, roomy).decoder
            mine.take([record])
        patterns = [(one.scope, one.name, one.lines, one.born, one.surprise) for one in mine.miner.tree]
        totals.append((patterns, mine.miner.numbers.totals, mine.miner.counts))
    assert totals[0] == totals[1]


def test_nothing_at_all_can_be_saved() -> None:
    assert save_counting(load_counting(save_counting(new_counting()), new_counting())) == save_counting(new_counting())
    assert save_miner(load_miner(save_miner(new_miner()), new_miner())) == save_miner(new_miner())
    assert load_counting(save_counting(new_counting()), new_counting()).next_step is None


@pytest.mark.parametrize("raw", [b"TOCSINB0" + bytes(20), b""])
def test_what_is_no_snapshot_is_refused_by_name(raw: bytes) -> None:
    with pytest.raises(SavedVersionError, match="not a block snapshot"):
        load_counting(raw, new_counting())
    with pytest.raises(SavedVersionError, match="not a block snapshot"):
        load_miner(raw, new_miner())


def test_bytes_of_every_kind_come_back() -> None:
    """Labels and lines of any characters, as masks of lines have them."""
    mine = Mine(PARTITIONS, LIMITS)
    text = "".join(map(chr, [*range(1, 0x250), 0x1F600])).encode()
    said = [text[at : at + 50].decode(errors="ignore") for at in range(0, len(text), 50)]
    mine.take([control(START_MS), lines({"app": '\u00fc"\\\n'}, *((START_MS + 6000, line) for line in said))])
    before = saved(mine)
    resume(mine, reader_too=False)
    assert saved(mine) == before
    mine.take([control(START_MS + 30_000), control(START_MS + 30_000, 1)])
    before = saved(mine)
    resume(mine, reader_too=False)
    assert saved(mine) == before
    assert len(mine.miner.tree.patterns) > 5


def test_patterns_of_many_names_are_found_again() -> None:
    mine = Mine()
    users = [f"{a}{b}" for a in "klmnop" for b in "qrstu"]
    said = [(START_MS, f"user {name} logged in") for name in users]
    mine.take([control(START_MS), lines({"app": "shop"}, *said), control(START_MS + 15_000)])
    births = mine.miner.counts["births"]
    assert 1 < births < len(users)
    miner = Miner(Numbers(TOPICS.metrics, 1, MiningLimits()), 1, MiningLimits())
    mine.miner = load_miner(save_miner(mine.miner), miner)
    mine.take([lines({"app": "shop"}, (START_MS + 11_000, "user zz logged in")), control(START_MS + 25_000)])
    assert mine.miner.counts["births"] == births
    assert mine.miner.counts["lines_unmined"] == 0
