from __future__ import annotations

from collections.abc import Iterable

import pytest

from api.shop import (
    DAY_S,
    FAULT_EVERY_S,
    FAULT_S,
    FAULTS,
    FIRST_FAULT_S,
    FaultKind,
    Sample,
    Shop,
    fault_at,
    season,
)

START_S = 1_800_000_000.0


def value(samples: Iterable[Sample], name: str, **labels: str) -> float:
    [found] = [
        value
        for series, value in samples
        if series["__name__"] == name and all(series.get(key) == wanted for key, wanted in labels.items())
    ]
    return found


def run_for(shop: Shop, seconds: int) -> list[list[Sample]]:
    return [shop.advance(shop.start_s + second) for second in range(1, seconds + 1)]


def rate_over(shop: Shop, name: str, service: str, from_s: float, to_s: float) -> float:
    before = value(shop.advance(shop.start_s + from_s), name, service=service)
    after = value(shop.advance(shop.start_s + to_s), name, service=service)
    return (after - before) / (to_s - from_s)


def test_same_seed_and_times_give_the_same_shop() -> None:
    assert run_for(Shop(START_S, seed=3), 200) == run_for(Shop(START_S, seed=3), 200)
    assert run_for(Shop(START_S, seed=3), 5) != run_for(Shop(START_S, seed=4), 5)


def test_counters_never_fall() -> None:
    shop = Shop(START_S)
    seen: dict[str, float] = {}
    for samples in run_for(shop, 400):
        for labels, count in samples:
            if labels["__name__"].endswith("_total"):
                key = str(sorted(labels.items()))
                assert count >= seen.get(key, 0.0)
                seen[key] = count
    assert len(seen) == 12


def test_a_clock_that_steps_back_adds_nothing() -> None:
    shop = Shop(START_S)
    before = value(shop.advance(START_S + 50), "shop_requests_total", service="web")
    after = value(shop.advance(START_S + 20), "shop_requests_total", service="web")
    assert after == before


@pytest.mark.parametrize(
    ("elapsed_s", "kind"),
    [
        (0, None),
        (FIRST_FAULT_S - 0.1, None),
        (FIRST_FAULT_S, FaultKind.PAYMENT_ERRORS),
        (FIRST_FAULT_S + FAULT_S - 0.1, FaultKind.PAYMENT_ERRORS),
        (FIRST_FAULT_S + FAULT_S, None),
        (FIRST_FAULT_S + FAULT_EVERY_S, FaultKind.SLOW_DATABASE),
        (FIRST_FAULT_S + 4 * FAULT_EVERY_S, FaultKind.PAYMENT_ERRORS),
    ],
)
def test_faults_come_in_turn(elapsed_s: float, kind: FaultKind | None) -> None:
    fault = fault_at(elapsed_s)
    assert (fault.kind if fault else None) == kind


def test_a_standing_fault_is_told_as_a_metric() -> None:
    shop = Shop(START_S)
    samples = shop.advance(START_S + FIRST_FAULT_S + 1)
    told = {labels["kind"]: value for labels, value in samples if labels["__name__"] == "shop_fault"}
    assert told == {kind.value: float(kind is FaultKind.PAYMENT_ERRORS) for kind in FaultKind}


@pytest.mark.parametrize(
    ("turn", "name", "service", "least", "most"),
    [
        (0, "shop_errors_total", "payment", 15, 60),
        (2, "shop_requests_total", "search", 3, 5),
        (3, "shop_requests_total", "checkout", 0, 0),
    ],
)
def test_each_fault_moves_its_counter(turn: int, name: str, service: str, least: float, most: float) -> None:
    shop = Shop(START_S)
    at_s = FIRST_FAULT_S + turn * FAULT_EVERY_S
    usual = rate_over(shop, name, service, at_s - 11, at_s - 1)
    faulty = rate_over(shop, name, service, at_s, at_s + 10)
    assert least <= faulty / usual <= most


def test_slow_database_moves_latency() -> None:
    shop = Shop(START_S)
    at_s = START_S + FIRST_FAULT_S + FAULT_EVERY_S
    usual = value(shop.advance(at_s - 1), "shop_latency_seconds", service="catalog")
    slow = value(shop.advance(at_s + 1), "shop_latency_seconds", service="catalog")
    assert 4 < slow / usual < 6


def test_the_day_is_ten_minutes_and_swings() -> None:
    assert season(START_S) == pytest.approx(season(START_S + DAY_S))
    assert season(DAY_S / 4) == pytest.approx(1.35)
    assert season(3 * DAY_S / 4) == pytest.approx(0.65)


def test_every_fault_is_of_a_service_that_exists() -> None:
    services = {labels.get("service") for labels, _ in Shop(START_S).advance(START_S)}
    assert {fault.service for fault in FAULTS} <= services
