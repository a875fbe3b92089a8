"""Two lists of episodes compared: as by looking at each pair, and in less time."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from api.comparison import compare
from connectors.anomaly import Anomaly, AnomalySignal
from connectors.detector import Shape
from tests.anomalies import make_anomaly

MANY = 20_000


def episode(number: int, start_ms: int, length_ms: int, job: str = "a") -> Anomaly:
    signal = AnomalySignal(labels={"job": job}, shape=Shape.RAW)
    return make_anomaly(number, start_ms=start_ms, time_ms=start_ms + length_ms, signal=signal)


def is_among(others: Sequence[Anomaly], anomaly: Anomaly) -> bool:
    """The slow, obvious twin."""
    return any(
        other.signal.labels == anomaly.signal.labels
        and other.start_ms <= anomaly.time_ms
        and anomaly.start_ms <= other.time_ms
        for other in others
    )


lists = st.lists(st.builds(episode, st.integers(0, 99), st.integers(0, 30), st.integers(0, 9), st.sampled_from("ab")))


@given(before=lists, after=lists, confirmed=lists)
def test_it_says_what_looking_at_each_pair_says(
    before: list[Anomaly], after: list[Anomaly], confirmed: list[Anomaly]
) -> None:
    found = compare(before, after, confirmed)
    assert found.adds == [one.id for one in after if not is_among(before, one)]
    assert found.removes == [one.id for one in before if not is_among(after, one)]
    assert found.hides == [one.id for one in confirmed if not is_among(after, one)]
    assert found.keeps == sum(is_among(before, one) for one in after)


def test_many_episodes_of_one_signal_take_no_minutes() -> None:
    """By pairs it would be 400 million looks, four times over."""
    before = [episode(number, 10 * number, 3) for number in range(MANY)]
    after = [episode(number, 10 * number + 5, 3) for number in range(MANY)]
    found = compare(before, [*after, before[7]])
    assert (len(found.adds), len(found.removes), found.keeps) == (MANY, MANY - 1, 1)
