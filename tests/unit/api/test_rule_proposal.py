from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from api.anomaly import NewVerdict
from api.rule_proposal import RuleProposal
from tests.anomalies import make_anomaly


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"verdict": None, "rule": {}}, "rule\n.*must be left out where verdict is null"),
        (
            {"verdict": "expected", "rule": {"from_minute": 60, "to_minute": 60}},
            "to_minute\n.*must differ",
        ),
    ],
)
def test_a_rule_that_nobody_can_mean_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        NewVerdict.model_validate(given)


@pytest.mark.parametrize(
    "given", [{"verdict": None}, {"verdict": "expected", "rule": {"from_minute": 1380, "to_minute": 60}}]
)
def test_a_verdict_may_be_taken_back_and_a_rule_may_hold_over_midnight(given: dict[str, Any]) -> None:
    assert NewVerdict.model_validate(given).verdict == given["verdict"]


def test_a_rule_is_of_the_tenant_of_its_anomaly() -> None:
    """Of any detector, too: what one tenant expects says nothing of another's signals."""
    anomaly = make_anomaly(1).model_copy(update={"tenant": "a"})
    rule = RuleProposal(any_detector=True, labels={"job": "x"}).rule_for(anomaly, 5)
    assert (rule.detector, rule.tenant) == (None, "a")
