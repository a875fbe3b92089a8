"""Tables that grow: how much a request will fill of them is known only when it has been scanned."""

from __future__ import annotations

import numpy as np

from connectors.codec.varint import allocating


@allocating
def room(column, used, need):  # type: ignore[no-untyped-def]
    """``column`` itself, or a longer copy of it, so that ``need`` more entries fit."""
    if used + need <= len(column):
        return column
    longer = np.empty((max(2 * len(column), used + need), *column.shape[1:]), column.dtype)
    for i in range(used * (longer.size // len(longer))):  # an assignment of slices would compile for seconds
        longer.flat[i] = column.flat[i]
    return longer
