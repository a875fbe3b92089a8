from __future__ import annotations

import numpy as np
import pytest

from flows.detectors.base import STALE_MARKER, Ints, Scored, Silences, Table
from flows.detectors.missing import WITNESS_MS, Missing, MissingParams
from tests import naive_durations as naive
from tests.checks import at, feed, same

START_MS = 1_700_000_000_000
STALE = np.array([STALE_MARKER], np.int64).view(np.float64)[0]
ONLY = np.zeros(1, np.int64)


def scrapes(n: int, jitter_ms: int = 20, every_ms: int = 15_000, seed: int = 0) -> Ints:
    return START_MS + every_ms * np.arange(n) + np.random.default_rng(seed).integers(-jitter_ms, jitter_ms + 1, n)


def heard(detector: Missing, state: Table, times_ms: Ints, value: float = 1.0) -> Scored:
    return feed(detector, state, np.full(len(times_ms), value), times_ms=times_ms)


def live(detector: Missing, state: Table, times_ms: Ints, until_ms: int, delay_ms: int = 0) -> list[tuple[int, float]]:
    """Samples as they come, ``delay_ms`` late, with a control record each second; gives what was told when."""
    told = []
    pending = list(times_ms)
    for now_ms in range(int(times_ms[0]), until_ms, 1000):
        while pending and pending[0] + delay_ms <= now_ms:
            heard(detector, state, np.array([pending.pop(0)]))
        silences = detector.advance(state, ONLY, now_ms)
        told += [(now_ms, float(score)) for score in silences.scored.score]
    return told


@pytest.mark.parametrize("hold_s", [0.0, 120.0])
def test_it_agrees_with_its_twin(hold_s: float) -> None:
    rng = np.random.default_rng(0)
    pauses = rng.exponential(5000.0, 600) + 1
    pauses[[200, 300, 400]] = (100_000, 300_000, 60_000)
    times_ms = START_MS + np.cumsum(pauses).astype(np.int64)
    params = MissingParams(hold_s=hold_s)
    detector = Missing(params)
    scored = heard(detector, detector.allocate(1), times_ms)
    expected = naive.missing(times_ms.tolist(), params.warmup, params.hold_ms)
    np.testing.assert_allclose(scored.score, [verdict.score for verdict in expected], rtol=1e-4, atol=1e-5)
    assert scored.expected[-1] == pytest.approx(3.5, rel=0.3)


@pytest.mark.parametrize("delay_ms", [0, 4000])
def test_silence_is_told_after_some_scrapes_and_not_before(delay_ms: int) -> None:
    detector = Missing(MissingParams())
    state = detector.allocate(1)
    times_ms = scrapes(200)
    last = int(times_ms[-1]) + delay_ms
    told = live(detector, state, times_ms, last + 300_000, delay_ms)
    first = min(now_ms for now_ms, score in told if score >= 8)
    assert 35_000 < first - last < 80_000
    assert all(now_ms > last for now_ms, score in told if score >= 3)
    assert [score for _, score in told] == sorted(score for _, score in told)


def test_batches_are_part_of_what_is_usual() -> None:
    """A scrape a second, sent each 20 s: pauses in log time are long, those in sample time short."""
    detector = Missing(MissingParams())
    state = detector.allocate(1)
    for batch in range(30):
        now_ms = START_MS + 20_000 * batch
        heard(detector, state, now_ms - 20_000 + 1000 * np.arange(20))
        for second in range(20):
            silences = detector.advance(state, ONLY, now_ms + 1000 * second)
            assert (silences.scored.score < 8).all()


def test_the_pause_before_a_sample_is_judged_too() -> None:
    detector = Missing(MissingParams())
    times_ms = scrapes(100)
    times_ms[80:] += 600_000
    silences = detector.hear(detector.allocate(1), np.zeros(100, np.int64), times_ms, np.ones(100))
    assert silences.length_s[80] == pytest.approx(615, abs=0.1)
    assert silences.scored.score[80] > 8
    assert np.nanmax(np.delete(silences.scored.score, 80)) < 8


