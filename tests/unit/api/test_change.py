import pytest

from api.change import check
from api.problems import ApiError, Code, FieldProblem
from api.refusal import field_problems
from api.revisions import Written
from connectors.errors import Rejected
from flows.revisions import Outcome
from flows.validator import ConfigError


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.STALE, Code.STALE_REVISION),
        (Outcome.DUPLICATE, Code.DUPLICATE_DETECTOR),
        (Outcome.LIMIT, Code.DETECTOR_LIMIT),
    ],
)
def test_what_the_log_refuses_is_a_problem(outcome: Outcome, code: Code) -> None:
    with pytest.raises(ApiError) as caught:
        check(Written(outcome, None), "d-1", 3)
    assert caught.value.code is code


def test_a_config_that_the_log_refuses_names_field_value_and_what_is_right() -> None:
    refusal = ConfigError(field="kind", value="maad", expected="mad")
    with pytest.raises(Rejected) as caught:
        check(Written(Outcome.INVALID, None, refusal), "d-1", 3)
    assert field_problems(caught.value) == [FieldProblem(field="kind", value='"maad"', expected="mad")]
    with pytest.raises(Rejected, match="d-1"):
        check(Written(Outcome.INVALID, None), "d-1", 3)
    check(Written(Outcome.APPLIED, None), "d-1", 3)
