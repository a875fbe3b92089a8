import pytest

from api.detectors import _base_revision, _check
from api.problems import ApiError, Code, FieldProblem, field_problems
from api.revisions import Written
from connectors.errors import Rejected
from connectors.messages import Detector, DetectorConfig
from flows.config import ConfigError
from flows.revisions import Outcome

config = DetectorConfig(name="n", kind="mad", selector="up")
detector = Detector(id="d-1", revision=3, config=config, author="a", updated_ms=1)


@pytest.mark.parametrize("header", ['"3"', ' "3" ', '"1", "3"', "*"])
def test_if_match_that_holds(header: str) -> None:
    assert _base_revision(detector, header) == 3


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, Code.PRECONDITION_REQUIRED),
        ('"2"', Code.STALE_REVISION),
        ('"4"', Code.STALE_REVISION),
        ("3", Code.BAD_REQUEST),
        ('W/"3"', Code.BAD_REQUEST),
        ('"3",', Code.BAD_REQUEST),
        ("", Code.BAD_REQUEST),
        ('"9999999999999999999999"', Code.BAD_REQUEST),
    ],
)
def test_if_match_that_does_not(header: str | None, code: Code) -> None:
    with pytest.raises(ApiError) as caught:
        _base_revision(detector, header)
    assert caught.value.code is code


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
        _check(Written(outcome, None), "d-1", 3)
    assert caught.value.code is code


def test_a_config_that_the_log_refuses_names_field_value_and_what_is_right() -> None:
    refusal = ConfigError(field="kind", value="maad", expected="mad")
    with pytest.raises(Rejected) as caught:
        _check(Written(Outcome.INVALID, None, refusal), "d-1", 3)
    assert field_problems(caught.value) == [FieldProblem(field="kind", value='"maad"', expected="mad")]
    with pytest.raises(Rejected, match="d-1"):
        _check(Written(Outcome.INVALID, None), "d-1", 3)
    _check(Written(Outcome.APPLIED, None), "d-1", 3)
