"""The templates for what the logs flow counts: real lines of ten hours and a quiet one, then a fault."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from api.template_catalogue import TEMPLATES
from connectors.anomaly import Anomaly
from connectors.detector import DetectorRevision
from connectors.messages import CONTROL_HEADER, ControlRecord
from flows.decode import Decoder
from tests.logs import LIMITS, Mine, control, lines
from tests.pipeline.test_templates import MINED, Judge
from tests.series import START_MS
from tests.streams import TOPICS, Record

STEP_MS = LIMITS.step_ms
LEARNING, HOUR, FAULT = 3600, 360, 30
FAULT_MS = START_MS + STEP_MS * (LEARNING + HOUR)
SHOP, MAIL = {"app": "shop", "pod": "shop-1"}, {"app": "mail", "pod": "mail-1"}
RARE = (
    "INFO reloaded {} rules",
    "WARN pool of {} connections is full",
    "INFO rotated keys after {} h",
    "DEBUG gc {} ms",
)
NEW = "ERROR cannot reach the ledger at 10.0.0.{}: connection refused"


def step_of(step: int, rng: np.random.Generator) -> Iterator[Record]:
    """What services log in a step: much of the usual, something rare now and then, and the fault at the end."""
    broken = step >= LEARNING + HOUR
    for labels in (SHOP, MAIL):
        said = [f"INFO request {rng.integers(1000)} served in {rng.integers(90)} ms" for _ in range(rng.poisson(20))]
        said += [f"ERROR request {rng.integers(1000)} timed out" for _ in range(rng.poisson(1.0))]
        said += [RARE[step % len(RARE)].format(step)] if step % 50 == 7 else []
        said += [NEW.format(n) for n in range(12)] if broken and labels is SHOP else []
        yield lines(labels, *((START_MS + STEP_MS * step + 100 * n, line) for n, line in enumerate(said)))


@cache
def told() -> dict[str, list[Anomaly]]:
    """What the detectors of both templates told, by their names."""
    revisions = [
        DetectorRevision(detector_id=name, base_revision=0, config=TEMPLATES[name].config, author="test", time_ms=0)
        for name in MINED
    ]
    judge, mine, decoder, rng = Judge(revisions), Mine(), Decoder(1800, 1000), np.random.default_rng(0)
    for step in range(LEARNING + HOUR + FAULT):
        now_ms = START_MS + STEP_MS * (step + 1)
        written = [
            Record(one.topic, 0, 0, one.key, one.value, []) for one in mine.take([*step_of(step, rng), control(now_ms)])
        ]
        time = ControlRecord(time_ms=now_ms, detectors_offset=len(revisions), feedback_offset=0).encode()
        records = [*written, Record(TOPICS.metrics, 0, 0, None, time, [(CONTROL_HEADER, b"1")])]
        for _, chunks in decoder.decode(records):
            judge.take(chunks)
    return judge.found


@pytest.mark.parametrize("name", MINED)
def test_it_fires_on_a_fault_and_is_silent_for_an_hour_without_one(name: str) -> None:
    opened = [event for event in told()[name] if event.event == "opened"]
    assert [event.sentence for event in opened if event.start_ms < FAULT_MS] == []
    assert opened, "the fault"
    assert {event.signal.labels["service_name"] for event in opened} == {"shop"}


def test_what_is_new_is_told_in_its_own_words() -> None:
    (event,) = [event for event in told()["logs-new-pattern"] if event.event == "opened"]
    labels = event.signal.labels
    assert (labels["level"], labels["pattern"]) == ("error", "ERROR cannot reach the ledger at <*>: connection refused")
    assert event.start_ms - FAULT_MS <= 2 * STEP_MS + LIMITS.grace_ms
