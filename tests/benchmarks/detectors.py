"""``python -m tests.benchmarks.detectors [KIND …] [--json]``: what each kind of detector costs per signal.

Each kind by its default parameters, through the program that a block runs: shape, kernel, calibration. Gaussian noise
at a sample a minute, warmed up first; the signals come in turns, as scrapes do, so their memory is not in the caches.
Microseconds of CPU per sample; bytes of memory and of a snapshot per signal, the series itself and its labels not
counted; and what bounds the number of signals. Kinds for groups are given per member of groups of ``MEMBERS``.
``python`` is the time of a plain loop of Python on the same machine at the same moment: ratios to it travel.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from connectors.detector import Aggregate, Detector, DetectorConfig, Group, Shape
from flows.config import compile_config
from flows.detectors.base import Ints
from flows.detectors.registry import KINDS, Trait
from flows.detectors.river_models import MODELS
from flows.gathering import MAX_GROUPS
from flows.keys import MAX_KEYS
from flows.program import Program
from tests.benchmarks.load import START_MS

STEP_MS = 60_000
SIGNALS, MEASURED_STEPS = 5_000, 100
MEMBERS = 50
OBJECTS, OBJECT_STEPS, OBJECT_MEMBERS = 16, 60, 8
EXTRA_WARM_STEPS = 130
"""After the first score: windows are full, and calibration has looked at its counts."""
MOST_WARM_STEPS = 1_500
PLAIN_ROUNDS = 100_000


class Costs(NamedTuple):
    """Per signal."""

    us_per_sample: float
    memory_bytes: float
    snapshot_bytes: float
    bound: str


class Case(NamedTuple):
    """A kind with its parameters; ``members`` is 0 for a kind that judges single signals."""

    name: str
    kind: str
    params: Mapping[str, Any]
    members: int = 0


def cases() -> Iterator[Case]:
    """All registered kinds, each method and model of them that costs otherwise."""
    for kind, made in KINDS.items():
        if Trait.OBJECTS in made.traits:
            for model in MODELS:
                yield Case(f"{kind}: {model}", kind, {"model": model})
            for model, spec in MODELS.items():
                if spec.gaussian is None:
                    yield Case(f"{kind}: {model}, vectors of {OBJECT_MEMBERS}", kind, {"model": model}, OBJECT_MEMBERS)
        elif Trait.TOGETHER in made.traits:
            for method in ("mad", "density"):
                yield Case(f"{kind}: {method}, groups of {MEMBERS}", kind, {"method": method}, MEMBERS)
        else:
            yield Case(kind, kind, made.example)


def program_of(case: Case, signals: int) -> tuple[Program, Ints]:
    """The program as a block makes it, and the slots of its signals; of vectors, each entity is one more."""
    group = Group(by=["service"], aggregate=Aggregate.MEMBERS) if case.members else None
    config = DetectorConfig(
        name=case.name, kind=case.kind, selector="m", params=dict(case.params), shape=Shape.RAW, group=group
    )
    compiled = compile_config(Detector(id="d", revision=1, config=config, author="", updated_ms=0))
    program = Program(compiled.merged().program if group else compiled.programs[False])
    entities = signals // case.members if case.members and program.max_models is not None else 0
    slots = program.take_slots(signals + entities)
    for slot in slots[: signals + entities].tolist() if group else ():
        number = slot // case.members if slot < signals else slot - signals
        labels = {"service": str(number)} if slot >= signals else {"service": str(number), "pod": str(slot)}
        program.join(slot, labels, slot)
    return program, slots


def measure(case: Case) -> Costs:
    """Warm up, then count."""
    objects = Trait.OBJECTS in KINDS[case.kind].traits
    signals = (OBJECTS * max(1, case.members)) if objects else SIGNALS
    program, slots = program_of(case, signals)
    needed = int(program.needs(slots).max()) + EXTRA_WARM_STEPS
    warm, measured = min(needed, MOST_WARM_STEPS), OBJECT_STEPS if objects else MEASURED_STEPS
    random, spent_s = np.random.default_rng(1), 0.0
    for step in range(warm + measured):
        times_ms = np.full(len(slots), START_MS + step * STEP_MS)
        values = random.normal(10.0, 1.0, len(slots))
        before = time.thread_time()
        program.step(slots, times_ms, values, None)
        spent_s += time.thread_time() - before if step >= warm else 0.0
    saved = sum(column.nbytes for column in program.save(slots).values())
    judged = 1e6 * spent_s / measured / signals
    return Costs(judged, program.size_bytes / signals, saved / signals, bound_of(case))


def bound_of(case: Case) -> str:
    """How many signals one detector may have on a partition, unless settings or parameters say otherwise."""
    if Trait.OBJECTS in KINDS[case.kind].traits:
        return f"{KINDS[case.kind].params.model_fields['max_keys'].default} models"
    return f"{MAX_GROUPS:,} members" if case.members else f"{MAX_KEYS:,} series"


def plain_us() -> float:
    """A round of plain Python, in the best of five runs."""
    best = float("inf")
    for _ in range(5):
        before, known = time.thread_time(), dict[int, str]()
        for number in range(PLAIN_ROUNDS):
            known[number & 1023] = str(number)
        best = min(best, time.thread_time() - before)
    return 1e6 * best / PLAIN_ROUNDS


def run(kinds: Sequence[str]) -> dict[str, Costs]:
    """Of these kinds."""
    return {case.name: measure(case) for case in cases() if case.kind in kinds}


def main(arguments: Sequence[str]) -> None:
    """Print a table as the docs have it."""
    found = run([name for name in arguments if not name.startswith("--")] or list(KINDS))
    plain = plain_us()
    if "--json" in arguments:
        print(json.dumps({"python_us": plain, "kinds": {name: costs._asdict() for name, costs in found.items()}}))
        return
    print("| kind | µs a sample | memory, bytes | snapshot, bytes | bound of a detector on a partition |")
    print("| --- | --- | --- | --- | --- |")
    for name, costs in found.items():
        took = f"{costs.us_per_sample:.2g}" if costs.us_per_sample < 10 else f"{costs.us_per_sample:.0f}"
        print(f"| {name} | {took} | {costs.memory_bytes:,.0f} | {costs.snapshot_bytes:,.0f} | {costs.bound} |")
    print(f"\nA round of plain Python took {plain:.2f} µs.")


if __name__ == "__main__":
    main(sys.argv[1:])
