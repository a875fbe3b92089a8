"""What the past has taught a detector's groups, on its way from a partition to where they are judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.detector import Detector, Shape
from connectors.messages import OutRecord
from connectors.training import PartState, TrainingPart


@dataclass(frozen=True, slots=True)
class Learned:
    """It is put to use before the first step after ``until``: so its place among the steps stands in the log.

    ``incarnation`` is that of the detector's parts (see ``Part``); ``signal`` what members were turned into there, None
    if nobody said.
    """

    detector: Detector
    incarnation: int
    until: int
    signal: Shape | None
    report: TrainingPart
    memory: bytes
    """what ``WarmGroups.save`` gave"""

    def ended(self, topic: str, state: PartState, reason: str = "", replaced: int = 0) -> OutRecord:
        """How the training ended."""
        told = self.report.model_copy(update={"state": state, "reason": reason, "replaced": replaced})
        return OutRecord(topic, told.key, told.encode(), [])

    def saved(self) -> dict[str, Any]:
        """All but the memory, as JSON has it."""
        return {
            "detector": self.detector.model_dump(mode="json"), "incarnation": self.incarnation, "until": self.until,
            "signal": self.signal, "report": self.report.model_dump(mode="json"),
        }  # fmt: skip


def load_learned(saved: Mapping[str, Any], memory: bytes) -> Learned:
    """What ``Learned.saved`` was made of."""
    signal = saved["signal"]
    return Learned(
        Detector.model_validate(saved["detector"]), saved["incarnation"], saved["until"],
        None if signal is None else Shape(signal), TrainingPart.model_validate(saved["report"]), memory,
    )  # fmt: skip
