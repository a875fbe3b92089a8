from typing import Any

import numpy as np
import pytest

from api.trial_samples import MAX_SAMPLES, Samples, check_judgeable, parted
from connectors.detector import DetectorConfig, Group
from flows.validator import ConfigError

T0 = 1_700_000_000_000


def samples(*values: list[float | None], n: int = 3, **labels: str) -> Samples:
    series = [
        {"labels": {"__name__": "m", "n": str(at), "job": "ab"[at % 2], **labels}, "values": column}
        for at, column in enumerate(values)
    ]
    return Samples.model_validate({"times_ms": [T0 + 15_000 * at for at in range(n)], "series": series})


def test_a_series_has_the_rows_at_which_it_has_samples() -> None:
    first, second = samples([1.0, None, 3.0], [None, None, None]).frames()
    assert first.times_ms.tolist() == [T0, T0 + 30_000]
    assert first.values[:, 0].tolist() == [1.0, 3.0]
    assert first.present.all()
    assert first.labels == [{"__name__": "m", "n": "0", "job": "a"}]
    assert len(second.times_ms) == 0


def test_a_label_with_an_empty_value_is_none() -> None:
    """As ingest has it: so two series that differ by such a label are one, and are refused."""
    (frame,) = samples([1.0, 2.0, 3.0], job="").frames()
    assert frame.labels == [{"__name__": "m", "n": "0"}]
    twins = [{"labels": {"__name__": "m", **more}, "values": [1.0]} for more in ({}, {"job": ""})]
    with pytest.raises(ConfigError, match="differ"):
        Samples.model_validate({"times_ms": [T0], "series": twins}).check()


def test_series_of_an_entity_are_one_frame() -> None:
    frames = samples([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, None, 9.0]).frames()
    a, b = parted(Group(by=("job",), aggregate="members"), frames)
    assert [labels["n"] for labels in a.labels] == ["0", "2"]
    assert a.present.tolist() == [[True, True], [True, False], [True, True]]
    assert np.array_equal(b.values, [[4.0], [5.0], [6.0]])
    assert parted(None, frames) == frames


def test_groups_that_become_one_value_are_refused() -> None:
    config = DetectorConfig(name="n", selector="m", group=Group(by=("job",)))
    with pytest.raises(ConfigError, match="members") as caught:
        check_judgeable(config)
    assert caught.value.field == "group.aggregate"
    check_judgeable(DetectorConfig(name="n", selector="m"))
    check_judgeable(config.model_copy(update={"group": Group(aggregate="members")}))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"times_ms": [3, 2, 1]}, "times_ms.1"),
        ({"times_ms": [1, 2, 2]}, "times_ms.2"),
        ({"times_ms": [1, 2]}, "series.0.values"),
        ({"series": [{"labels": {"a": "b"}, "values": [1, 2, 3]}]}, "series.0.labels"),
        ({"series": 2 * [{"labels": {"__name__": "m"}, "values": [1, 2, 3]}]}, "series.1.labels"),
    ],
)
def test_what_does_not_fit_together_is_named(change: dict[str, Any], field: str) -> None:
    whole = samples([1.0, 2.0, 3.0]).model_dump()
    with pytest.raises(ConfigError) as caught:
        Samples.model_validate({**whole, **change}).frames()
    assert caught.value.field == field


def test_so_many_samples_and_no_more() -> None:
    rows = MAX_SAMPLES // 10
    fitting = samples(*[[1.0] * rows] * 10, n=rows)
    assert len(fitting.frames()) == 10
    with pytest.raises(ConfigError, match=str(MAX_SAMPLES)):
        samples(*[[1.0] * rows] * 11, n=rows).frames()
