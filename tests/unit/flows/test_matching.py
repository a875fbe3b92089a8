from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.messages import Detector
from flows.config import CompiledDetector, compile_config
from flows.matching import Matching, wants
from tests.streams import config

SELECTORS = [
    "m",
    "n",
    'm{a="1"}',
    '{a="1"}',
    '{a=~"1|2"}',
    '{__name__=~"m|n",b="x"}',
    'm{a=""}',
    'm{a!="1"}',
    '{b!=""}',
]
LABELS = st.dictionaries(st.sampled_from(["__name__", "a", "b"]), st.sampled_from(["m", "n", "1", "2", "x"]))


def compiled(number: int, selector: str, tenant: str = "anonymous", *, enabled: bool = True) -> CompiledDetector:
    made = config(selector=selector, tenant=tenant, enabled=enabled, threshold=1.0 + number)
    return compile_config(Detector(id=f"d{number}", revision=1, config=made, author="", updated_ms=0))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.sampled_from(SELECTORS), st.sampled_from(["anonymous", "t"]), st.booleans()), max_size=8),
    st.sets(st.integers(0, 7)),
    LABELS,
)
def test_it_finds_what_trying_all_finds(
    configs: list[tuple[str, str, bool]], removed: set[int], labels: dict[str, str]
) -> None:
    detectors = {n: compiled(n, selector, tenant, enabled=on) for n, (selector, tenant, on) in enumerate(configs)}
    matching = Matching()
    for number, detector in detectors.items():
        matching.add(number, detector)
    for number in removed & set(detectors):
        matching.remove(number, detectors.pop(number))
    for tenant in ("anonymous", "t"):
        expected = {number for number, detector in detectors.items() if wants(detector, tenant, labels)}
        found = list(matching.wanted_by(tenant, labels))
        assert sorted(found) == sorted(expected)
    assert matching.empty == (not detectors)


@pytest.mark.parametrize(("detector", "expected"), [
    (compiled(0, "m"), True), (compiled(0, "n"), False), (compiled(0, "m", "t"), False),
    (compiled(0, "m", enabled=False), False),
])  # fmt: skip
def test_name_tenant_and_state_decide(detector: CompiledDetector, expected: bool) -> None:
    assert wants(detector, "anonymous", {"__name__": "m"}) is expected


def test_removing_what_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        Matching().remove(0, compiled(0, "m"))
