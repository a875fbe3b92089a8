"""Records of ``tocsin.status`` as flows write them."""

from __future__ import annotations

from typing import Any

from connectors.status import DetectorStatus, PartitionStatus, SignalState, SignalStatus

NOW_MS = 1_700_000_000_000


def detector_status(**changes: Any) -> DetectorStatus:
    """Of two signals that are judged."""
    fields: dict[str, Any] = {
        "detector": "d", "partition": 0, "log_ms": NOW_MS, "revision": 1, "enabled": True, "matched": 2, "members": 0,
        "warming": 0, "running": 2, "silent": 0, "open": 0, "needs": 0, "step_s": 15.0, "last_ms": NOW_MS - 3_000,
        "samples": 100, "anomalies": 0, "since_ms": NOW_MS - 3_600_000, "anomalies_per_day": 0.0, "threshold": 8.0,
        "drops": {}, "state_bytes": 1000, "signals": [],
    }  # fmt: skip
    return DetectorStatus(**{**fields, **changes})


def signal(n: str, **changes: Any) -> SignalStatus:
    fields: dict[str, Any] = {
        "labels": {"__name__": "m", "n": n}, "state": SignalState.RUNNING, "open": False, "needs": 0,
        "last_ms": NOW_MS - 3_000, "time_ms": NOW_MS - 3_000, "value": 1.0, "score": 0.5, "expected": 1.0,
        "lower": 0.0, "upper": 2.0,
    }  # fmt: skip
    return SignalStatus(**{**fields, **changes})


def partition_status(partition: int = 0, **changes: Any) -> PartitionStatus:
    fields: dict[str, Any] = {
        "partition": partition, "log_ms": NOW_MS, "looked_ms": NOW_MS - 9_000, "detectors_offset": 1, "detectors": 1,
        "series": 2, "lanes": 2, "samples": 100, "judged": 100, "drops": {},
    }  # fmt: skip
    return PartitionStatus(**{**fields, **changes})
