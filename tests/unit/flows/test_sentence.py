"""Golden sentences: read them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.detector import Shape
from flows.explain import Manner
from flows.sentence import MAX_SIGNAL, deviation, duration, how_often, number, sentence, signal_text
from tests.episodes import episode

SLOW = {"value": 1.4, "expected": 0.31, "lower": 0.12, "upper": 0.5, "first_expected": 0.31,
        "peak_value": 1.52, "peak_expected": 0.31}  # fmt: skip
LASTING = {"time_ms": 131_000, "samples": 100, "ups": 100, "peak_surprise": 14.0}
RARE = "one like it comes by chance less than once in a thousand years."
LATENCY = 'shop_latency_seconds{service="checkout"}'


@pytest.mark.parametrize(("changes", "manner", "closed", "text"), [
    ({**SLOW, "peak_surprise": 14.0}, Manner.VALUES, False, f"is 4.9 times its expected 0.31; {RARE}"),
    ({**SLOW, **LASTING}, Manner.VALUES, False, f"has been up to 4.9 times its expected 0.31 for 2 min 10 s; {RARE}"),
    ({**SLOW, **LASTING}, Manner.VALUES, True, f"was up to 4.9 times its expected 0.31 for 2 min 10 s; {RARE}"),
    ({**SLOW, "peak_surprise": 5.0}, Manner.VALUES, True,
     "was 4.9 times its expected 0.31; one like it comes by chance about 6.05 times a week."),
    ({**SLOW, "peak_value": 0.0, "direction": -1, "ups": 0, "peak_surprise": 7.0}, Manner.VALUES, False,
     "is 100 % below its expected 0.31; one like it comes by chance about once in 4 months."),
    ({**SLOW, **LASTING, "expected": 1.3}, Manner.VALUES, True,
     f"was up to 4.9 times its expected 0.31 for 2 min 10 s, and 1.3 is expected by now; {RARE}"),
    ({**SLOW, **LASTING, "ups": 50}, Manner.VALUES, False,
     f"has left its expected range of 0.12 to 0.5 to both sides for 2 min 10 s; {RARE}"),
    ({"peak_value": 0.95, "lower": 0.0, "upper": 0.9}, Manner.BOUNDS, False, "is 0.95, above its bound of 0.9."),
    ({**LASTING, "peak_value": -3.0, "direction": -1, "lower": 0.0}, Manner.BOUNDS, True,
     "was up to -3, below its bound of 0, for 2 min 10 s."),
    ({"value": 21.5, "expected": 21.5, "peak_surprise": 9.0}, Manner.STILLNESS, False,
     "has stood still at 21.5 for longer than it ever did; one like it comes by chance about once in 32 years."),
    ({"value": 130.0, "peak_value": 130.0, "expected": 15.0, "peak_surprise": 14.0}, Manner.SILENCE, False,
     f"has sent nothing for 2 min 10 s, where 15 s are usual; {RARE}"),
    ({"value": 130.0, "peak_value": 130.0, "expected": 15.0, "peak_surprise": 14.0}, Manner.SILENCE, True,
     f"sent nothing for 2 min 10 s, where 15 s are usual; {RARE}"),
    ({**SLOW, "step_s": 0.0}, Manner.VALUES, False, "is 4.9 times its expected 0.31."),
])  # fmt: skip
def test_what_is_said(changes: dict[str, Any], manner: Manner, closed: bool, text: str) -> None:
    assert sentence(LATENCY, episode(**changes), manner, closed=closed) == f"{LATENCY} {text}"


@pytest.mark.parametrize(("value", "expected", "text"), [
    (30.0, 10.0, "3 times its expected 10"),
    (15.0, 10.0, "1.5 times its expected 10"),
    (14.9, 10.0, "49 % above its expected 10"),
    (9.0, 10.0, "10 % below its expected 10"),
    (10.1, 10.0, "0.1 above its expected 10"),
    (1e12 + 7, 1e12, "7 above its expected 1000000000000"),
    (1e-9, 4e-9, "75 % below its expected 4e-09"),
    (5.0, 0.0, "5 above its expected 0"),
    (-5.0, 10.0, "15 below its expected 10"),
    (-30.0, -10.0, "3 times its expected -10"),
    (-9.0, -10.0, "1 above its expected -10"),
    (4.0, -2.0, "6 above its expected -2"),
])  # fmt: skip
def test_a_deviation(value: float, expected: float, text: str) -> None:
    assert deviation(value, expected) == text


@pytest.mark.parametrize(("ms", "text"), [
    (0, "0 s"), (250, "0.25 s"), (1000, "1 s"), (59_400, "59 s"), (59_600, "1 min"), (130_000, "2 min 10 s"),
    (3_600_000, "1 h"), (11_100_000, "3 h 5 min"), (86_400_000, "1 d"), (100_000_000, "1 d 3 h"),
])  # fmt: skip
def test_a_duration(ms: float, text: str) -> None:
    assert duration(ms) == text


@pytest.mark.parametrize(("per_week", "text"), [
    (1234.0, "about 1234 times a week"), (1.5, "about 1.5 times a week"), (1.0, "about once a week"),
    (0.5, "about once in 2 weeks"), (0.1, "about once in 2 months"), (0.01, "about once in 2 years"),
    (1e-4, "about once in 192 years"), (1.9e-5, "less than once in a thousand years"),
    (0.0, "less than once in a thousand years"),
])  # fmt: skip
def test_how_often(per_week: float, text: str) -> None:
    assert how_often(per_week) == text


@pytest.mark.parametrize(("value", "text"), [
    (0.0, "0"), (0.123456, "0.123"), (999.4, "999"), (999.5, "1000"), (-999.9, "-1000"), (1234.5, "1234"),
    (-123456789.0, "-123456789"), (1e15, "1e+15"), (1.5e-7, "1.5e-07"), (math.pi, "3.14"),
])  # fmt: skip
def test_a_number(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("labels", "shape", "text"), [
    ({"__name__": "up"}, Shape.RAW, "up"),
    ({"__name__": "up", "b": "2", "a": "1"}, Shape.RAW, 'up{a="1",b="2"}'),
    ({"a": 'x"y'}, Shape.RAW, '{a="x\\"y"}'),
    ({}, Shape.RAW, "the entity"),
    ({"__name__": "n_total"}, Shape.RATE, "rate(n_total)"),
])  # fmt: skip
def test_signals_are_written_as_promql_does(labels: dict[str, str], shape: Shape, text: str) -> None:
    assert signal_text(labels, shape) == text


def test_a_group_is_named_by_its_expression() -> None:
    assert signal_text({"service": "a"}, Shape.RATE, "sum by (service) (m)") == 'sum by (service) (m) {service="a"}'


def test_a_long_signal_is_cut() -> None:
    told = sentence("x" * 1000, episode(), Manner.VALUES, closed=False)
    assert told.startswith("x" * (MAX_SIGNAL - 1) + "… is 10 times")


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_any_two_numbers_can_be_told(value: float, expected: float) -> None:
    assert deviation(value, expected).endswith(f"its expected {number(expected)}")
