"""Kernels that scan a request: walk and judge every series, and say where its bytes for Kafka stand.

The scan enters each good series as a row (see ``emit``): a span of the body where it may be copied as it stands, else
a span of the arena, where it was written anew. ``gather`` then copies the rows.
"""

from __future__ import annotations

import numpy as np

from connectors.codec.bench import (
    BAD_UTF8,
    EMPTY,
    EXEMPLARS,
    GOOD,
    HISTOGRAMS,
    LABELS,
    PLAIN,
    RUN_FROM,
    RUN_TO,
    SAMPLES,
    STATUS,
    bench,
)
from connectors.codec.emit import FROM, PARTITION, SOURCE, TO, arena_bound, rewrite
from connectors.codec.limits import RECORD_BYTES
from connectors.codec.metadata import add_metadata, read_family, series_metadata
from connectors.codec.quick import usual_labels, usual_samples
from connectors.codec.room import room
from connectors.codec.runs import FROM as FIRST
from connectors.codec.runs import HASH, LAST, expected, learn
from connectors.codec.series_hash import xxh64
from connectors.codec.spans import (
    DUPLICATE,
    ascending,
    ascii_only,
    check_labels,
    check_sizes,
    clean_label,
    has_name,
    sort_labels,
    write_labels,
)
from connectors.codec.symbols import SYMBOL_2, Symbols
from connectors.codec.totals import N_EXEMPLARS, N_FOREIGN, N_HISTOGRAMS, N_SAMPLES, ROWS, SERIES, USED, refuse
from connectors.codec.varint import BYTES, allocating, kernel, read_byte, read_length, read_tag, skip_value
from connectors.codec.walk import walk_1, walk_2

TIMESERIES_1, METADATA_1 = 1 << 3 | BYTES, 3 << 3 | BYTES
TIMESERIES_2 = 5 << 3 | BYTES
FINE, MALFORMED, EXPANDED, REWRITE = 0, 1, 2, 3


@kernel
def _clean(buf, to):  # type: ignore[no-untyped-def]
    """Whether the labels of a 1.0 series are UTF-8; those of 2.0 are known from the symbol table."""
    if to.series[PLAIN] and ascii_only(buf, to.series[RUN_FROM], to.series[RUN_TO]):
        return True
    i = 0
    while i < to.series[LABELS] and clean_label(buf, to.spans, i):
        i += 1
    return i == to.series[LABELS]


@kernel
def _empty_and_not(buf, to):  # type: ignore[no-untyped-def]
    """Whether a name stands both with a value and without: nobody knows which is meant."""
    i, labels = 0, to.series[LABELS]
    while i < to.series[EMPTY] and not has_name(buf, to.spans, labels, to.empty[i, 0], to.empty[i, 1]):
        i += 1
    return i < to.series[EMPTY]


@kernel
def _judge(buf, to, version):  # type: ignore[no-untyped-def]
    """Bring the labels into canonical order and judge them; the code of what is wrong first, or GOOD."""
    series = to.series
    labels = series[LABELS]
    unique = ascending(buf, to.spans, labels)
    series[PLAIN] &= unique
    if not unique:
        sort_labels(buf, to.spans, labels)
    if series[STATUS] != GOOD:
        return series[STATUS]
    if version == 1 and not _clean(buf, to):
        return BAD_UTF8
    code = check_sizes(to.spans, labels, to.limits)
    if code == GOOD:
        code = check_labels(buf, to.spans, labels, unique)
    return DUPLICATE if code == GOOD and _empty_and_not(buf, to) else code


@kernel
def _series(buf, first, pos, end, to, symbols, version, seed, partitions, total, rows):  # type: ignore[no-untyped-def]
    """Walk, judge and count the series whose field starts at ``first`` and whose content is ``buf[pos:end]``.

    Enters it as a row if it may be copied as it stands (``rows`` has room for one). Returns MALFORMED, the code of
    what is wrong with it, GOOD when nothing is left to do, or REWRITE.
    """
    copyable = version == 1 and end - first <= RECORD_BYTES and read_byte(buf, first) == TIMESERIES_1
    walked = walk_1(buf, pos, end, to, symbols) if version == 1 else walk_2(buf, pos, end, to, symbols)
    if not walked:
        return MALFORMED
    code = _judge(buf, to, version)
    if code != GOOD:
        return code
    series = to.series
    total[N_SAMPLES] += series[SAMPLES]
    total[N_HISTOGRAMS] += series[HISTOGRAMS]
    total[N_EXEMPLARS] += series[EXEMPLARS]
    if series[SAMPLES] + series[HISTOGRAMS] + series[EXEMPLARS] == 0:
        return GOOD
    if not copyable or not series[PLAIN]:
        return REWRITE
    digest = xxh64(buf, series[RUN_FROM], series[RUN_TO], seed)
    _row(rows, total[ROWS], np.int64(digest % np.uint64(partitions)), 0, first, end)
    total[ROWS] += 1
    return GOOD


