from __future__ import annotations

import pytest

from flows.detectors.student import gaussian_of, student_of


@pytest.mark.parametrize(("freedom", "t"), [(5, 6.869), (11, 4.437), (30, 3.646), (71, 3.434)])
def test_few_samples_weigh_as_a_student_t(freedom: float, t: float) -> None:
    """Tabled two-sided quantiles at 1/1,000."""
    assert gaussian_of(t, freedom) == pytest.approx(3.2905, rel=0.01)
    assert student_of(gaussian_of(t, freedom), freedom) == pytest.approx(t)
    assert gaussian_of(t, 0) == student_of(t, 0) == t
