import pytest

from api.problems import ApiError, Code
from api.selection import Filter, RunState, parse_labels
from connectors.detector import Detector, DetectorConfig

CONFIG = DetectorConfig(
    name="Checkout latency", kind="mad", selector='{job="shop"}', labels={"team": "web", "tier": "1"}
)


def detector(*, enabled: bool = True) -> Detector:
    config = CONFIG.model_copy(update={"enabled": enabled})
    return Detector(id="d-1", revision=1, config=config, author="a", updated_ms=1)


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (Filter(), True),
        (Filter(state=RunState.RUNNING), True),
        (Filter(state=RunState.STOPPED), False),
        (Filter(kind="mad"), True),
        (Filter(kind="auto"), False),
        (Filter(labels=(("team", "web"),)), True),
        (Filter(labels=(("team", "web"), ("tier", "1"))), True),
        (Filter(labels=(("team", "web"), ("tier", "2"))), False),
        (Filter(labels=(("owner", ""),)), False),
        (Filter(labels=(("team", "app"), ("team", "web"))), False),
        (Filter(text="CHECKOUT"), True),
        (Filter(text="d-1"), True),
        (Filter(text='job="SHOP"'), True),
        (Filter(text="basket"), False),
        (Filter(kind="mad", text="basket"), False),
    ],
)
def test_all_that_is_asked_for_must_hold(wanted: Filter, takes: bool) -> None:
    one = detector()
    assert list(wanted.of([one, one])) == [one, one] * takes


def test_what_is_stopped_can_be_found() -> None:
    stopped = detector(enabled=False)
    assert list(Filter(state=RunState.STOPPED).of([stopped, detector()])) == [stopped]
    assert list(Filter(state=RunState.RUNNING).of([stopped])) == []


def test_labels_are_name_and_value() -> None:
    assert parse_labels(["team=web", "note=a=b", "empty="]) == (("team", "web"), ("note", "a=b"), ("empty", ""))
    assert parse_labels(["job=a", "job=b"]) == (("job", "a"), ("job", "b"))
    with pytest.raises(ApiError, match="name=value") as caught:
        parse_labels(["team"])
    assert caught.value.code is Code.BAD_REQUEST
