from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.codec.encode import encode_labels
from connectors.detector import Aggregate, Detector, Group
from flows.conditions import Conditions
from flows.config import CompiledDetector, compile_config
from flows.label_columns import LabelColumns
from flows.matching import Matching, Wanted
from tests.examples import examples
from tests.streams import config

SELECTORS = [
    "m", "n", 'm{a="1"}', '{a="1"}', '{a="1",b="x"}', '{a=~"1|2"}', '{__name__=~"m|n",b="x"}', 'm{a=""}', 'm{a!="1"}',
    '{b!=""}', '{a=~"1.*"}', '{a=~"1.*|11.+|2"}', '{a=~"1[0-9]*"}', '{a=~".*1"}', '{a!~"1|2",__name__=~".+"}',
    '{b=~"x|",__name__=~"m.*"}', '{a=~"1",a!="2",b!~".+"}',
]  # fmt: skip
VALUES = ["", "m", "mn", "n", "1", "11", "12", "2", "x"]
LABELS = st.dictionaries(st.sampled_from(["__name__", "a", "b", "c"]), st.sampled_from(VALUES))
DIVISOR = Group(aggregate=Aggregate.SUM, denominator='{a=~"1.*"}')
CONFIGS = [
    *((selector, None) for selector in SELECTORS),
    *((selector, DIVISOR) for selector in SELECTORS if selector != DIVISOR.denominator),  # which is always 1
]


def compiled(number: int, selector: str, group: Group | None = None) -> CompiledDetector:
    made = config(selector=selector, threshold=1.0 + number, group=group)
    return compile_config(Detector(id=f"d{number}", revision=1, config=made, author="", updated_ms=0))


def naive(detectors: dict[int, CompiledDetector], series: list[dict[str, str]]) -> dict[int, list[int]]:
    """Every selector against every series."""
    found = {
        number: [i for i, labels in enumerate(series) if any(s.matches(labels) for s in detector.watches)]
        for number, detector in detectors.items()
    }
    return {number: places for number, places in found.items() if places}


def wanted(matching: Matching, series: list[dict[str, str]]) -> dict[int, list[int]]:
    columns = LabelColumns([encode_labels(labels) for labels in series], matching.names)
    found = by_number(matching.wanted(columns))
    assert by_number(matching.wanted_by(matching.numbers, columns)) == found, "the two ways agree"
    return found


def by_number(found: Wanted) -> dict[int, list[int]]:
    pairs = list(zip(found.numbers.tolist(), found.places.tolist(), strict=True))
    assert pairs == sorted(set(pairs))
    return {number: [place for one, place in pairs if one == number] for number in found.numbers.tolist()}


@pytest.mark.long
@examples(200)
@given(
    st.lists(st.sampled_from(CONFIGS), max_size=20),
    st.sets(st.integers(0, 20)),
    st.lists(LABELS, max_size=12),
)
def test_it_finds_what_trying_all_finds(
    configs: list[tuple[str, Group | None]], removed: set[int], series: list[dict[str, str]]
) -> None:
    detectors = {n: compiled(n, *one) for n, one in enumerate(configs)}
    matching = Matching()
    for number, detector in detectors.items():
        matching.add(number, detector)
    assert wanted(matching, series) == naive(detectors, series)
    for number in removed & set(detectors):
        matching.remove(number)
        del detectors[number]
    columns = LabelColumns([encode_labels(labels) for labels in series], ["__name__", "a", "b"])
    assert by_number(matching.wanted_by(detectors, columns)) == naive(detectors, series)
    for number in removed:  # in the places of those that are gone
        detectors[number] = compiled(number, *CONFIGS[(7 * number) % len(CONFIGS)])
        if number < len(configs):
            matching.add(number, detectors[number])
    detectors = {number: one for number, one in detectors.items() if number < len(configs)}
    assert by_number(matching.wanted_by(detectors, columns)) == naive(detectors, series)
    assert wanted(matching, series) == naive(detectors, series)
    assert len(matching) == len(detectors)
    assert set(matching.names) == {m.name for d in detectors.values() for s in d.watches for m in s.matchers}


def test_one_series_against_many_and_one_detector_against_many() -> None:
    """Homes are looked up from whichever side is smaller."""
    detectors = {n: compiled(n, f'{{a=~"v{n}.*"}}' if n % 2 else f'm{{a="v{n}"}}') for n in range(40)}
    series = [{"__name__": "m", "a": f"v{n}"} for n in range(40)]
    matching = Matching()
    for number, detector in detectors.items():
        matching.add(number, detector)
    assert wanted(matching, series[:1]) == naive(detectors, series[:1])
    for number in range(39):
        matching.remove(number)
    assert wanted(matching, series) == {39: [39]}


def test_what_an_equal_selector_chose_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    matching, series = Matching(), [{"__name__": "m", "a": str(n)} for n in range(30)]
    for number in range(6):
        matching.add(number, compiled(number, ('m{a=~"1|2.*"}', 'm{a!="1"}')[number % 2]))
    columns = LabelColumns([encode_labels(labels) for labels in series], matching.names)
    first = by_number(matching.wanted_by([0, 1], columns))
    monkeypatch.setattr(Conditions, "fulfilled", None)
    found = by_number(matching.wanted_by([5, 2, 4, 3], columns))
    assert found == {2: first[0], 3: first[1], 4: first[0], 5: first[1]}


def test_who_asks_for_nothing_more_shares_a_home_with_others_of_that_sort() -> None:
    """Selectors without a further condition, of one value and of alternatives."""
    detectors = {n: compiled(n, selector) for n, selector in enumerate(['{a="1"}', '{a=~"1|2"}', '{a=~"1|x"}'])}
    series = [{"__name__": "m", "a": value, "n": str(n)} for n in range(6) for value in ("1", "2")]
    matching = Matching()
    for number, detector in detectors.items():
        matching.add(number, detector)
    for some in (series, series[:1]):
        assert wanted(matching, some) == naive(detectors, some)
    matching.remove(1)
    del detectors[1]
    assert wanted(matching, series) == naive(detectors, series)


def test_removing_what_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        Matching().remove(0)
