"""Episodes for the tests of what is said of them."""

from __future__ import annotations

from typing import Any

from flows.episode import TOLD, Episode


def episode(**changes: Any) -> Episode:
    """One sample of 100 where 10 was expected, on a series with a sample a second."""
    fields: dict[str, Any] = {
        "value": 100.0, "expected": 10.0, "lower": 8.0, "upper": 12.0, "surprise": 12.0,
        "peak_value": 100.0, "peak_expected": 10.0, "peak_surprise": 12.0, "peak_size": 45.0,
        "told_surprise": 12.0, "evidence": changes.get("peak_surprise", 12.0),
        "first_expected": 10.0, "threshold": 8.0, "step_s": 1.0,
        "start_ms": 1000, "time_ms": 1000, "peak_ms": 1000, "log_ms": 1000, "told_ms": 1000, "noticed_ms": 1000,
        "samples": 1, "sequence": 0, "direction": 1, "ups": 1, "lane": 0, "phase": TOLD,
    }  # fmt: skip
    return Episode(**{**fields, **changes})
