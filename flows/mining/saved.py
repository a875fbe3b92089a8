"""What counting and mining remember as bytes, and back. Versioned as blocks are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.mining.count import Counting, StepCounts
from flows.mining.levels import Level
from flows.mining.lines import NewLine
from flows.mining.miner import Miner
from flows.mining.novelty import Novelty
from flows.mining.numbers import Total
from flows.mining.regrid import Regrid
from flows.mining.scope import Scope, Service
from flows.mining.tree import Pattern
from flows.saved import Saved, pack, unpack

Flat = list[Any]


class Scopes:
    """Scopes by number, as they are met."""

    def __init__(self, saved: Iterable[Flat] = ()) -> None:
        self.all = [_scope(one) for one in saved]
        self._numbers = {scope: n for n, scope in enumerate(self.all)}

    def number(self, scope: Scope) -> int:
        """Of a scope; a new one if it was not met."""
        n = self._numbers.setdefault(scope, len(self.all))
        if n == len(self.all):
            self.all.append(scope)
        return n

    def flat(self) -> list[Flat]:
        """All of them."""
        return [[one.service.tenant, one.service.labels, one.level] for one in self.all]


def _scope(saved: Flat) -> Scope:
    tenant, labels, level = saved
    return Scope(
        Service(tenant, tuple((name, value) for name, value in labels)), None if level is None else Level(level)
    )


def save_counting(counting: Counting) -> bytes:
    """All that a replay needs of a partition."""
    scopes = Scopes()
    header = {
        "step_ms": counting.limits.step_ms, "log_ms": counting.log_ms, "next_step": counting.next_step,
        "counts": counting.counts, "unseen": counting.unseen,
        "open": [_save_step(step, counts, scopes) for step, counts in counting.open.items()],
        "told_ms": counting.told_ms, "new": _save_new(counting.new, scopes), "scopes": scopes.flat(),
    }  # fmt: skip
    return pack(header, {}, [one.text for one in counting.new])


def load_counting(raw: bytes, counting: Counting) -> Counting:
    """Fill a new one with what was saved; raises ``SavedVersionError``."""
    saved = unpack(raw)
    scopes = Scopes(saved.header["scopes"])
    counting.log_ms, counting.next_step = saved.header["log_ms"], saved.header["next_step"]
    counting.told_ms, counting.unseen = saved.header["told_ms"], (*saved.header["unseen"],)
    counting.counts.update(saved.header["counts"])
    counting.open.update(_load_step(one, scopes) for one in saved.header["open"])
    counting.new.extend(_load_new(saved.header["new"], saved.blobs, scopes))
    if saved.header["step_ms"] != counting.limits.step_ms:
        Regrid(saved.header["step_ms"], counting.limits.step_ms).counting(counting)
    return counting


def save_miner(miner: Miner) -> bytes:
    """All that a replay needs of what all partitions said."""
    scopes, numbers, texts = Scopes(), miner.numbers, list[bytes]()
    patterns = [
        [one.number, scopes.number(one.scope), len(one.words), one.name, one.lines, one.born, one.seen, one.surprise]
        for one in miner.tree
    ]  # fmt: skip
    words = list(chain.from_iterable(chain(one.gaps, one.words) for one in miner.tree))
    waiting = [
        [step, [[at, _save_step(step, counts, scopes)] for at, counts in told.items()]]
        for step, told in miner.waiting.items()
    ]
    new = []
    for step, told in miner.texts.items():
        for at, lines in told.items():
            new.append([step, at, _save_new(lines, scopes)])
            texts += [line.text for line in lines]
    header = {
        "step_ms": miner.limits.step_ms, "told": miner.told, "next_step": miner.next_step,
        "counts": miner.counts, "refused": miner.lines.refused,
        "next_number": miner.tree.next_number, "patterns": patterns, "waiting": waiting, "new": new,
        "totals": [[scopes.number(scope), one.lines, one.size, one.seen] for scope, one in numbers.totals.items()],
        "novelties": [[scopes.number(Scope(one, None)), *astuple(its)] for one, its in numbers.novelties.items()],
        "numbers": [[key, *told] for key, told in numbers.told.items()], "scopes": scopes.flat(),
    }  # fmt: skip
    known = miner.lines
    arrays: dict[str, NDArray[Any]] = {
        "lines": np.fromiter(known.patterns, np.uint64, len(known)),
        "of": np.fromiter(known.patterns.values(), np.int32, len(known)),
        "seen": np.fromiter(known.seen.values(), np.int64, len(known)),
    }
    return pack(header, arrays, [*words, *texts])


def load_miner(raw: bytes, miner: Miner) -> Miner:
    """Fill a new one with what was saved; raises ``SavedVersionError``."""
    saved = unpack(raw)
    header, scopes, blobs = saved.header, Scopes(saved.header["scopes"]), iter(saved.blobs)
    miner.told[: len(header["told"])] = header["told"][: len(miner.told)]
    miner.next_step, miner.lines.refused = header["next_step"], header["refused"]
    miner.counts.update(header["counts"])
    for number, at, words, *rest in header["patterns"]:
        gaps = _some(blobs, words + 1)
        miner.tree.add(Pattern(number, scopes.all[at], gaps, list(_some(blobs, words)), *rest))
    miner.tree.next_number = header["next_number"]
    for step, told in header["waiting"]:
        miner.waiting[step] = {at: _load_step(one, scopes)[1] for at, one in told}
    for step, at, lines in header["new"]:
        miner.texts.setdefault(step, {})[at[0], at[1]] = tuple(_load_new(lines, list(_some(blobs, len(lines))), scopes))
    miner.numbers.totals.update((scopes.all[at], Total(*rest)) for at, *rest in header["totals"])
    miner.numbers.novelties.update((scopes.all[at].service, Novelty(*rest)) for at, *rest in header["novelties"])
    miner.numbers.told.update((tuple(key), (step, value)) for key, step, value in header["numbers"])
    _load_lines(saved, miner)
    if header["step_ms"] != miner.limits.step_ms:
        Regrid(header["step_ms"], miner.limits.step_ms).miner(miner)
    return miner


def _load_lines(saved: Saved, miner: Miner) -> None:
    lines = saved.arrays["lines"].tolist()
    miner.lines.patterns.update(zip(lines, saved.arrays["of"].tolist(), strict=True))
    miner.lines.seen.update(zip(lines, saved.arrays["seen"].tolist(), strict=True))


def _some(blobs: Iterator[bytes], n: int) -> tuple[bytes, ...]:
    return tuple(islice(blobs, n))


def _save_step(step: int, counts: StepCounts, scopes: Scopes) -> Flat:
    return [
        step, [[scopes.number(scope), *told] for scope, told in counts.scopes.items()], list(counts.lines.items()),
    ]  # fmt: skip


def _load_step(saved: Flat, scopes: Scopes) -> tuple[int, StepCounts]:
    step, told, lines = saved
    return step, StepCounts({scopes.all[at]: (n, size) for at, n, size in told}, dict(lines))


def _save_new(new: Sequence[NewLine], scopes: Scopes) -> list[Flat]:
    return [[one.line, scopes.number(one.scope)] for one in new]


def _load_new(saved: Iterable[Flat], texts: Sequence[bytes], scopes: Scopes) -> list[NewLine]:
    return [NewLine(line, scopes.all[at], text) for (line, at), text in zip(saved, texts, strict=True)]
