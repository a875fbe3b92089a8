from __future__ import annotations

import time
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.selector import MAX_MATCHERS, Matcher, Op, SelectorError, parse_selector, quote
from tests.examples import examples

UP = {"__name__": "up", "job": "api", "instance": "a:9090"}


@pytest.mark.parametrize("text", [
    "up", " up ", "up{}", 'up{job="api"}', "up{job='api'}", "up{job=`api`}", '{__name__="up"}', '{"up"}',
    '{"up", job="api"}', 'up{job=~"a.*"}', 'up{job=~"api|web"}', 'up{job!="web"}', 'up{job!~"w.*"}', 'up{job="api",}',
    '{__name__=~"u.",job="api"}', 'up{missing=""}', 'up{missing!="x"}', 'up{missing=~".*"}', 'up { job = "api" } ',
    'up{"job"="api"}', 'up{instance=~"a:.+"}', 'up{job=~"(?i)API"}',
])  # fmt: skip
def test_these_match(text: str) -> None:
    assert parse_selector(text).matches(UP)


@pytest.mark.parametrize("text", [
    "down", 'up{job="web"}', 'up{job=~"ap"}', 'up{job=~"pi"}', 'up{job!="api"}', 'up{job!~"a.*"}', 'up{missing=~".+"}',
    'up{missing="x"}', 'up{job="API"}', 'up{job="api",instance="b"}',
])  # fmt: skip
def test_these_do_not_match(text: str) -> None:
    assert not parse_selector(text).matches(UP)


