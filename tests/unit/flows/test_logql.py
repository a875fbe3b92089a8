"""Against a grammar of the documented syntax, tests/logql.lark: Loki's own parser has no package that could be used."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lark import Lark, UnexpectedInput

from connectors.errors import Rejected
from flows.logql import WORDS, Counted, Counting, LabelFilter, LineFilter, LineOp, Logs, Parser, Summed
from flows.selector import Matcher, Op, Selector, parse_selector
from tests.queries import matchers, selectors, texts, words

GRAMMAR = Lark((Path(__file__).parents[2] / "logql.lark").read_text(), parser="lalr", lexer="basic")
labels = words.filter(lambda name: name.lower() not in WORDS)
plain_filters = st.builds(LineFilter, st.sampled_from([LineOp.HAS, LineOp.HAS_NOT]), texts)
regex_filters = matchers(labels).filter(lambda m: m.op in (Op.REGEX, Op.NOT_REGEX)).map(
    lambda m: LineFilter(LineOp.MATCHES, m.value)
)  # fmt: skip
label_filters = matchers(labels).map(lambda m: LabelFilter(m.name, m.op, m.value))
stages = st.lists(plain_filters | regex_filters | label_filters | st.sampled_from(Parser), max_size=4).map(tuple)
logs = st.builds(Logs, selectors(labels), stages)
counted = st.builds(Counted, st.sampled_from(Counting), logs, st.integers(1, 10**9))
numbers = counted | st.builds(Summed, st.lists(labels, max_size=3).map(tuple), counted)


def inner(query: Logs | Counted | Summed) -> Logs:
    match query:
        case Logs():
            return query
        case Counted():
            return query.logs
        case Summed():
            return query.counted.logs


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(logs | numbers)
def test_whatever_is_built_is_read_as_what_it_is(query: Logs | Counted | Summed) -> None:
    tree = GRAMMAR.parse(str(query))
    read = [tuple(str(token) for token in matcher.children) for matcher in tree.find_data("matcher")]
    expected = [(m.name, m.op.value, m.value) for m in inner(query).selector.matchers]
    assert [(name, op, ast.literal_eval(text)) for name, op, text in read] == expected
    assert len(list(tree.find_data("stage"))) == len(inner(query).stages)
    found = [ast.literal_eval(str(one.children[-1])) for one in tree.find_pred(lambda t: t.data.endswith("_filter"))]
    wanted = [one.text if isinstance(one, LineFilter) else one.value for one in inner(query).stages
              if not isinstance(one, Parser)]  # fmt: skip
    assert sorted(found) == sorted(wanted)


def test_the_parts_together() -> None:
    shop = Logs(
        parse_selector('{app="shop"}'),
        (LineFilter(LineOp.HAS, 'say "hi"'), Parser.JSON, LabelFilter("level", Op.EQUAL, "error")),
    )
    assert str(shop) == '{app="shop"} |= "say \\"hi\\"" | json | level = "error"'
    total = Summed(("pod",), Counted(Counting.COUNT, shop, 90_000))
    assert str(total) == f"sum by (pod) (count_over_time({shop} [90s]))"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda _: Logs(Selector(())),
        lambda _: Logs(Selector((Matcher("a", Op.EQUAL, ""),))),
        lambda _: Logs(Selector((Matcher("a.b", Op.EQUAL, "x"),))),
        lambda _: Logs(Selector((Matcher("json", Op.EQUAL, "x"),))),
        lambda _: LabelFilter("by", Op.EQUAL, "x"),
        lambda _: LabelFilter("a", Op.REGEX, "("),
        lambda _: LineFilter(LineOp.MATCHES, "["),
        lambda _: str(LineFilter(LineOp.HAS, "\ud800")),
        lambda shop: Counted(Counting.RATE, shop, 0),
        lambda shop: Summed(("a) (vector(1)",), Counted(Counting.RATE, shop, 1)),
    ],
)
def test_wrong_parts_cannot_be_made(wrong: Any) -> None:
    with pytest.raises(Rejected):
        wrong(Logs(parse_selector('{app="shop"}')))


@pytest.mark.parametrize(
    "text", ["{}", '{a="b"', '{a="b"} | json | by = "x"', '{json="b"}', "{a='b'}", '{a="\n"}', 'rate({a="b"})']
)
def test_the_grammar_refuses(text: str) -> None:
    with pytest.raises(UnexpectedInput):
        GRAMMAR.parse(text)
