"""What a scan counts of a request: what it holds, what was refused of it, and which series was refused first."""

from __future__ import annotations

from connectors.codec.bench import GOOD, LABELS
from connectors.codec.room import room
from connectors.codec.spans import cut_labels, labels_size, write_labels
from connectors.codec.varint import allocating

SHOWN_PART_BYTES, SHOWN_BYTES = 512, 2048
"""The first bad series is named in an error message: names and values up to the former, together up to the latter."""

ROWS, USED, METADATA, SERIES, N_SAMPLES, N_HISTOGRAMS, N_EXEMPLARS, N_FOREIGN = range(8)
BAD_CODE, BAD_SERIES, BAD_FROM, BAD_TO, REFUSED = 8, 9, 10, 11, 12
"""``total``: what was found so far, fields that only the other version of the protocol has among it, the first bad
series (code, number, span of its labels in the arena), and from REFUSED on how many were refused for each code."""
CODES = 32
N_UNTOLD = REFUSED + CODES
"""Behind them: rows of metadata that were one too many."""
TOTALS = N_UNTOLD + 1


@allocating
def refuse(buf, to, code, total, arena):  # type: ignore[no-untyped-def]
    """Count a bad series; of the first one keep code, number and, as far as they are shown, labels."""
    total[REFUSED + code] += 1
    if total[BAD_CODE] == GOOD:
        total[BAD_CODE], total[BAD_SERIES] = code, total[SERIES]
        shown = cut_labels(to.spans, to.series[LABELS], SHOWN_PART_BYTES, SHOWN_BYTES)
        arena = room(arena, total[USED], labels_size(to.spans, shown))
        total[BAD_FROM] = total[USED]
        total[USED] = write_labels(arena, total[USED], buf, to.spans, shown)
        total[BAD_TO] = total[USED]
    return arena
