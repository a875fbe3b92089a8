import copy
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError

from api.merge_patch import MAX_DEPTH, merged, patched
from api.problems import ApiError, Code
from connectors.detector import DetectorConfig

CONFIG = DetectorConfig(
    name="n", kind="mad", selector="up", params={"window": 60, "hold_s": 5.0}, threshold=9.0, labels={"team": "web"}
)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_cases_of_rfc_7396(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy((target, patch))
    assert merged(target, patch) == result
    assert (target, patch) == before


def test_a_patch_that_is_too_deep_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(MAX_DEPTH):
        deep = {"a": deep}
    assert merged({}, deep) == deep
    with pytest.raises(ApiError) as caught:
        merged({}, {"a": deep})
    assert caught.value.code is Code.BAD_REQUEST


def test_a_config_keeps_what_is_not_named_and_null_is_the_default() -> None:
    changed = patched(CONFIG, {"name": "new", "threshold": None, "params": {"window": 30, "hold_s": None}})
    assert changed == CONFIG.model_copy(update={"name": "new", "threshold": None, "params": {"window": 30}})
    assert patched(CONFIG, {}) == CONFIG
    assert patched(CONFIG, {"labels": {"team": None, "tier": "1"}}).labels == {"tier": "1"}


@pytest.mark.parametrize(
    ("patch", "place"),
    [
        ({"name": None}, ("body", "name")),
        ({"threshold": "8"}, ("body", "threshold")),
        ({"colour": 1}, ("body", "colour")),
        ({"group": {"by": 1}}, ("body", "group", "by")),
    ],
)
def test_what_makes_no_config_is_refused_as_if_it_were_sent_whole(patch: dict[str, Any], place: tuple[str]) -> None:
    with pytest.raises(RequestValidationError) as caught:
        patched(CONFIG, patch)
    assert [error["loc"] for error in caught.value.errors()] == [place]
