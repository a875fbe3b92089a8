from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flows.labels_archive import CHUNK_ROWS, LabelsArchive, pack_labels, unpack_labels
from tests.examples import examples


@examples(50)
@given(st.lists(st.one_of(st.none(), st.binary(max_size=300)), max_size=20))
def test_labels_come_back_without_gaps(labels: list[bytes | None]) -> None:
    assert unpack_labels(LabelsArchive().pack(labels)) == [raw for raw in labels if raw is not None]


def test_many_chunks_keep_their_order() -> None:
    labels = [f"series {n}".encode() * 20 for n in range(3 * CHUNK_ROWS + 5)]
    packed = LabelsArchive().pack(labels)
    assert len(packed) == 4
    assert unpack_labels(packed) == labels
    assert sum(map(len, packed)) < sum(map(len, labels)) / 10


def test_only_changed_chunks_are_packed_again() -> None:
    labels: list[bytes | None] = [b"a"] * (2 * CHUNK_ROWS)
    archive = LabelsArchive()
    first = archive.pack(labels)
    labels[CHUNK_ROWS + 3] = b"b"
    archive.changed(CHUNK_ROWS + 3)
    second = archive.pack(labels)
    assert second[0] is first[0]
    assert second[1] != first[1]
    assert archive.pack(labels)[1] is second[1]
    assert unpack_labels(second) == labels
    assert archive.size_bytes == sum(map(len, second))


def test_no_labels() -> None:
    assert unpack_labels([pack_labels([])]) == []
    assert unpack_labels([pack_labels([b""])]) == [b""]


def test_its_size_may_be_asked_for_while_it_changes() -> None:
    """The probes' thread asks, and between any two of its steps the worker may pack another chunk."""
    archive = LabelsArchive()

    class Packing(bytes):
        def __len__(self) -> int:
            archive._packed[len(archive._packed)] = b"more"
            return 3

    archive._packed[0] = Packing()
    assert archive.size_bytes == 3
    assert archive.size_bytes == 3 + 4
