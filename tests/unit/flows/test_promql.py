"""Against the grammar of Prometheus 3; tests/integration/test_sources.py asks a real Prometheus."""

from __future__ import annotations

from typing import Any

import promql_parser
import pytest
from hypothesis import HealthCheck, given, settings

from connectors.errors import Rejected
from flows.promql import (
    Aggregated,
    Aggregator,
    Change,
    Changing,
    Grouping,
    HistogramQuantile,
    QuantileOf,
    Quotient,
    Series,
    Vector,
    quoted,
)
from flows.selector import Matcher, Op, Selector, parse_selector
from tests.queries import names, selectors, vectors


def written(vector: Vector) -> list[Selector]:
    match vector:
        case Series():
            return [vector.selector]
        case Change():
            return written(vector.series)
        case Aggregated() | QuantileOf():
            return written(vector.vector)
        case HistogramQuantile():
            return written(vector.buckets)
        case Quotient():
            return [*written(vector.over), *written(vector.under)]


def read(expression: Any) -> list[Selector]:
    """The selectors that the grammar finds."""
    match type(expression).__name__:
        case "VectorSelector":
            return [selector_of(expression)]
        case "MatrixSelector":
            return [selector_of(expression.vector_selector)]
        case "Call":
            return [one for arg in expression.args for one in read(arg)]
        case "AggregateExpr" | "ParenExpr":
            return read(expression.expr)
        case "BinaryExpr":
            return [*read(expression.lhs), *read(expression.rhs)]
    assert type(expression).__name__ == "NumberLiteral"
    return []


def selector_of(found: Any) -> Selector:
    ops = dict(zip(("Equal", "NotEqual", "Re", "NotRe"), Op, strict=True))
    matchers = [Matcher(m.name, ops[str(m.op).rpartition(".")[2]], m.value) for m in found.matchers.matchers]
    if found.name:
        matchers.append(Matcher("__name__", Op.EQUAL, found.name))
    assert (found.offset, found.at, found.matchers.or_matchers) == (None, None, [])
    return Selector(tuple(sorted(matchers, key=lambda m: (m.name, m.op, m.value))))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(vectors(names))
def test_whatever_is_built_is_read_as_what_it_is(vector: Vector) -> None:
    assert read(promql_parser.parse(str(vector))) == written(vector)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(selectors(names))
def test_a_selector_goes_there_and_back(selector: Selector) -> None:
    assert parse_selector(str(Series(selector))) == selector


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("up", "up"),
        ('up{job="a"}', 'up{job="a"}'),
        ('{__name__=~"a|b",job!="x"}', '{__name__=~"a|b",job!="x"}'),
        ('{__name__="inf"}', '{__name__="inf"}'),
        ('{__name__="job:up:sum"}', '{__name__="job:up:sum"}'),
        ('up{"a.b"="\\"\\n"}', 'up{"a.b"="\\"\\n"}'),
    ],
)
def test_series_are_written_as_people_do(text: str, written: str) -> None:
    assert str(Series(parse_selector(text))) == written


def test_the_parts_together() -> None:
    up = Series(parse_selector('up{job="a"}'))
    rate = Change(Changing.RATE, up, 60_000)
    by = Grouping(("x", "without"))
    assert str(Change(Changing.DELTA, up, 1500)) == 'delta(up{job="a"}[1500ms])'
    total = Aggregated(Aggregator.SUM, by, rate)
    assert str(total) == 'sum by (x, "without") (rate(up{job="a"}[60s]))'
    assert str(HistogramQuantile(0.9, total)).startswith("histogram_quantile(0.9, sum by")
    assert str(QuantileOf(1, Grouping(("n",), without=True), up)) == 'quantile without (n) (1, up{job="a"})'
    assert str(Quotient(total, total)) == f"{total} / {total}"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda up: Change(Changing.RATE, up, 0),
        lambda up: Change(Changing.RATE, up, 10**12),
        lambda up: HistogramQuantile(float("nan"), up),
        lambda up: QuantileOf(1.1, Grouping(), up),
        lambda _: Grouping(("",)),
        lambda _: Grouping(("\ud800",)),
        lambda _: Series(Selector(())),
        lambda _: Series(Selector((Matcher("a", Op.REGEX, "("),))),
        lambda _: Series(Selector((Matcher("b", Op.EQUAL, "1"), Matcher("a", Op.EQUAL, "1")))),
        lambda _: Series(Selector((Matcher("", Op.EQUAL, "1"),))),
        lambda _: quoted("\udfff"),
    ],
)
def test_wrong_parts_cannot_be_made(wrong: Any) -> None:
    with pytest.raises(Rejected):
        wrong(Series(parse_selector("up")))
