"""Parts of queries drawn at random, with texts that try to get out of their quotes."""

from __future__ import annotations

from hypothesis import assume
from hypothesis import strategies as st

from flows import promql
from flows.selector import Matcher, Op, Selector, SelectorError, parse_selector

NASTY = ('"', "\\", "\\\\", '"}', '"} or vector(1) #', "\n", "`", "'", "#", "\x00", "\x7f", "\ufeff", "\u2028",
         "{{.x}}", "ü€🎉", "}", ")", "[5m]", "$__interval", "${x}", "\\u0022", "\\x22")  # fmt: skip
pieces = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
texts = st.lists(pieces, max_size=4).map("".join)
words = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True) | st.sampled_from(sorted(promql.WORDS))
names = words | texts.filter(bool)
"""Prometheus 3 takes any text as the name of a label; before, and in Loki, it is a word."""


def matchers(label: st.SearchStrategy[str]) -> st.SearchStrategy[Matcher]:
    plain = st.builds(Matcher, label, st.sampled_from([Op.EQUAL, Op.NOT_EQUAL]), texts)
    patterns = st.lists(texts.map(_escaped), max_size=3).map("|".join)
    return plain | st.builds(Matcher, label, st.sampled_from([Op.REGEX, Op.NOT_REGEX]), patterns)


@st.composite
def selectors(draw: st.DrawFn, label: st.SearchStrategy[str]) -> Selector:
    """Of up to three matchers; those that contradict each other, which parse_selector would refuse, are not drawn."""
    found = [*draw(st.lists(matchers(label), max_size=2)), Matcher("anchor", Op.EQUAL, draw(texts.filter(bool)))]
    made = Selector(tuple(sorted(found, key=lambda m: (m.name, m.op, m.value))))
    try:
        parsed = parse_selector("{" + ",".join(map(promql.matcher_text, made.matchers)) + "}")
    except SelectorError:
        assume(False)
    assert parsed == made
    return made


def vectors(label: st.SearchStrategy[str]) -> st.SearchStrategy[promql.Vector]:
    """Whatever PromQL can be built with such labels."""
    quantiles = st.floats(0, 1)
    series = st.builds(promql.Series, selectors(label))
    changes = st.builds(promql.Change, st.sampled_from(promql.Changing), series, st.integers(1, 10**9))
    groupings = st.builds(promql.Grouping, st.lists(label, max_size=3).map(tuple), st.booleans())
    aggregates = st.builds(
        promql.Aggregated, st.sampled_from(promql.Aggregator), groupings, series | changes
    ) | st.builds(promql.QuantileOf, quantiles, groupings, series | changes)
    histograms = st.builds(promql.HistogramQuantile, quantiles, aggregates)
    return series | changes | aggregates | histograms | st.builds(promql.Quotient, aggregates, aggregates)


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in r".+*?()[]{}^$|\\" else char for char in text)
