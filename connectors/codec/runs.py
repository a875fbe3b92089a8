"""A memory of label runs: senders repeat the same series in the same order, so the next one is guessed and compared.

A run is the label fields of one series as they stand. The memory holds the bytes of each run that was met, its hash,
and the run that came after it last time. A guess that holds costs one comparison of bytes and spares what a run costs
otherwise: the walk over its fields, their checks and the hash. What is found is the same with and without a memory.

Run 0 is the root: it has no bytes, comes before the first run, and means "none" as a guess.
"""

from __future__ import annotations

import numpy as np

from connectors.codec.varint import copy_bytes, kernel, read_byte, same_bytes

LABEL = 0x0A
"""Tag of a label field; one that follows the bytes of a known run makes it another run."""
FROM, HASH, SEED, NEXT = range(4)
"""Columns of ``runs`` (runs + 2, 4) int64. A run's bytes end where those of the next number begin."""
USED, BYTES, LAST, NEED = range(4)
"""``state``: runs, their bytes, the run met last, and the bytes of the first run without room, 0 if all had room."""
KNOWN, NEW, FULL = 0, 1, 2
BYTES_PER_RUN = 512
"""Bound of the bytes, as an average of all runs."""
FIRST_RUNS, FIRST_BYTES = 64, 16 * 1024


@kernel
def expected(buf, pos, end, seed, last, runs, arena, state):  # type: ignore[no-untyped-def]
    """Number of the run at ``pos`` if it is the one that came after run ``last`` before; else 0.

    ``buf[pos:end]`` is the rest of the series. The run then ends ``runs[n + 1, FROM] - runs[n, FROM]`` bytes on.
    """
    run = runs[last, NEXT]
    if run == 0 or run > state[USED] or runs[run, SEED] != np.int64(seed):
        return np.int64(0)
    start = runs[run, FROM]
    after = pos + runs[run + 1, FROM] - start
    if after > end or not same_bytes(arena, start, buf, pos, after - pos):
        return np.int64(0)
    return run if after == end or read_byte(buf, after) != LABEL else np.int64(0)


@kernel
def slot_of(digest, runs, slots):  # type: ignore[no-untyped-def]
    """Where the run with this hash stands in ``slots``, or would stand: open addressing, linear probing."""
    mask = len(slots) - 1
    at = np.int64(digest >> np.uint64(32)) & mask  # the low bits chose the partition
    while slots[at] != 0 and runs[slots[at], HASH] != np.int64(digest):
        at = (at + 1) & mask
    return at


@kernel
def learn(buf, pos, end, digest, seed, runs, slots, arena, state):  # type: ignore[no-untyped-def]
    """Remember that the run ``buf[pos:end]`` came now: KNOWN or NEW; or FULL, and nothing is changed."""
    if len(slots) == 0:
        return NEW
    at, status = slot_of(digest, runs, slots), KNOWN
    if slots[at] == 0:
        run, start = state[USED] + 1, state[BYTES]
        if run + 2 > len(runs) or end - pos > len(arena) - start:
            state[NEED] = state[NEED] if state[NEED] > 0 else end - pos
            return FULL
        copy_bytes(arena, start, buf, pos, end - pos)
        runs[run, FROM] = start
        runs[run, HASH] = np.int64(digest)
        runs[run, SEED] = np.int64(seed)
        runs[run, NEXT] = 0
        runs[run + 1, FROM] = state[BYTES] = start + end - pos
        slots[at] = state[USED] = run
        status = NEW
    runs[state[LAST], NEXT] = slots[at]
    state[LAST] = slots[at]
    return status


@kernel
def _enter_all(runs, slots, state):  # type: ignore[no-untyped-def]
    for run in range(1, state[USED] + 1):
        slots[slot_of(np.uint64(runs[run, HASH]), runs, slots)] = run


@kernel
def _forget(runs, slots, state, kept):  # type: ignore[no-untyped-def]
    """Take out all runs but the first ``kept``, latest first: so no gap is left that probing would stop at."""
    for run in range(state[USED], kept, -1):
        slots[slot_of(np.uint64(runs[run, HASH]), runs, slots)] = 0
    state[USED], state[BYTES], state[LAST] = kept, runs[kept + 1, FROM], 0


class Runs:
    """At most ``max_runs`` runs of ``BYTES_PER_RUN`` on average, cleared when full. Of use to one thread.

    With ``max_runs`` 0 nothing is remembered. The arrays are for kernels: ``expected`` and ``learn``.
    """

    def __init__(self, max_runs: int) -> None:
        self.max_runs = max_runs
        self.full_total = 0
        self.runs = np.zeros((2 + min(max_runs, FIRST_RUNS), 4), np.int64)
        self.slots = np.zeros(2 * FIRST_RUNS if max_runs else 0, np.int32)
        self.arena = np.empty(0, np.uint8)
        self.state = np.zeros(4, np.int64)

    def __len__(self) -> int:
        return int(self.state[USED])

    @property
    def size_bytes(self) -> int:
        """Memory of all arrays."""
        return self.runs.nbytes + self.slots.nbytes + self.arena.nbytes

    def make_room(self) -> None:
        """Grow if ``learn`` found no room for a run, or forget all at the bound and count it."""
        need = int(self.state[NEED])
        if need == 0:
            return
        most = BYTES_PER_RUN * self.max_runs
        if len(self) >= self.max_runs or self.state[BYTES] + need > most:
            self.clear()
            self.full_total += 1
        used, size = len(self), int(self.state[BYTES])
        if used + 3 > len(self.runs):
            more = min(self.max_runs - used, max(FIRST_RUNS, used // 16))
            self.runs = np.concatenate([self.runs, np.zeros((more, 4), np.int64)])
        if size + need > len(self.arena):
            more = max(need, min(max(FIRST_BYTES, size // 16), most - size))
            self.arena = np.concatenate([self.arena[:size], np.empty(more, np.uint8)])
        self.state[NEED] = 0
        if 2 * len(self.runs) > len(self.slots):
            self.slots = np.zeros(2 * len(self.slots), np.int32)
            _enter_all(self.runs, self.slots, self.state)

    def mark(self) -> tuple[int, int]:
        """What ``forget_since`` takes to come back to what is known now."""
        return self.full_total, len(self)

    def forget_since(self, mark: tuple[int, int]) -> None:
        """Forget the runs that were new since ``mark``; all, if there was no room for them meanwhile."""
        full_total, runs = mark
        if full_total != self.full_total:
            self.clear()
        elif runs < len(self):
            _forget(self.runs, self.slots, self.state, runs)

    def clear(self) -> None:
        """Forget everything, keep the room."""
        self.slots[:] = 0
        self.state[:] = 0
        self.runs[:2] = 0
