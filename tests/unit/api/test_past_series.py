"""What a source gives becomes series as they would have come live."""

from __future__ import annotations

import numpy as np

from api.past_series import as_live, distinct, named
from connectors.sources.decode import SourceSeries
from flows.transform import Drop, Rename, Scale

NAN = float("nan")


def given(labels: dict[str, str], *values: float) -> SourceSeries:
    times_ms = np.arange(len(values), dtype=np.int64) * 1000
    return SourceSeries(tuple(sorted(labels.items())), times_ms, np.array(values))


def test_transformed_with_more_labels_and_without_gaps() -> None:
    transforms = (
        Scale(type="scale", factor=2.0),
        Rename(type="rename", name="m"),
        Drop(type="drop", label="a", regex="x"),
    )
    found = as_live([given({"a": "1"}, 1.0, NAN, 3.0), given({"a": "x"}, 1.0)], transforms, {"zone": "b"})
    assert [(one.labels, one.times_ms.tolist(), one.values.tolist()) for one in found] == [
        ({"a": "1", "__name__": "m", "zone": "b"}, [0, 2000], [2.0, 6.0])
    ]


def test_series_without_a_name_or_there_twice_are_left_out() -> None:
    found = as_live([given({"__name__": "m"}, 1.0), given({"a": "1"}, 1.0), given({"__name__": "m"}, 2.0)], (), {})
    kept, left_out = named(found)
    assert ([one.values.tolist() for one in kept], left_out) == ([[1.0]], 2)


def test_of_series_with_the_same_labels_the_first_stays() -> None:
    found = as_live([given({"a": "1"}, 1.0), given({"b": "1"}, 2.0), given({"a": "1"}, 3.0)], (), {})
    assert [one.values.tolist() for one in distinct(found)] == [[1.0], [2.0]]