def test_a_silence_is_not_learned_while_the_hold_lasts() -> None:
    for hold_s, again in ((86_400.0, True), (0.0, False)):
        detector = Missing(MissingParams(hold_s=hold_s))
        state = detector.allocate(1)
        times_ms = scrapes(300)
        times_ms[100:] += 600_000
        times_ms[200:] += 400_000
        assert bool(heard(detector, state, times_ms).score[200] >= 8) is again


def test_log_time_that_nobody_witnessed_is_no_silence() -> None:
    """Ingest was away for an hour: nobody can say who was silent."""
    detector = Missing(MissingParams())
    state = detector.allocate(1)
    times_ms = scrapes(100)
    end = int(times_ms[-1])
    live(detector, state, times_ms, end + 2000)
    back = end + 3_600_000
    assert not len(detector.advance(state, ONLY, back).at)
    assert back - state["heard_ms"][0] <= WITNESS_MS + 2000


@pytest.mark.parametrize(("after_stale", "missed"), [("silence", True), ("end", False)])
def test_a_stale_marker_is_silence_or_the_end(after_stale: str, missed: bool) -> None:
    detector = Missing(MissingParams(after_stale=after_stale))
    state = detector.allocate(1)
    times_ms = scrapes(100)
    live(detector, state, times_ms, int(times_ms[-1]) + 1000)
    end = int(times_ms[-1]) + 15_000
    marker = feed(detector, state, [STALE], times_ms=np.array([end]))
    assert np.isnan(marker.score).all()
    told = live(detector, state, np.array([end + 600_000]), end + 600_000)
    silences = [score for _, score in told if score >= 8]
    for second in range(300):
        silences += detector.advance(state, ONLY, end + 1000 * second).scored.score.tolist()
    assert any(score >= 8 for score in silences) is missed
    back = heard(detector, state, np.array([end + 900_000]))
    assert bool(back.score[0] >= 8) is missed


def test_a_nan_is_a_sign_of_life() -> None:
    """Prometheus stores 0/0 as a sample."""
    times_ms = scrapes(100)
    values = np.ones(100)
    values[60:90] = np.nan
    detector = Missing(MissingParams())
    scored = feed(detector, detector.allocate(1), values, times_ms=times_ms)
    assert np.isnan(scored.score[60:90]).all()
    assert scored.score[90] < 3


def test_rows_are_judged_alike_however_they_are_asked() -> None:
    """All at once, in another order, or one by one; and only those asked are told."""
    detector = Missing(MissingParams())

    def asked(orders: list[list[int]]) -> list[Silences]:
        state = detector.allocate(4)
        out = []
        for second in range(900):
            now_ms = START_MS + 1000 * second
            for row in range(4):
                if second % 10 == row and not (row > 1 and second > 500):
                    detector.step(state, np.array([row]), np.array([now_ms]), np.ones(1))
            out += [detector.advance(state, np.array(order), now_ms) for order in orders]
        return out

    whole = asked([[0, 1, 2, 3]])
    mixed = asked([[3, 0, 2, 1]])
    single = asked([[0], [1], [2], [3]])
    assert {row for silences in whole for row in silences.at.tolist()} == {2, 3}
    for second, silences in enumerate(whole):
        order = np.argsort(np.array([3, 0, 2, 1])[mixed[second].at], kind="stable")
        same(silences.scored, at(mixed[second].scored, order))
        parts = [single[4 * second + row].scored for row in range(4)]
        same(silences.scored, Scored(*(np.concatenate(columns) for columns in zip(*parts, strict=True))))


def test_it_goes_on_from_a_snapshot_between_control_records() -> None:
    detector = Missing(MissingParams())
    state, other = detector.allocate(1), detector.allocate(1)
    times_ms = scrapes(100)
    live(detector, state, times_ms, int(times_ms[-1]) + 20_000)
    for column in state.columns:
        other[column.name][:] = state[column.name]
    for second in range(20, 100):
        until_ms = int(times_ms[-1]) + 1000 * second
        same(detector.advance(state, ONLY, until_ms).scored, detector.advance(other, ONLY, until_ms).scored)
