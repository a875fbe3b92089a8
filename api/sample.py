"""What the demo source reads and pushes: one value of one series."""

from __future__ import annotations

from collections.abc import Mapping

Labels = Mapping[str, str]
"""Among them the metric's name as ``__name__``."""
Sample = tuple[Labels, float]
