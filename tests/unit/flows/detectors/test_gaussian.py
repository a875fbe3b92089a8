from __future__ import annotations

import math
from decimal import Decimal, localcontext
from itertools import pairwise

import pytest

from flows.detectors.base import BAND_SURPRISE, BAND_Z, SURPRISE_MAX
from flows.detectors.gaussian import deviations, gaussian_surprise

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
PUBLISHED = {
    1.0: 0.31731050786291415,
    2.0: 0.04550026389635842,
    3.0: 0.0026997960632601866,
    5.0: 5.733031437583866e-07,
    10.0: 1.523970604832105e-23,
    30.0: 9.813427854297537e-198,
}
"""2 · scipy.stats.norm.sf(z)"""


def exact(z: float) -> float:
    """−log10 P(|Z| ≥ z) by the continued fraction of the Mills ratio (Abramowitz & Stegun 26.2.14), to 50 digits."""
    with localcontext() as context:
        context.prec = 50
        x = Decimal(z)
        mills = x
        for k in range(3000, 0, -1):
            mills = x + k / mills
        tail = 2 * (-x * x / 2).exp() / ((2 * PI).sqrt() * mills)
        return float(-tail.log10())


@pytest.mark.parametrize(("z", "tail"), PUBLISHED.items())
def test_published_values(z: float, tail: float) -> None:
    assert gaussian_surprise(z) == pytest.approx(-math.log10(tail), rel=1e-12)


@pytest.mark.parametrize("z", [1.5, 4.0, 8.0, 20.0, 24.999, 25.0, 25.001, 31.0, 37.0])
def test_it_is_exact_on_both_sides_of_the_change_of_method(z: float) -> None:
    assert gaussian_surprise(z) == pytest.approx(exact(z), rel=1e-10)


def test_polynomials_are_exact_where_most_samples_lie() -> None:
    for z in [*(n / 1000 for n in range(4100)), 1e-300, 9e-9, 2e-8, math.nextafter(4.0, 0.0)]:
        assert gaussian_surprise(z) == pytest.approx(-math.log10(math.erfc(z * math.sqrt(0.5))), rel=1e-13, abs=2e-14)


def test_it_rises_without_a_step() -> None:
    scores = [gaussian_surprise(z / 100) for z in range(4200)]
    assert scores == sorted(scores)
    assert max(b - a for a, b in pairwise(scores)) < 0.2


def test_its_ends() -> None:
    assert gaussian_surprise(0.0) == 0.0
    assert not math.copysign(1.0, gaussian_surprise(0.0)) < 0
    assert [gaussian_surprise(z) for z in (37.1, 40.0, 40.1, 1e300, math.inf)] == [SURPRISE_MAX] * 5


def test_the_band_is_where_its_surprise_says() -> None:
    assert gaussian_surprise(BAND_Z) == pytest.approx(BAND_SURPRISE, rel=1e-14)


def test_without_a_scale_any_distance_is_infinite() -> None:
    assert [deviations(3.0, 2.0), deviations(0.0, 2.0), deviations(3.0, 0.0)] == [1.5, 0.0, math.inf]
    assert deviations(0.0, 0.0) == 0.0
