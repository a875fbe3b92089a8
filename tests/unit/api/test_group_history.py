"""History of a detector's groups is that of their values, on the grid of their steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from api.group_history import aligned, group_history, history_of_range, query_of, sent_groups, signal_of
from api.past_series import PastSeries
from api.source_history import plan_of
from api.training_history import whole_steps
from api.training_range import TrainingRange
from connectors.detector import Aggregate, Group, Shape
from connectors.sources.decode import SourceSeries
from connectors.training import NO_LABELS
from flows.group import GroupPlan
from flows.validator import ConfigError
from tests.streams import config

AT_MS = 1_700_000_010_000


def plan(selector: str = "m", shape: Shape = Shape.AUTO, **group: Any) -> GroupPlan:
    made = config("zscore", selector, shape=shape, group=Group(**{"by": ("job",), **group}))
    found = plan_of(made)
    assert found is not None
    return found


def asked(**changes: Any) -> TrainingRange:
    return TrainingRange(**{"source": "s", "from_ms": AT_MS - 5, "to_ms": AT_MS + 60_000, "step_s": 15, **changes})


def past(labels: dict[str, str], *times_ms: int) -> PastSeries:
    return PastSeries(labels, np.array(times_ms, np.int64), np.arange(float(len(times_ms))))


MEMBERS: dict[str, Any] = {"aggregate": Aggregate.MEMBERS}


@pytest.mark.parametrize(
    ("of", "query"),
    [
        (plan(), "sum by (job) (m)"),
        (plan("m_total"), "sum by (job) (rate(m_total[60s]))"),
        (plan('m{zone="a",x="1"}', aggregate=Aggregate.AVG), 'avg by (job) (m{x="1"})'),
        (plan('{__name__=~"m_total|n"}'), 'sum by (job) ({__name__=~"m_total|n"})'),
        (plan("m_total", **MEMBERS), "rate(m_total[60s])"),
        (plan("m_bucket", histogram_quantile=0.9), "histogram_quantile(0.9, sum by (le, job) (rate(m_bucket[60s])))"),
    ],
)
def test_a_source_is_asked_for_what_the_flow_computes(of: GroupPlan, query: str) -> None:
    assert str(query_of(asked(labels={"zone": "a"}), of)) == query


def test_the_range_begins_at_the_end_of_a_step() -> None:
    assert aligned(asked(), plan()).from_ms == AT_MS
    assert aligned(asked(from_ms=AT_MS), plan()).from_ms == AT_MS
    with pytest.raises(ConfigError, match=r"history\.step_s = 30: must be 15, the length of a step"):
        aligned(asked(step_s=30), plan())


def test_changes_of_members_need_the_one_name_that_the_expression_loses() -> None:
    nameless = plan('{job="a"}', Shape.RATE, **MEMBERS)
    with pytest.raises(ConfigError, match="must name one metric: PromQL gives a rate without the name"):
        aligned(asked(), nameless)
    assert signal_of(nameless) is Shape.RATE


def test_samples_are_those_of_the_groups_that_their_labels_make() -> None:
    history = sent_groups([past({"__name__": "x", "job": "a", "z": "1"}, AT_MS, AT_MS + 15_000, AT_MS)], plan())
    assert [one.labels for one in history.series] == [{"job": "a"}]
    assert (history.samples, history.duplicates) == (2, 1)
    with pytest.raises(ConfigError, match=r"samples\.series\.1\.labels = {'job': 'a'}: must be those of a group that"):
        sent_groups([past({"job": "a", "z": str(n)}, AT_MS) for n in range(2)], plan())
    with pytest.raises(ConfigError, match=r"samples\.times_ms = 1700000010001: must be ends of the groups' steps"):
        group_history([past({"job": "a"}, AT_MS, AT_MS + 1)], plan())


def test_members_stay_what_they_are() -> None:
    mine, other = {"__name__": "m", "i": "1"}, {"__name__": "n"}
    history = sent_groups([past(mine, AT_MS), past(other, AT_MS)], plan(**MEMBERS))
    assert ([one.labels for one in history.series], history.unmatched) == ([mine], 1)
    with pytest.raises(ConfigError, match="shape = 'rate': must be raw to be learned from values: a Prometheus gives"):
        sent_groups([past(mine, AT_MS)], plan("m", Shape.RATE, **MEMBERS))


def test_a_query_gives_values_of_groups_and_not_changes_of_members() -> None:
    """Its series need no one name, but no query gives what members of counters are turned into."""
    assert aligned(asked(query="sum by (job) (rate(m[1m]))"), plan()).from_ms == AT_MS
    with pytest.raises(ConfigError, match="shape = 'rate': must be raw to be learned from values"):
        aligned(asked(query="rate(m[1m])"), plan("m", Shape.RATE, **MEMBERS))


def test_records_hold_whole_steps() -> None:
    times_ms = range(AT_MS, AT_MS + 10 * 15_000, 15_000)
    series = [past({"job": "a"}, *times_ms), past({}, *times_ms[::2])]
    history = group_history(series, plan())
    sizes = [piece.samples for piece in whole_steps(history, 3, 4)]
    assert (sum(sizes), max(sizes)) == (15, 5)
    assert [piece.samples for piece in whole_steps(history, 3, 1)] == [2, 1] * 5
    (whole,) = whole_steps(history, 3, 100)
    assert (whole.partition, whole.value.count(next(iter(NO_LABELS)).encode())) == (3, 1)
    assert list(whole_steps(group_history([], plan()), 3, 4)) == []


def test_members_of_a_query_that_are_there_twice_or_have_no_name_are_left_out() -> None:
    found = [
        SourceSeries(labels, np.array([AT_MS]), np.array([1.0]))
        for labels in ((("__name__", "m"),), (("__name__", "m"),), (("job", "1"),))
    ]
    history = history_of_range(asked(query="q"), found, plan(shape=Shape.RAW, **MEMBERS), {})
    assert (len(history.series), history.unmatched) == (1, 2)
    with pytest.raises(ConfigError, match="no other series is of"):
        history_of_range(asked(query="q"), found, plan(), {})
