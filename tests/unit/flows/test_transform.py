from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from connectors.errors import TooLarge
from flows.transform import MAX_TEXT, UNITS, Transform, Unit, transformed

LIST: TypeAdapter[list[Any]] = TypeAdapter(list[Transform])
LABELS = {"__name__": "latency_ms", "instance": "host-7:9100", "pod": "a"}


def apply(*transforms: dict[str, Any]) -> tuple[dict[str, str], list[float]] | None:
    done = transformed(LIST.validate_python(list(transforms)), LABELS, np.array([1.0, np.nan, 250.0]))
    return None if done is None else (done[0], done[1].tolist())


def test_values_are_scaled_and_converted() -> None:
    done = apply({"type": "unit", "given": "ms", "wanted": "s"}, {"type": "scale", "factor": 2})
    assert done is not None
    np.testing.assert_allclose(done[1], [0.002, np.nan, 0.5])
    assert done[0] == LABELS
    share = apply({"type": "unit", "given": "percent", "wanted": "ratio"})
    assert share is not None
    np.testing.assert_allclose(share[1], [0.01, np.nan, 2.5])


def test_names_and_labels_are_changed_in_order() -> None:
    host = {"type": "relabel", "source": "instance", "regex": "(.*):\\d+", "target": "host"}
    done = apply(
        {"type": "rename", "name": "latency_seconds"},
        host,
        {"type": "relabel", "source": "host", "regex": "host-(.*)", "target": "number", "replacement": "n\\1"},
        {"type": "relabel", "source": "pod", "target": "pod", "replacement": ""},
        {"type": "relabel", "source": "pod", "regex": "b", "target": "never", "replacement": "x"},
    )
    assert done is not None
    assert done[0] == {
        "__name__": "latency_seconds", "instance": "host-7:9100", "host": "host-7", "number": "n7",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("replacement", "written"),
    [
        ("größe \\1", "größe é-7"),
        ("\\1 of \\0, \\20", "é-7 of é-7:9100, 0"),  # a second digit is a digit, and group 2 took no part
        ("C:\\x\\n\\\\1\\", "C:\\x\\n\\1\\"),
        ("$1", "$1"),
    ],
)
def test_a_replacement_is_text_in_which_only_groups_and_backslashes_are_escaped(replacement: str, written: str) -> None:
    relabel = {"type": "relabel", "source": "a", "target": "b", "regex": "([^:]*)(x)?:.*", "replacement": replacement}
    done = transformed(LIST.validate_python([relabel]), {"a": "é-7:9100"}, np.zeros(1))
    assert done is not None
    assert done[0]["b"] == written


def test_series_are_dropped_by_the_whole_value() -> None:
    assert apply({"type": "drop", "label": "pod", "regex": "a|b"}) is None
    assert apply({"type": "drop", "label": "instance", "regex": "host"}) is not None
    assert apply({"type": "drop", "label": "missing", "regex": ""}) is None


def test_every_unit_is_known() -> None:
    assert set(UNITS) == set(Unit)


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "unit", "given": "ms", "wanted": "B"},
        {"type": "unit", "given": "ms", "wanted": "weeks"},
        {"type": "rename", "name": "a b"},
        {"type": "drop", "label": "a", "regex": "("},
        {"type": "relabel", "source": "a", "target": "b", "regex": "a", "replacement": "\\1"},
        {"type": "relabel", "source": "a", "target": "b", "regex": "(a)", "replacement": "\\1 \\2"},
        {"type": "relabel", "source": "a.b", "target": "b"},
        {"type": "scale", "factor": float("inf")},
        {"type": "invent"},
    ],
)
def test_what_cannot_be_done_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LIST.validate_python([wrong])


def test_relabels_in_a_row_do_not_multiply_a_label_without_end() -> None:
    more = {"type": "relabel", "source": "a", "target": "a", "regex": "(.*)", "replacement": "\\1" * 256}
    made, _ = transformed(LIST.validate_python([more] * 2), {"a": "x"}, np.ones(1)) or ({}, None)
    assert len(made["a"]) == MAX_TEXT
    with pytest.raises(TooLarge, match="a value of 16777216 characters, at most 65536"):
        transformed(LIST.validate_python([more] * 3), {"a": "x"}, np.ones(1))
