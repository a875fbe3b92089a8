"""A picture of a backtest: the value in its band, the episodes, and the surprise against the threshold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from connectors.anomaly import Anomaly, Severity
from connectors.errors import Rejected
from flows.frame import Frame
from flows.replay import Replayed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {Severity.INFO: "#f2c14e", Severity.WARNING: "#f78154", Severity.CRITICAL: "#c1121f"}
SIZE_INCHES = (14.0, 6.0)
DPI = 100
NARROWEST = 1 / 400
"""Share of the width that an episode has at least, so that a short one is seen."""


def check_plotting() -> None:
    """Raise ``Rejected`` with what to do when matplotlib is not installed."""
    try:
        import matplotlib.figure  # noqa: F401 - whether it can be imported
    except ImportError as error:
        message = "--plot needs matplotlib, which is not installed: python -m pip install matplotlib"
        raise Rejected(reason="no_matplotlib", message=message) from error


def write_plot(path: Path, name: str, frame: Frame, replayed: Replayed, threshold: float | None) -> None:
    """Write a PNG."""
    import matplotlib as mpl

    with mpl.rc_context({"date.converter": "concise"}):
        _write(path, name, frame, replayed, threshold)


def _write(path: Path, name: str, frame: Frame, replayed: Replayed, threshold: float | None) -> None:
    from matplotlib.figure import Figure

    figure = Figure(SIZE_INCHES, DPI, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    times: Any = frame.times_ms.astype("datetime64[ms]")
    _draw_values(above, times, replayed, "-" if len(frame.labels) == 1 else "")
    _draw_episodes(above, frame, replayed)
    below.plot(times, replayed.scored.score, color="#444444", linewidth=0.7)
    below.set_yscale("symlog", linthresh=1.0)
    if threshold is not None:  # one by chance follows the cadence
        below.axhline(threshold, color=COLOURS[Severity.CRITICAL], linewidth=0.8, linestyle="--")
    below.set_ylabel("surprise")
    above.set_title(name, loc="left", fontsize=10, parse_math=False)
    above.legend(loc="upper left", fontsize=8, ncols=5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _draw_values(axes: Axes, times: Any, replayed: Replayed, line: str) -> None:
    """Values joined by ``line``; those of an entity, which come from one signal after another, stay dots."""
    scored = replayed.scored
    axes.fill_between(times, scored.lower, scored.upper, color="#9ecae1", alpha=0.6, linewidth=0, label="expected band")
    axes.plot(times, replayed.value, line or ".", color="#08306b", linewidth=0.8, markersize=2, label="value")
    axes.plot(times[replayed.alert], replayed.value[replayed.alert], "v", color="#000000", markersize=5, label="alert")
    known = replayed.value[np.isfinite(replayed.value)]
    if len(known):  # a band may be far wider than what it is about
        low, high = float(known.min()), float(known.max())
        room = 0.05 * (high - low) or abs(high) or 1.0
        axes.set_ylim(low - room, high + room)


def _draw_episodes(axes: Axes, frame: Frame, replayed: Replayed) -> None:
    if not replayed.anomalies:
        return
    least_ms = NARROWEST * float(np.ptp(frame.times_ms))
    for severity, colour in COLOURS.items():
        spans = [_span(anomaly, least_ms) for anomaly in replayed.anomalies if anomaly.severity is severity]
        axes.broken_barh(
            spans, (0, 1), transform=axes.get_xaxis_transform(), color=colour, alpha=0.35, linewidth=0, label=severity
        )


def _span(anomaly: Anomaly, least_ms: float) -> tuple[float, float]:
    """Begin and length in days, which are matplotlib's unit of time."""
    length_ms = max(anomaly.time_ms - anomaly.start_ms, least_ms)
    return (
        anomaly.start_ms - (length_ms - (anomaly.time_ms - anomaly.start_ms)) / 2
    ) / 86_400_000, length_ms / 86_400_000
