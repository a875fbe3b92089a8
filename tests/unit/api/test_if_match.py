import pytest

from api.if_match import base_revision
from api.problems import ApiError, Code
from connectors.detector import Detector, DetectorConfig

config = DetectorConfig(name="n", kind="mad", selector="up")
detector = Detector(id="d-1", revision=3, config=config, author="a", updated_ms=1)


@pytest.mark.parametrize("header", ['"3"', ' "3" ', '"1", "3"', "*"])
def test_if_match_that_holds(header: str) -> None:
    assert base_revision(detector, header) == 3


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
        base_revision(detector, header)
    assert caught.value.code is code
