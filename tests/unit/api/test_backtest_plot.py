from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from api.backtest_plot import DPI, SIZE_INCHES, check_plotting, write_plot
from connectors.detector import DetectorConfig
from connectors.errors import Rejected
from flows.frame import Frame
from flows.policy import threshold_of
from flows.replay import EVERYTHING, replay

CONFIG = DetectorConfig(name="d", kind="zscore", selector=EVERYTHING, params={"window": 20})


def frame_of(signals: int, rows: int = 200) -> Frame:
    values = np.random.default_rng(0).normal(10.0, 1.0, (rows, signals))
    values[rows // 2 : rows // 2 + 1] = 50.0
    times_ms = 1_700_000_000_000 + 15_000 * np.arange(rows)
    return Frame(times_ms, values, np.ones(values.shape, np.bool_), [{"__name__": f"$v_{n}"} for n in range(signals)])


@pytest.mark.parametrize(("signals", "rows"), [(1, 200), (3, 200), (1, 1), (1, 0)])
def test_a_picture_of_every_frame(tmp_path: Path, signals: int, rows: int) -> None:
    frame = frame_of(signals, rows)
    replayed = replay(CONFIG, frame)
    assert bool(replayed.anomalies) == (rows > 1)
    path = tmp_path / "deep" / "a.png"
    write_plot(path, "$a_b", frame, replayed, threshold_of(CONFIG))
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == tuple(int(inches * DPI) for inches in SIZE_INCHES)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_plotting()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(Rejected, match="needs matplotlib"):
        check_plotting()
