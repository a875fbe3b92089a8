from __future__ import annotations

import pytest

from connectors.messages import MetricType
from flows import families
from flows.families import Families


def test_what_a_name_says_already_is_not_kept() -> None:
    known = Families()
    told = [("requests_total", "counter"), ("temperature", "gauge"), ("rpc_seconds", "histogram"), ("x", "unknown")]
    assert known.learn("t", [(name, MetricType(kind)) for name, kind in told]) == {}
    assert len(known) == 0
    assert known.is_counter("t", "rpc_seconds_count")


def test_what_changes_is_told_and_only_for_its_tenant() -> None:
    known = Families()
    assert known.learn("t", [("switches", MetricType.COUNTER)]) == {"switches": None}
    assert known.learn("t", [("switches", MetricType.COUNTER)]) == {}
    assert known.is_counter("t", "switches")
    assert not known.is_counter("other", "switches")
    assert known.learn("t", [("switches", MetricType.GAUGE)]) == {"switches": MetricType.COUNTER}
    assert not known.is_counter("t", "switches")
    assert len(known) == 0


def test_it_goes_on_from_what_was_saved() -> None:
    known = Families()
    known.learn("t", [("switches", MetricType.COUNTER), ("depth_count", MetricType.GAUGE)])
    copy = Families(known.saved())
    assert copy.is_counter("t", "switches")
    assert not copy.is_counter("t", "depth_count")


def test_beyond_the_bound_types_are_counted_and_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "MAX_FAMILIES", 1)
    known = Families()
    assert known.learn("t", [("a", MetricType.COUNTER), ("b", MetricType.COUNTER)]) == {"a": None}
    assert (known.refused, known.is_counter("t", "b")) == (1, False)


@pytest.mark.parametrize(("metric", "turned"), [
    ("http", True), ("http_total", False), ("http_created", False), ("http_seconds_sum", False), ("other", False),
    ("depth_count", True),
])  # fmt: skip
def test_a_series_turns_only_if_it_becomes_a_counter_or_is_none_any_more(metric: str, turned: bool) -> None:
    known = Families()
    before = known.learn("t", [("http", MetricType.COUNTER), ("depth_count", MetricType.GAUGE)])
    assert known.turned("t", before, metric) is turned
    assert not known.turned("t", known.learn("t", [("http", MetricType.COUNTER)]), metric)
