"""Bounds of mining."""

from __future__ import annotations

from dataclasses import dataclass

SERVICE_LABEL = "service_name"
USUAL_LABELS = ("cluster", "namespace", SERVICE_LABEL)
"""Labels of streams that numbers are told by, unless the settings say otherwise."""


@dataclass(frozen=True, slots=True)
class MiningLimits:
    """Bounds of a miner, and the grid on which it counts."""

    step_ms: int = 10_000
    grace_ms: int = 5_000
    too_new_ms: int = 600_000
    max_patterns: int = 10_000
    max_lines: int = 500_000
    """masked lines whose pattern is remembered"""
    max_scopes: int = 10_000
    idle_s: int = 3600
    """log time after which what has no more lines is told no more, and gives way where room is wanted"""

    @property
    def idle_steps(self) -> int:
        """The same in steps."""
        return max(1, 1000 * self.idle_s // self.step_ms)
