"""Kernel for the usual 1.0 series, which is copied as it stands: one look at each label, nothing stored.

It only ever says "usual" or "I do not know"; in the latter case ``walk`` and ``split`` find out the long way, and a
property test holds that both come to the same end.
"""

from __future__ import annotations

import numpy as np

from connectors.codec.kernels import plain_sample
from connectors.codec.spans import METRIC_NAME, MOST_LABELS, SERIES_BYTES, ascii_only, compare
from connectors.codec.varint import BAD, kernel, plain_label, read_byte, read_u64
from connectors.codec.walk import LABEL, SAMPLE


@kernel
def _follows(buf, last, last_to, name, name_to):  # type: ignore[no-untyped-def]
    """Whether the name is greater than the one before it."""
    a, b = read_byte(buf, last), read_byte(buf, name)
    return a < b or (a == b and compare(buf, last, last_to, name, name_to) < 0)


@kernel
def usual_labels(buf, pos, end, limits):  # type: ignore[no-untyped-def]
    """Position after the labels at ``pos`` if they are canonical, ``__name__`` among them, and ASCII; else BAD.

    Their names and values have less than 128 bytes, which ``limits`` always allow.
    """
    start, count, named = pos, 0, False
    last, last_to = np.int64(0), np.int64(0)
    while pos < end and read_byte(buf, pos) == LABEL:
        after = plain_label(buf, pos, end)
        if after < 0:
            return np.int64(BAD)
        name, name_to = pos + 4, pos + 4 + read_byte(buf, pos + 3)
        if name_to == name or after == name_to + 2:
            return np.int64(BAD)
        if count > 0 and not _follows(buf, last, last_to, name, name_to):
            return np.int64(BAD)
        named = named or (name_to - name == 8 and read_u64(buf, name) == METRIC_NAME)
        last, last_to, count, pos = name, name_to, count + 1, after
    usual = named and count <= limits[MOST_LABELS] and pos - start <= limits[SERIES_BYTES]
    return np.int64(pos) if usual and ascii_only(buf, start, pos) else np.int64(BAD)


@kernel
def usual_samples(buf, pos, end, to):  # type: ignore[no-untyped-def]
    """Number of samples in ``buf[pos:end]``; 0 when there is anything else or one that is laid out in another way."""
    samples = np.int64(0)
    while 0 <= pos < end and read_byte(buf, pos) == SAMPLE:
        pos = plain_sample(buf, pos, end, to.sample, 0)
        samples += 1
    return samples if pos == end else np.int64(0)
