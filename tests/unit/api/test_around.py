"""What is asked for to draw an anomaly, and what of the answer is its signal."""

from __future__ import annotations

import numpy as np
import pytest

from api.around import around, query_of, range_around
from connectors.anomaly import Anomaly, AnomalySignal
from connectors.detector import Shape
from connectors.sources.decode import SourceSeries
from flows.validator import ConfigError
from tests.anomalies import make_anomaly


def anomaly(shape: Shape = Shape.RAW, expression: str | None = None, **labels: str) -> Anomaly:
    return make_anomaly(signal=AnomalySignal(labels=labels, shape=shape, expression=expression))


@pytest.mark.parametrize(("event", "query"), [
    (anomaly(__name__="up", job="shop"), 'up{job="shop"}'),
    (anomaly(__name__="up", job='a"b\\c'), 'up{job="a\\"b\\\\c"}'),
    (anomaly(Shape.RATE, __name__="http_total"), "rate(http_total[60s])"),
    (anomaly(Shape.DELTA, __name__="level"), "delta(level[60s])"),
    (anomaly(Shape.RATE, "sum by (job) (rate(http_total[1m]))", job="shop"), "sum by (job) (rate(http_total[1m]))"),
])  # fmt: skip
def test_the_signal_is_asked_for(event: Anomaly, query: str) -> None:
    assert query_of(event, 15_000) == query


def test_the_series_with_its_labels_is_taken() -> None:
    times_ms = np.array([1, 2, 3], np.int64)
    found = [
        SourceSeries((("job", "other"),), times_ms, np.zeros(3)),
        SourceSeries((("job", "shop"),), times_ms, np.array([1.0, np.nan, np.inf])),
    ]
    drawn = around("q", anomaly(__name__="up", job="shop"), found)
    assert (drawn.times_ms, drawn.values) == ([1, 2, 3], [1.0, None, None])
    assert around("q", anomaly(__name__="up", job="gone"), found).times_ms == []


def test_what_is_too_much_says_which_step_would_do() -> None:
    event = anomaly(__name__="up")
    with pytest.raises(ConfigError, match="at least 55"):
        range_around(event, 604_800, 0, 15)
    assert range_around(event, 604_800, 0, 55).step_ms == 55_000
