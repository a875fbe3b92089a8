"""What a backtest comes to: series, samples, episodes by severity, alarms per series and week."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple, TextIO

from connectors.anomaly import Severity
from connectors.refusals import counted
from flows.frame import Frame
from flows.replay import Replayed

WEEK_MS = 7 * 86_400_000
LOUDEST = 10
"""So many series are named in the summary."""


class Loud(NamedTuple):
    """A series with its alarms."""

    alarms: int
    name: str
    weeks: float
    learned: str


class Summary:
    """Sums over all series (an entity counts as one)."""

    def __init__(self) -> None:
        self.series = self.rows = self.samples = self.alarms = self.failed = 0
        self.weeks = 0.0
        self.severities: Counter[Severity] = Counter()
        self.drops: Counter[str] = Counter()
        self._loud: list[Loud] = []

    def add(self, name: str, frame: Frame, replayed: Replayed) -> None:
        """Count one series."""
        alarms = int(replayed.alert.sum())
        weeks = float(frame.times_ms.max() - frame.times_ms.min()) / WEEK_MS if len(frame.times_ms) else 0.0
        self.series += 1
        self.rows += len(frame.times_ms)
        self.samples += int(frame.present.sum())
        self.alarms += alarms
        self.weeks += weeks
        self.severities.update(anomaly.severity for anomaly in replayed.anomalies)
        self.drops.update(replayed.drops)
        learned = (replayed.learned[0] or "") if len(replayed.learned) == 1 else ""
        self._loud = sorted(
            [*self._loud, Loud(alarms, name, weeks, learned)], key=lambda loud: (-loud.alarms, loud.name)
        )
        del self._loud[LOUDEST:]

    def print(self, out: TextIO, folder: Path) -> None:
        """Write the summary for people."""
        sizes = f"{counted(self.rows, 'row')}, {counted(self.samples, 'sample')}, {self.weeks:.3g} series-weeks"
        lines = [f"{self.series} series, {sizes}"]
        severities = ", ".join(f"{self.severities[severity]} {severity}" for severity in Severity)
        lines.append(f"{counted(self.severities.total(), 'episode')}: {severities}")
        lines.append(f"{counted(self.alarms, 'alarm')}, {_rate(self.alarms, self.weeks)} per series-week")
        dropped = ", ".join(f"{n} {reason}" for reason, n in sorted(self.drops.items()) if n)
        lines += [f"not judged: {dropped}"] * bool(dropped)
        lines += [f"could not be read or written: {self.failed}"] * bool(self.failed)
        loud = [
            f"  {one.alarms:6} ({_rate(one.alarms, one.weeks)} a week)  {one.name}{_learned(one)}"
            for one in self._loud
            if one.alarms
        ]
        lines += ["loudest:", *loud] * bool(loud and self.series > 1)
        lines += [f"learned: {one.learned}" for one in self._loud if one.learned] * (self.series == 1)
        lines += [f"written to {folder}"] * bool(self.series)
        out.write("\n".join(lines) + "\n")


def _learned(one: Loud) -> str:
    return f"  ({one.learned})" if one.learned else ""


def _rate(alarms: int, weeks: float) -> str:
    return f"{alarms / weeks:.2f}" if weeks else "–"
