from __future__ import annotations

import pytest

from connectors.budget import Budget, Held
from connectors.errors import Overloaded


def test_budget() -> None:
    budget = Budget(100)
    budget.take(60)
    with pytest.raises(Overloaded, match="TOCSIN_INGEST_MAX_IN_FLIGHT_BYTES"):
        budget.take(41)
    budget.take(40)
    budget.give(100)
    assert budget.used_bytes == 0


def test_what_is_held_is_given_back_once() -> None:
    budget = Budget(100)
    held = Held(budget)
    held.receive(30)
    held.take(20)
    assert (budget.used_bytes, budget.arriving_bytes) == (50, 30)
    held.let_go()
    held.let_go()
    assert (budget.used_bytes, budget.arriving_bytes) == (0, 0)


def test_what_was_handed_over_is_given_back_by_its_new_holder() -> None:
    budget = Budget(100)
    held = Held(budget)
    held.receive(30)
    held.whole()
    give = held.hand_over()
    held.let_go()
    assert (budget.used_bytes, budget.arriving_bytes) == (30, 0)
    give()
    assert budget.used_bytes == 0