@pytest.mark.parametrize(("text", "where", "problem"), [
    ("", 1, "lack its label"),
    ("{}", 3, "lack its label"),
    ('{job=~".*"}', 12, "lack its label"),
    ('{job!="api"}', 13, "lack its label"),
    ('{job!~".+"}', 12, "lack its label"),
    ('{job=""}', 9, "lack its label"),
    ('up{job="api"', 13, "expected , or }"),
    ('up{job="api}', 13, "does not end"),
    ("up{job=api}", 8, "expected a string"),
    ("up{job}", 7, "expected one of"),
    ('up{job=="api"}', 8, "expected a string"),
    ('up{=“api"}', 4, "label name"),
    ('up{job="a" instance="b"}', 12, "expected , or }"),
    ('up{job=~"("}', 9, "RE2"),
    ('up{job=~"(?=a)"}', 9, "RE2"),
    ('up{__name__="down"}', 20, "twice"),
    ("up down", 4, "end of the selector"),
    ("9up", 1, "metric name"),
    ('up{job="\\q"}', 10, "unknown escape"),
    ('up{job="\\x4"}', 10, "2 hexadecimal"),
    ('up{job="a\nb"}', 10, "does not end"),
    ("up[5m]", 3, "end of the selector"),
    ("sum(up)", 4, "end of the selector"),
])  # fmt: skip
def test_errors_name_the_place(text: str, where: int, problem: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_selector(text)
    assert f"character {where}:" in str(caught.value)
    assert problem in str(caught.value)
    assert caught.value.reason == "bad_selector"


@pytest.mark.parametrize(("text", "one", "other"), [
    ('up{a="b",a="c"}', 'a="c"', 'a="b"'),
    ('up{a="x",a!="x"}', 'a="x"', 'a!="x"'),
    ('up{a!="x",b="1",a="x"}', 'a="x"', 'a!="x"'),
    ('up{__name__!="up"}', '__name__="up"', '__name__!="up"'),
    ('{__name__=~"u",__name__="up"}', '__name__="up"', '__name__=~"u"'),
    ('up{a="x",a=~"y"}', 'a="x"', 'a=~"y"'),
    ('up{a="x",a!~"x|y"}', 'a="x"', 'a!~"x|y"'),
    ('up{a="",a!=""}', 'a=""', 'a!=""'),
    ('up{job=~"a|b",job=~"c|d"}', 'job=~"a|b"', 'job=~"c|d"'),
    ('up{job=~"(a|b)",job!~"a|b|c"}', 'job=~"(a|b)"', 'job!~"a|b|c"'),
    ('up{job=~"a.*",job=~"b.*|c"}', 'job=~"a.*"', 'job=~"b.*|c"'),
    ('up{job=~"a[0-9]",job=~"b[0-9]"}', 'job=~"a[0-9]"', 'job=~"b[0-9]"'),
    ('up{job=~"a[0-9]",job=~"b|c"}', 'job=~"a[0-9]"', 'job=~"b|c"'),
    ('up{a=~".+",a!~".+"}', 'a=~".+"', 'a!~".+"'),
    ('up{a!="",a!~".+"}', 'a!=""', 'a!~".+"'),
])  # fmt: skip
def test_matchers_that_exclude_each_other_are_refused(text: str, one: str, other: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_selector(text)
    either = f"{one} and {other}", f"{other} and {one}"
    assert any(f"no series can fulfil both {pair}; leave" in str(caught.value) for pair in either)


@pytest.mark.parametrize("text", ['{a!~".*"}', 'up{a!~"(.*)"}', 'up{a!~"x|.*"}', 'up{a!~".+|"}', 'up{a!~".*.*"}'])
def test_a_matcher_that_takes_no_value_is_refused(text: str) -> None:
    with pytest.raises(SelectorError, match="no series can fulfil a!~"):
        parse_selector(text)


TEXTS = ["".join(letters) for n in range(4) for letters in product("ab\n", repeat=n)]
VALUES = st.lists(st.sampled_from(["a", "b", "|", ".*", ".+", "(", ")", "[ab]", "ab", "a?", "\n"]), max_size=4).map(
    "".join
)


@examples(400)
@given(st.lists(st.tuples(st.sampled_from(Op), VALUES), min_size=1, max_size=4))
def test_what_is_refused_can_really_not_be_fulfilled(drawn: list[tuple[Op, str]]) -> None:
    matchers = ",".join(f"a{op}{quote(value)}" for op, value in drawn)
    try:
        parse_selector(f"up{{{matchers}}}")
    except SelectorError as error:
        if "no series can fulfil" in str(error):
            wanted = [Matcher("a", op, value) for op, value in drawn]
            assert not any(all(matcher.matches(text) for matcher in wanted) for text in TEXTS)


def test_a_selector_with_very_many_texts_is_read_at_once() -> None:
    """Whoever sends 64 KiB of alternatives must not keep the api busy."""
    values = "|".join(f"v{n:04}" for n in range(170))
    matchers = ",".join(f'a=~"{values}|{n}"' for n in range(MAX_MATCHERS - 1))
    began_s = time.process_time()
    assert parse_selector(f"up{{{matchers}}}").metric == "up"
    assert time.process_time() - began_s < 5.0


def test_matchers_that_exclude_each_other_only_together_are_refused() -> None:
    with pytest.raises(SelectorError) as caught:
        parse_selector('up{b="1",job=~"a|b",job!="a",job!="b"}')
    assert 'no series can fulfil job=~"a|b", job!="a" and job!="b"; leave' in str(caught.value)


@pytest.mark.parametrize("text", [
    'up{job="api",job="api"}', 'up{job="api",job!="web",job=~"a.*",job!~"w.*"}', 'up{x="",x!="y"}',
    'up{job!="a",job!="b"}', 'up{job=~"api|b",job=~"api|d"}', 'up{job=~"a.*",job=~".*i"}', 'up{job=~"a.*",job=~"api"}',
    'up{job=~"a.*",job=~"(ap|b)i"}', 'up{job=~"[a-z]+",job=~"a.*"}', 'up{x!~".+"}', 'up{x!~".+",x=""}', 'up{x=~"|y"}',
    'up{job=~"a.*|b.*",job=~"b.*|ap.*"}', 'up{job!~".+.+.+.+"}', 'up{job=~"(?i)API",job=~"a.*"}',
])  # fmt: skip
def test_matchers_that_agree_are_taken(text: str) -> None:
    assert parse_selector(text).matches(UP)


def test_too_many_matchers_are_refused() -> None:
    matchers = ",".join(f'l{n}="x"' for n in range(MAX_MATCHERS + 1))
    with pytest.raises(SelectorError, match="at most 64"):
        parse_selector("{" + matchers + "}")


@pytest.mark.parametrize(("text", "value"), [
    (r'{a="\n\t\\\""}', '\n\t\\"'), (r"{a='\''}", "'"), (r"{a=`\n`}", r"\n"), (r'{a="\x41\u00e9\U0001F514"}', "Aé🔔"),
    ("{a=`x\ny`}", "x\ny"),
])  # fmt: skip
def test_strings_as_in_promql(text: str, value: str) -> None:
    assert parse_selector(text).matchers == (Matcher("a", Op.EQUAL, value),)


@pytest.mark.parametrize("text", [r'{a="\ud800"}', r'{a="\U00110000"}', r'{a=~"\udfff.*"}'])
def test_escapes_beyond_unicode_are_refused(text: str) -> None:
    with pytest.raises(SelectorError):
        parse_selector(text)


def test_the_order_of_matchers_does_not_matter() -> None:
    assert parse_selector('up{b="2",a="1"}') == parse_selector('{a="1", b="2", __name__="up"}')


@pytest.mark.parametrize(("text", "metric"), [("up", "up"), ('{__name__="up"}', "up"), ('{__name__=~"u."}', None)])
def test_the_metric_name(text: str, metric: str | None) -> None:
    assert parse_selector(text).metric == metric


NAMES = st.one_of(st.sampled_from(["job", "__name__", "_x9"]), st.text(min_size=1, max_size=8))
MATCHERS = st.builds(Matcher, NAMES, st.sampled_from([Op.EQUAL, Op.NOT_EQUAL]), st.text(max_size=8))


@examples(100)
@given(st.lists(MATCHERS, max_size=4))
def test_what_is_printed_reads_back(matchers: list[Matcher]) -> None:
    matchers = list({m.name: m for m in matchers if m.name != "sure"}.values())  # none may exclude another
    text = "{" + ",".join([*(str(m) for m in matchers if m.name != "__name__"), 'sure="1"']) + "}"
    selector = parse_selector(text)
    assert parse_selector(str(selector)) == selector
    assert len(selector.matchers) == 1 + sum(m.name != "__name__" for m in matchers)


def test_quote() -> None:
    assert quote('a"b\\c\n') == r'"a\"b\\c\n"'