@kernel
def _usual_run(buf, pos, end, to, seed, partitions, total, rows, runs, slots, known, state):  # type: ignore[no-untyped-def]
    """Enter the usual series of 1.0 that follow each other from ``pos`` (see ``quick``); position after them.

    What the labels of a usual series were found to be once is remembered (see ``runs``).
    """
    n, samples = total[ROWS], np.int64(0)
    first = n
    while pos < end and n < len(rows) and read_byte(buf, pos) == TIMESERIES_1:
        start, after = read_length(buf, pos + 1, end)
        if start < 0 or after - pos > RECORD_BYTES:
            break
        run = expected(buf, start, after, seed, state[LAST], runs, known, state)
        run_to = (
            start + runs[run + 1, FIRST] - runs[run, FIRST] if run > 0 else usual_labels(buf, start, after, to.limits)
        )
        found = usual_samples(buf, run_to, after, to) if run_to >= 0 else np.int64(0)
        if found == 0:
            break
        if run > 0:
            digest = np.uint64(runs[run, HASH])
            state[LAST] = run
        else:
            digest = xxh64(buf, start, run_to, seed)
            learn(buf, start, run_to, digest, seed, runs, slots, known, state)
        _row(rows, n, np.int64(digest % np.uint64(partitions)), 0, pos, after)
        samples += found
        n += 1
        pos = after
    total[SERIES] += n - first
    total[N_SAMPLES] += samples
    total[ROWS] = n
    return np.int64(pos)


@kernel
def _row(rows, n, partition, source, start, end):  # type: ignore[no-untyped-def]
    rows[n, PARTITION] = partition
    rows[n, SOURCE] = source
    rows[n, FROM] = start
    rows[n, TO] = end


@kernel
def _rewrite(buf, pos, end, to, symbols, version, seed, partitions, total, rows, arena):  # type: ignore[no-untyped-def]
    """Write a good series anew; ``rows`` and ``arena`` have room for it. Its labels are hashed in the arena first."""
    used = total[USED]
    digest = xxh64(arena, used, write_labels(arena, used, buf, to.spans, to.series[LABELS]), seed)
    partition = np.int64(digest % np.uint64(partitions))
    used, n = rewrite(buf, pos, end, to, symbols, version, arena, used, rows, total[ROWS], partition)
    total[USED] = used
    total[ROWS] = n


@kernel
def _foreign(tag, version):  # type: ignore[no-untyped-def]
    """Whether only the other version of the protocol has this field."""
    if version == 1:
        return tag in (SYMBOL_2, TIMESERIES_2)
    return tag in (TIMESERIES_1, METADATA_1)


@kernel
def _other_field(buf, pos, end, tag, version, total, row):  # type: ignore[no-untyped-def]
    """A field that is no series: position after it, and whether ``row`` now holds metadata."""
    if tag != METADATA_1 or version != 1:
        total[N_FOREIGN] += _foreign(tag, version)
        return skip_value(buf, pos, end, tag & 7), False
    pos, after = read_length(buf, pos, end)
    return (read_family(buf, pos, after, row) if pos >= 0 else pos), True


@allocating
def scan_request(  # type: ignore[no-untyped-def]
    buf,
    version,
    seed,
    partitions,
    expanded_bytes,
    limits,
    symbol_spans,
    symbols_clean,
    total,
    rows,
    arena,
    metadata,
    runs,
    slots,
    known,
    state,
):
    """Walk a whole request; fills ``total`` and returns the status and the tables, which may have grown.

    That of metadata ends at ``MAX_FAMILIES`` rows.
    The last four are those of the memory of label runs.
    """
    row, to, symbols = np.zeros(7, np.int64), bench(limits), Symbols(symbol_spans, symbols_clean)
    timeseries = TIMESERIES_1 if version == 1 else TIMESERIES_2
    end = np.int64(len(buf))
    pos, usual = np.int64(0), end if version == 1 else np.int64(0)
    pos = _usual_run(buf, pos, usual, to, seed, partitions, total, rows, runs, slots, known, state)
    while pos < end:
        first = pos
        tag, pos = read_tag(buf, pos, end)
        if pos >= 0 and tag != timeseries:
            pos, found = _other_field(buf, pos, end, tag, version, total, row)
            if pos >= 0 and found:
                metadata = add_metadata(total, metadata, row)
            if pos >= 0:
                pos = _usual_run(buf, pos, usual, to, seed, partitions, total, rows, runs, slots, known, state)
                continue
        pos, after = read_length(buf, pos, end) if pos >= 0 else (pos, pos)
        if pos < 0:
            return MALFORMED, rows, arena, metadata
        if total[ROWS] == len(rows):
            rows = room(rows, total[ROWS], 1)
        code = _series(buf, first, pos, after, to, symbols, version, seed, partitions, total, rows)
        if code == MALFORMED:
            return MALFORMED, rows, arena, metadata
        if code == REWRITE:
            need, row_need = arena_bound(to)
            if total[USED] + need > expanded_bytes:
                return EXPANDED, rows, arena, metadata
            arena, rows = room(arena, total[USED], need), room(rows, total[ROWS], row_need)
            _rewrite(buf, pos, after, to, symbols, version, seed, partitions, total, rows, arena)
        elif code != GOOD:
            arena = refuse(buf, to, code, total, arena)
        if version == 2 and code in (GOOD, REWRITE):
            metadata = series_metadata(buf, to, symbols, total, metadata, row)
        total[SERIES] += 1
        pos = _usual_run(buf, after, usual, to, seed, partitions, total, rows, runs, slots, known, state)
    return FINE, rows, arena, metadata
