"""What ingest takes of labels and lines: settings and their bounds. Nothing compiled, so that checking is quick."""

from __future__ import annotations

from typing import NamedTuple

RECORD_BYTES = 512 * 1024
"""Where a record ends; Kafka's default limit is 1 MiB, and kafka-python compares before compression."""
MAX_LABELS, MAX_EMPTY = 256, 1024
"""Labels of one series, with a value and without; a series with more is refused. Sorting the former is quadratic."""
MAX_LABEL_BYTES, MAX_FIELD_BYTES = RECORD_BYTES // 8, RECORD_BYTES // 2
"""All labels of a series at most, and one sample, histogram or exemplar: together they must fit into a record."""
MAX_FAMILIES, MAX_FAMILY_BYTES = 10_000, 1024
"""Metadata of so many families is taken of a request, and none of a family with a longer name: senders repeat it."""
SHORT_BYTES = 128
"""Shorter names and values are not measured: the limits must allow them."""


class LabelLimits(NamedTuple):
    """What the labels of one series may be; those with an empty value are left out.

    Names and values as in Mimir, whose 30 or 40 labels are too few for the checks of prometheus/compliance.
    """

    labels: int = MAX_LABELS
    """at most ``MAX_LABELS``"""
    name_bytes: int = 1024
    """at least ``SHORT_BYTES``"""
    value_bytes: int = 2048
    """at least ``SHORT_BYTES``"""
    series_bytes: int = 32 * 1024
    """of all labels as records hold them, at most ``MAX_LABEL_BYTES``"""


USUAL_LIMITS = LabelLimits()

MAX_STREAMS = 10_000
"""Streams of one push."""
MAX_PAIRS, MAX_PAIR_BYTES = 128, 64 * 1024
"""Structured metadata of one line: names with values, and their bytes; what Loki takes by default."""
LONGEST_LINE_BYTES = 512 * 1024
"""No setting takes longer lines: with its labels and metadata one must fit into a record that Kafka takes."""

USUAL_LINE_BYTES = 256 * 1024
"""As Loki's ``max_line_size``."""
