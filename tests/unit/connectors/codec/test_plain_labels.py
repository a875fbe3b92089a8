from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connectors.codec.encode import encode_labels
from connectors.codec.labels import parse_labels
from connectors.codec.plain_labels import are_plain
from connectors.errors import Rejected
from tests.examples import examples

TEXTS = st.sampled_from(["", "a", "__name__", "up", "é", "v" * 120, "v" * 127, "v" * 128, "v" * 300])
LABELS = st.dictionaries(TEXTS, TEXTS, max_size=4)
CHANGES = st.tuples(st.integers(0, 400), st.integers(0, 255))


def is_plain(raw: bytes) -> bool:
    """One byte of length everywhere, and ASCII."""
    try:
        labels = parse_labels(raw)
    except Rejected:
        return False
    return encode_labels(labels) == raw and all(
        f"{name}{value}".isascii() and len(name) + len(value) + 4 < 128 for name, value in labels.items()
    )


@examples(120)
@given(st.lists(LABELS, max_size=6))
def test_labels_as_senders_write_them(series: list[dict[str, str]]) -> None:
    raws = [encode_labels(labels) for labels in series]
    assert are_plain(raws).tolist() == [is_plain(raw) for raw in raws]


@examples(200)
@given(st.lists(st.tuples(LABELS, st.lists(CHANGES, max_size=2), st.integers(0, 3)), min_size=1, max_size=4))
def test_what_is_called_plain_can_be_read(series: list[tuple[dict[str, str], list[tuple[int, int]], int]]) -> None:
    raws = []
    for labels, changes, cut in series:
        raw = bytearray(encode_labels(labels))
        for at, byte in changes:
            if raw:
                raw[at % len(raw)] = byte
        raws.append(bytes(raw[: len(raw) - cut] if cut else raw))
    plain = are_plain(raws).tolist()
    assert plain == [are_plain([raw]).tolist()[0] for raw in raws], "each by itself, whatever is beside it"
    for raw, one in zip(raws, plain, strict=True):
        if one:
            parse_labels(raw)
