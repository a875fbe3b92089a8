from __future__ import annotations

import numpy as np
import pytest

from flows.saved import MAGIC, VERSION, SavedVersionError, pack, unpack


def test_header_arrays_and_blobs_come_back() -> None:
    record = np.array([(1.5, 2), (-0.0, 3)], [("a", np.float64), ("b", np.int32)])
    arrays = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::2], "none": np.zeros(0, np.uint64), "r": record}
    saved = unpack(pack({"k": [1, "ü"]}, arrays, [b"one", b"", b"\x00two"]))
    assert saved.header == {"k": [1, "ü"]}
    assert saved.blobs == [b"one", b"", b"\x00two"]
    assert set(saved.arrays) == set(arrays)
    for name, array in arrays.items():
        assert saved.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(saved.arrays[name], array)


def test_arrays_may_be_written_to() -> None:
    raw = pack({}, {"x": np.zeros(3)}, [])
    unpack(raw).arrays["x"][:] = 1.0
    assert not unpack(raw).arrays["x"].any()


def test_what_is_no_snapshot_is_refused() -> None:
    with pytest.raises(SavedVersionError, match="not a block snapshot"):
        unpack(b"something else")


def test_another_version_is_refused_by_number() -> None:
    raw = pack({}, {}, []).replace(f'"version":{VERSION}'.encode(), b'"version":9')
    assert raw.startswith(MAGIC)
    with pytest.raises(SavedVersionError, match=f"version 9, this Tocsin reads version {VERSION}"):
        unpack(raw)
