from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from api.backtest_summary import LOUDEST, WEEK_MS, Summary
from connectors.detector import DetectorConfig
from flows.frame import Frame
from flows.replay import EVERYTHING, replay

CONFIG = DetectorConfig(name="d", kind="zscore", selector=EVERYTHING, params={"window": 20})


def summary_of(spikes: list[int], config: DetectorConfig = CONFIG) -> str:
    """Two weeks of hourly values per series, with so many spikes each; two of the rows come twice."""
    summary = Summary()
    for number, n in enumerate(spikes):
        values = (10.0 + np.arange(337) % 5)[:, None]
        values[50 : 50 + 25 * n : 25] = 60.0
        times_ms = 3_600_000 * np.arange(337)
        frame = Frame(np.append(times_ms, times_ms[-2:]), np.append(values, values[-2:], axis=0),
                      np.ones((339, 1), np.bool_), [{"__name__": "v"}])  # fmt: skip
        summary.add(f"s{number:02}", frame, replay(config, frame))
    out = io.StringIO()
    summary.print(out, Path("out"))
    return out.getvalue()


def test_the_sums() -> None:
    assert WEEK_MS == 7 * 24 * 3_600_000
    assert summary_of([1, 3, 0]).splitlines() == [
        "3 series, 1017 rows, 1017 samples, 6 series-weeks",
        "4 episodes: 0 info, 0 warning, 4 critical",
        "4 alarms, 0.67 per series-week",
        "not judged: 3 duplicate, 3 out_of_order",
        "loudest:",
        "       3 (1.50 a week)  s01",
        "       1 (0.50 a week)  s00",
        "written to out",
    ]


def test_one_is_not_many_and_little_is_not_nothing() -> None:
    summary, out = Summary(), io.StringIO()
    times_ms = 60_000 * np.arange(60)
    values = (10.0 + np.arange(60) % 5)[:, None]
    values[50] = 60.0
    frame = Frame(times_ms, values, np.ones((60, 1), np.bool_), [{"__name__": "v"}])
    summary.add("s", frame, replay(CONFIG, frame))
    summary.print(out, Path("out"))
    assert out.getvalue().splitlines()[:3] == [
        "1 series, 60 rows, 60 samples, 0.00585 series-weeks",
        "1 episode: 0 info, 0 warning, 1 critical",
        "1 alarm, 170.85 per series-week",
    ]


def test_only_the_loudest_are_named() -> None:
    lines = summary_of([1] * 12 + [2]).splitlines()
    named = [line.split()[-1] for line in lines if "a week" in line]
    assert named == ["s12", *(f"s{number:02}" for number in range(LOUDEST - 1))]


def test_what_auto_learned_is_told() -> None:
    auto = DetectorConfig(name="d", kind="auto", selector=EVERYTHING)
    (line,) = [line for line in summary_of([0], auto).splitlines() if line.startswith("learned: ")]
    assert "predicted best by its level at this hour" in line
    loudest = [line for line in summary_of([1, 2], auto).splitlines() if "a week)  s01  (" in line]
    assert "predicted best by" in "".join(loudest)


def test_nothing_at_all() -> None:
    assert summary_of([]).splitlines()[2] == "0 alarms, – per series-week"
