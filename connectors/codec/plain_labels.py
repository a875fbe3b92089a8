"""Which label bytes are laid out as nearly all are, for many series at a time: the others are read one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.codec.varint import kernel


def are_plain(raws: Sequence[bytes]) -> NDArray[np.bool_]:
    """Whether each consists of ``0a len 0a len name 12 len value`` with lengths of one byte and ASCII, (n,).

    ``parse_labels`` reads all of these.
    """
    plain = np.zeros(len(raws), np.bool_)
    ends = np.cumsum(np.fromiter(map(len, raws), np.int64, len(raws)))
    _look(np.frombuffer(b"".join(raws), np.uint8), ends, plain)
    return plain


@kernel
def _look(buf: Any, ends: Any, plain: Any) -> None:
    pos = np.int64(0)
    for i in range(len(ends)):
        end, fits = ends[i], True
        while fits and pos < end:
            fits = _is_plain(buf, pos, end)
            if fits:
                pos += 2 + np.int64(buf[pos + 1])
        plain[i], pos = fits, end


@kernel
def _is_plain(buf: Any, pos: Any, end: Any) -> Any:
    """Whether the label at ``pos`` is."""
    if end - pos < 6 or buf[pos] != 0x0A or buf[pos + 2] != 0x0A or buf[pos + 1] > 0x7F or buf[pos + 3] > 0x7F:
        return False
    after = pos + 2 + np.int64(buf[pos + 1])
    value_at = pos + 4 + np.int64(buf[pos + 3])
    if after > end or value_at + 2 > after or buf[value_at] != 0x12 or buf[value_at + 1] > 0x7F:
        return False
    if value_at + 2 + np.int64(buf[value_at + 1]) != after:
        return False
    bits = np.int64(0)
    for at in range(pos, after):
        bits |= np.int64(buf[at])
    return bits < 0x80
