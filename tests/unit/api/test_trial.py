import asyncio
import math

import numpy as np
import pytest

from api import trial as module
from api.comparison import compare
from api.meters import ApiMeters
from api.problems import ApiError, Code
from api.trial import WAITING_MOST, Trial, Trials, judge
from connectors.detector import DetectorConfig
from connectors.errors import Overloaded, Unavailable
from flows.frame import Frame
from flows.replay import replay

T0 = 1_700_000_000_000
N = 300
MAD = DetectorConfig(name="n", kind="mad", selector="m", params={"window": 30}, threshold=9.0)


def frame(*spikes: int, name: str = "m", n: int = N) -> Frame:
    values = np.random.default_rng(7).normal(10.0, 1.0, n)
    values[list(spikes)] = 25.0
    return Frame(T0 + 15_000 * np.arange(n), values[:, None], np.ones((n, 1), np.bool_), [{"__name__": name}])


def tried(config: DetectorConfig, *frames: Frame) -> Trial:
    return judge(config, frames, lambda _share: None)


def test_verdicts_are_those_of_the_replay_row_by_row() -> None:
    one = frame(200)
    found, wanted = tried(MAD, one), replay(MAD, one)
    (signal,) = found.signals
    assert signal.times_ms == one.times_ms.tolist()
    for name in ("score", "expected", "lower", "upper"):
        column = [math.nan if value is None else value for value in getattr(signal, name)]
        np.testing.assert_array_equal(column, getattr(wanted.scored, name))
    assert signal.score[0] is None
    assert np.flatnonzero(signal.alert).tolist() == [200]
    assert (found.alerts, found.anomalies) == (1, wanted.anomalies)
    assert found.alerts_per_day == pytest.approx(86_400 / (15 * (N - 1)))


def test_each_frame_is_a_signal_and_nothing_is_nothing() -> None:
    found = tried(MAD, frame(200), frame(name="other"), frame(name="none", n=0))
    assert [signal.labels for signal in found.signals] == [[{"__name__": name}] for name in ("m", "other", "none")]
    assert [sum(signal.alert) for signal in found.signals] == [1, 0, 0]
    assert tried(MAD, frame(n=0)).alerts_per_day is None


def test_a_comparison_goes_by_signal_and_time() -> None:
    strict = MAD.model_copy(update={"threshold": 290.0})
    before, after = tried(MAD, frame(100, 200)), tried(MAD, frame(200, 250))
    assert compare(before.anomalies, after.anomalies).model_dump() == {
        "adds": [after.anomalies[1].id],
        "removes": [before.anomalies[0].id],
        "keeps": 1,
        "hides": None,
    }
    assert compare([], after.anomalies, before.anomalies).hides == [before.anomalies[0].id]
    silent = compare(before.anomalies, tried(strict, frame(100, 200)).anomalies)
    assert (silent.adds, len(silent.removes), silent.keeps) == ([], 2, 0)
    elsewhere = tried(MAD, frame(100, 200, name="other"))
    assert compare(before.anomalies, elsewhere.anomalies).keeps == 0


def test_a_trial_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_S", -1.0)

    async def main() -> None:
        trials = Trials(ApiMeters())
        with pytest.raises(ApiError) as caught:
            await trials.run(MAD, [frame()])
        assert caught.value.code is Code.TOO_LARGE

    asyncio.run(main())


def test_more_than_may_wait_are_refused() -> None:
    meters = ApiMeters()

    async def main() -> None:
        trials = Trials(meters)
        running = [asyncio.create_task(trials.run(MAD, [frame()])) for _ in range(WAITING_MOST + 1)]
        await asyncio.sleep(0)
        assert meters.registry.get_sample_value("tocsin_api_work", {"kind": "trials"}) == WAITING_MOST + 1
        with pytest.raises(Overloaded):
            await trials.run(MAD, [frame()])
        assert len(await asyncio.gather(*running)) == WAITING_MOST + 1
        assert len((await trials.run(MAD, [frame()])).signals) == 1

    asyncio.run(main())
    assert meters.registry.get_sample_value("tocsin_api_work", {"kind": "trials"}) == 0


def test_the_end_of_the_process_does_not_wait_for_a_trial() -> None:
    async def main() -> None:
        trials = Trials(ApiMeters())
        running = [asyncio.create_task(trials.run(MAD, [frame()] * 50)) for _ in range(2)]
        await asyncio.sleep(0)
        trials.stop()
        ended = await asyncio.gather(*running, return_exceptions=True)
        assert [type(error) for error in ended] == [Unavailable, asyncio.CancelledError]

    asyncio.run(main())
