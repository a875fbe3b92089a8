from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.selector import MAX_MATCHERS, Matcher, Op, SelectorError, parse_selector, quote

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
    'up{missing="x"}', 'up{job="API"}', 'up{job="api",instance="b"}', 'up{job!~".*"}',
])  # fmt: skip
def test_these_do_not_match(text: str) -> None:
    assert not parse_selector(text).matches(UP)


@pytest.mark.parametrize(("text", "where", "problem"), [
    ("", 1, "every series"),
    ("{}", 3, "every series"),
    ('{job=~".*"}', 12, "every series"),
    ('{job!="api"}', 13, "every series"),
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
])  # fmt: skip
def test_matchers_that_exclude_each_other_are_refused(text: str, one: str, other: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_selector(text)
    assert f"no series can fulfil both {one} and {other}" in str(caught.value)


@pytest.mark.parametrize("text", [
    'up{job="api",job="api"}', 'up{job="api",job!="web",job=~"a.*",job!~"w.*"}', 'up{x="",x!="y"}',
    'up{job!="a",job!="b"}',
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


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(MATCHERS, max_size=4))
def test_what_is_printed_reads_back(matchers: list[Matcher]) -> None:
    matchers = list({m.name: m for m in matchers if m.name != "sure"}.values())  # none may exclude another
    text = "{" + ",".join([*(str(m) for m in matchers if m.name != "__name__"), 'sure="1"']) + "}"
    selector = parse_selector(text)
    assert parse_selector(str(selector)) == selector
    assert len(selector.matchers) == 1 + sum(m.name != "__name__" for m in matchers)


def test_quote() -> None:
    assert quote('a"b\\c\n') == r'"a\"b\\c\n"'
