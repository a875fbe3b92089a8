"""The bounds of one block."""

from __future__ import annotations

from dataclasses import dataclass

from flows.keys import MAX_KEYS
from flows.labels_archive import MAX_LABEL_BYTES
from flows.models import MAX_MODELS
from flows.work import work_of


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """Bounds of one block."""

    max_series: int = 1_000_000
    max_label_bytes: int = MAX_LABEL_BYTES
    max_episodes: int = 100_000
    max_models: int = MAX_MODELS
    max_keys: int = MAX_KEYS
    idle_s: int = 3600
    too_old_ms: int = 24 * 3_600_000
    too_new_ms: int = 600_000
    max_work: int = work_of(1)
