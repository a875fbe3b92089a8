"""Names of the series that tell of logs, and of their labels. docs/logs.md describes them."""

from __future__ import annotations

LINES = "log_lines_total"
BYTES = "log_bytes_total"
PATTERNS = "log_patterns_total"
PATTERN_LINES = "log_pattern_lines_total"
NOVELTY = "log_pattern_novelty"
PASSING = frozenset({PATTERN_LINES, NOVELTY})
"""Their series end by themselves, so nobody misses those of which nothing comes."""
LEVEL_LABEL, PATTERN_LABEL = "level", "pattern"
