"""Signals against the query API of the real Prometheus, which is sent the very bytes that the flow reads.

Where they differ on purpose, a test of its own says how. Tocsin follows Prometheus 3 where that differs from 2.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cramjam
import httpx
import numpy as np
import pytest

from connectors.codec.remote_write import Version, split_request
from connectors.codec.runs import Runs
from connectors.codec.series_hash import tenant_seed
from connectors.messages import DEFAULT_TENANT, Detector, DetectorConfig, Group, Shape
from flows.config import compile_config
from flows.selector import parse_selector
from tests import naive_groups
from tests.groups import Partitions, Sample, record_of
from tests.prometheus import Exporter, Prometheus, missing_prometheus
from tests.series import START_MS as LOG_START_MS
from tests.streams import Log, config

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(missing_prometheus() is not None, reason=str(missing_prometheus())),
]

PARTITIONS = 3
STEP_S = 15
BEGIN_MS = 1_767_225_600_000
"""A multiple of every step used here."""
SCRAPES = 70
BOUNDS = ("0.005", "0.1", "1", "2.5", "10", "+Inf")
Labels = frozenset[tuple[str, str]]
Values = dict[tuple[int, Labels], float]


class Receiver:
    """A Prometheus that takes remote write and answers queries."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._http = httpx.Client(base_url=prometheus.url, timeout=30)

    def write(self, body: bytes) -> int:
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
                   "X-Prometheus-Remote-Write-Version": "0.1.0"}  # fmt: skip
        packed = bytes(cramjam.snappy.compress_raw(body))
        return self._http.post("/api/v1/write", content=packed, headers=headers).status_code

    def query(self, expression: str, begin_ms: int, end_ms: int, step_s: int = STEP_S) -> Values:
        """Values of an expression at every step, infinities and NaN among them."""
        wanted = {"query": expression, "start": begin_ms / 1000, "end": end_ms / 1000, "step": step_s}
        answer = self._http.get("/api/v1/query_range", params=wanted).json()
        assert answer["status"] == "success", answer
        return {
            (round(1000 * time_s), frozenset(series["metric"].items())): float(value)
            for series in answer["data"]["result"]
            for time_s, value in series["values"]
        }

    def series(self, selector: str) -> set[Labels]:
        wanted: dict[str, Any] = {"match[]": selector, "start": BEGIN_MS / 1000 - 1, "end": BEGIN_MS / 1000 + 36_000}
        answer = self._http.get("/api/v1/series", params=wanted).json()
        assert answer["status"] == "success", answer
        return {frozenset(series.items()) for series in answer["data"]}

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with (
        Exporter(lambda: "# EOF\n") as exporter,
        Prometheus(tmp_path, exporter.port, None, "1h", ["--web.enable-remote-write-receiver"]) as prometheus,
    ):
        made = Receiver(prometheus)
        yield made
        made.close()


class Feed:
    """Sends the same samples to Prometheus and to the logs of a flow's partitions."""

    def __init__(self, receiver: Receiver, detectors: Mapping[str, DetectorConfig]) -> None:
        self.receiver = receiver
        self.logs = [Log(partition) for partition in range(PARTITIONS)]
        self.samples: dict[Labels, list[tuple[int, float, int]]] = defaultdict(list)
        for log in self.logs[1:]:
            log.revisions, log._bases = self.logs[0].revisions, self.logs[0]._bases
        for key, made in detectors.items():
            self.logs[0].detector(key, made)
        self._control(BEGIN_MS - 1000)

    def send(self, at_ms: int, samples: Sequence[Sample]) -> None:
        body = record_of(samples)
        assert self.receiver.write(body) in (200, 204)
        split = split_request(body, Version.V1, tenant_seed(DEFAULT_TENANT), PARTITIONS, 1 << 24, Runs(0))
        for part in split.parts:
            self.logs[part.partition].append(bytes(part.value))
        for one in samples:
            known = self.samples[frozenset(one.labels.items())]
            known.append((one.time_ms, math.nan if one.stale else one.value, one.start_ms))
        self._control(at_ms)

    def _control(self, at_ms: int) -> None:
        for log in self.logs:
            log.control((at_ms - LOG_START_MS) / 1000)

    def values(self) -> dict[str, Values]:
        """What the flow judges, by detector."""
        partitions = Partitions(self.logs)
        partitions.run(np.random.default_rng(0))
        out: dict[str, Values] = defaultdict(dict)
        for (key, time_ms, labels), value in partitions.values.items():
            out[key][time_ms, labels] = value
        return out


def expression_of(made: DetectorConfig, shape: Shape) -> str:
    plan = compile_config(Detector(id="d", revision=1, config=made, author="", updated_ms=0)).plan
    assert plan is not None
    return plan.expression(shape)


def grouped(selector: str, shape: Shape = Shape.AUTO, **group: Any) -> DetectorConfig:
    return config("ewma", selector, group=Group(**group), shape=shape, params={"warmup": 5})


SIGNALS: dict[str, tuple[DetectorConfig, Shape]] = {
    "sum": (grouped("gauge", by=("x",)), Shape.RAW),
    "sum-all": (grouped('{__name__=~"gauge|large"}'), Shape.RAW),
    "sum-large": (grouped("large", by=("x",)), Shape.RAW),
    "sum-small": (grouped("small", by=("x",)), Shape.RAW),
    "avg": (grouped("gauge", aggregate="avg", without=("n",)), Shape.RAW),
    "min": (grouped("gauge", aggregate="min", by=("x",)), Shape.RAW),
    "max": (grouped("gauge", aggregate="max", by=("x",)), Shape.RAW),
    "count": (grouped('gauge{n!~"1|2"}', aggregate="count", by=("x", "n")), Shape.RAW),
    "quantile": (grouped("gauge", aggregate="quantile", q=0.9, by=("x",)), Shape.RAW),
    "median": (grouped("requests_total", aggregate="quantile", q=0.5), Shape.RATE),
    "rate": (grouped("requests_total", by=("x",)), Shape.RATE),
    "increase": (grouped("requests_total", Shape.INCREASE, by=("x",), range_s=120), Shape.INCREASE),
    "delta": (grouped("gauge", Shape.DELTA, by=("x",), range_s=90), Shape.DELTA),
    "max-rate": (grouped("requests_total", aggregate="max", by=("x", "n"), step_s=5, range_s=45), Shape.RATE),
    "ratio": (grouped('requests_total{n=~"[01]"}', by=("x",), denominator="requests_total"), Shape.RATE),
    "classic": (grouped("seconds_bucket", by=("x",), histogram_quantile=0.9), Shape.RATE),
    "classic-raw": (grouped("seconds_bucket", Shape.RAW, without=("n",), histogram_quantile=0.37), Shape.RAW),
}


def world(feed: Feed, seed: int) -> None:
    """Scrapes every 15 s of series with resets, gaps, failed scrapes, stale markers, large and small values."""
    rng = np.random.default_rng(seed)
    names = ("gauge", "large", "small", "requests_total")
    series = [{"__name__": name, "x": x, "n": str(n)} for name in names for x in "abc" for n in range(4)]
    buckets = [{"__name__": "seconds_bucket", "x": x, "n": n, "le": le} for x in "ab" for n in "01" for le in BOUNDS]
    level = {frozenset(one.items()): float(rng.uniform(50, 5000)) for one in (*series, *buckets)}
    for scrape in range(SCRAPES):
        at_ms = BEGIN_MS + 15_000 * scrape + 1
        samples = []
        for number, labels in enumerate(series):
            away = number % 9 == 4 and 25 <= scrape < 55
            time_ms = at_ms + 1 + (number * 37) % 4000 + int(rng.integers(0, 900))
            if away and scrape in (25, 26):
                samples.append(Sample(labels, time_ms, math.nan, stale=True))
            elif not away and rng.random() > 0.07:
                samples.append(Sample(labels, time_ms, _next(rng, labels, level)))
        for x in "ab":
            for n in "01":
                if rng.random() > 0.05:
                    counted = np.cumsum(rng.poisson(3.0, len(BOUNDS)))
                    for le, more in zip(BOUNDS, counted.tolist(), strict=True):
                        labels = {"__name__": "seconds_bucket", "x": x, "n": n, "le": le}
                        level[frozenset(labels.items())] += more if scrape else BOUNDS.index(le) * 5000.0
                        samples.append(Sample(labels, at_ms + 700, round(level[frozenset(labels.items())])))
        feed.send(at_ms + 5000, samples)


def _next(rng: np.random.Generator, labels: Mapping[str, str], level: dict[Labels, float]) -> float:
    key, name = frozenset(labels.items()), labels["__name__"]
    if name == "requests_total":
        grown = float(rng.exponential(30.0))
        level[key] = grown if rng.random() < 0.03 else level[key] + grown
        return level[key]
    return {"gauge": float(rng.normal(0.0, 10.0)), "large": 1e12 + float(rng.normal()),
            "small": 1e-9 * float(rng.normal(5.0, 1.0))}[name]  # fmt: skip


def alike(a: float, b: float) -> bool:
    """Equal to nine digits; what Prometheus calls NaN or infinite is a gap here."""
    if not math.isfinite(a) or not math.isfinite(b):
        return not math.isfinite(a) and not math.isfinite(b)
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-300)


def of_two_versions(feed: Feed, made: DetectorConfig, shape: Shape, time_ms: int) -> bool:
    """Whether the signal of any member depends on the version of Prometheus: both are computed, by the twin."""
    assert made.group is not None
    range_ms = 1000 * (made.group.range_s or 4 * made.group.step_s)
    selectors = [parse_selector(text) for text in (made.selector, made.group.denominator) if text is not None]
    members = [
        [one for one in samples if time_ms - 400_000 < one[0] <= time_ms]  # more would only take time
        for key, samples in feed.samples.items()
        if any(selector.matches(dict(key)) for selector in selectors)
    ]
    pairs = [
        [
            naive_groups.value_at(samples, time_ms, shape, range_ms, edges)
            for edges in (naive_groups.V2, naive_groups.V3)
        ]
        for samples in members
    ]
    return any(not alike(*pair) for pair in pairs)


@pytest.mark.timeout(300)
def test_signals_are_those_of_prometheus(receiver: Receiver) -> None:
    feed = Feed(receiver, {key: made for key, (made, _) in SIGNALS.items()})
    world(feed, 3)
    ours = feed.values()
    compared: dict[str, int] = {}
    for key, (made, shape) in SIGNALS.items():
        assert made.group is not None
        times = sorted({time_ms for time_ms, _ in ours[key]})
        theirs = receiver.query(expression_of(made, shape), times[0], times[-1], made.group.step_s)
        told = [time_ms for time_ms in times if not of_two_versions(feed, made, shape, time_ms)]
        assert len(told) > 0.5 * len(times), key
        for time_ms in told:
            mine = {labels: value for (at, labels), value in ours[key].items() if at == time_ms}
            wanted = {labels: value for (at, labels), value in theirs.items() if at == time_ms}
            assert mine.keys() == wanted.keys(), (key, time_ms)
            for labels, value in wanted.items():
                assert alike(mine[labels], value), (key, time_ms, labels, mine[labels], value)
            compared[key] = compared.get(key, 0) + len(wanted)
    assert min(compared.values()) > 50, compared
    assert sum(compared.values()) > 4000, compared


SELECTORS = [
    "a", 'a{job="api"}', '{job=~"api|web"}', '{__name__=~"a|b",env!~"dev|test"}', 'a{env=""}', 'a{env!=""}',
    '{job!="api",__name__=~".+"}', 'a{job=~".*"}', '{path=~"/x.y"}', '{path="/x\\n"}', '{text="ü\\"“"}',
    '{job=~"(?i)API"}', '{path=~"(?s:.)+"}', '{job=~"ap"}', '{__name__="b"}', 'b{job=~"|web"}', '{text=~"\\\\p{Lu}.*"}',
]  # fmt: skip


@pytest.mark.parametrize("seed", [0])
def test_matchers_select_what_prometheus_selects(receiver: Receiver, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = {
        "job": ["api", "web", "API", "ap", ""], "env": ["dev", "prod", ""], "path": ["/x.y", "/xzy", "/x\n", ""],
        "text": ['ü"“', "Änderung", "", "x"],
    }  # fmt: skip
    known = set()
    for _ in range(120):
        chosen = {name: str(rng.choice(of)) for name, of in values.items()}
        name = str(rng.choice(["a", "b"]))
        known.add(frozenset([("__name__", name), *((name, value) for name, value in chosen.items() if value)]))
    assert receiver.write(record_of(Sample(dict(labels), BEGIN_MS, 1.0) for labels in known)) in (200, 204)
    for text in SELECTORS:
        selector = parse_selector(text)
        mine = {labels for labels in known if selector.matches(dict(labels))}
        assert mine == receiver.series(text), text


# what differs, and how


def signals(receiver: Receiver, made: DetectorConfig, samples: Sequence[Sample], shape: Shape) -> tuple[Values, Values]:
    """Ours and theirs, of samples sent in their order, at the steps that are judged."""
    feed = Feed(receiver, {"d": made})
    for one in samples:
        feed.send(one.time_ms, [one])
    feed._control(samples[-1].time_ms + 60_000)
    ours = feed.values()["d"]
    times = [time_ms for time_ms, _ in ours]
    return ours, receiver.query(expression_of(made, shape), min(times), max(times))


def counter(n: int, at_s: Sequence[float], values: Sequence[float], **changes: Any) -> list[Sample]:
    labels = {"__name__": "c_total", "n": str(n)}
    columns = zip(at_s, values, strict=True)
    return [Sample(labels, BEGIN_MS + round(1000 * s), value, **changes) for s, value in columns]


def test_a_sample_at_the_very_begin_of_a_range_is_not_in_it(receiver: Receiver) -> None:
    """Since Prometheus 3; 2 counted it."""
    at_s = [15.0 * i for i in range(20)]
    ours, theirs = signals(receiver, grouped("c_total"), counter(0, at_s, [s * s for s in at_s]), Shape.RATE)
    samples = [(BEGIN_MS + round(1000 * s), s * s, 0) for s in at_s]
    for (time_ms, labels), value in ours.items():
        assert alike(value, naive_groups.change_at(samples, time_ms, 60_000, "rate", naive_groups.V3))
        assert alike(theirs[time_ms, labels], naive_groups.change_at(samples, time_ms, 60_000, "rate", naive_groups.V2))
    assert any(not alike(value, theirs[key]) for key, value in ours.items())


def test_the_way_to_zero_is_limited_after_the_way_to_the_begin(receiver: Receiver) -> None:
    """Since Prometheus 2.52 or so; before, a counter that had just begun was extrapolated further."""
    at_s = [1.0, 16.0, 31.0, 46.0, 61.0, 100.0, 104.0, 108.0, 112.0, 116.0, 119.0]
    values = [900.0, 910.0, 920.0, 930.0, 940.0, 3.9, 8.0, 12.0, 16.0, 20.0, 24.0]
    ours, theirs = signals(receiver, grouped("c_total"), counter(0, at_s, values), Shape.RATE)
    samples = [(BEGIN_MS + round(1000 * s), value, 0) for s, value in zip(at_s, values, strict=True)]
    for (time_ms, labels), value in ours.items():
        assert alike(value, naive_groups.change_at(samples, time_ms, 60_000, "rate", naive_groups.V3))
        assert alike(theirs[time_ms, labels], naive_groups.change_at(samples, time_ms, 60_000, "rate", naive_groups.V2))
    assert any(not alike(value, theirs[key]) for key, value in ours.items())


def test_a_member_without_a_number_is_left_out_and_does_not_spoil_its_group(receiver: Receiver) -> None:
    samples = []
    for i in range(20):
        at_ms = BEGIN_MS + 15_000 * i + 1
        samples.append(Sample({"__name__": "g", "n": "0"}, at_ms, 5.0))
        samples.append(Sample({"__name__": "g", "n": "1"}, at_ms + 1, [math.nan, math.inf, 2.0][i % 3]))
    ours, theirs = signals(receiver, grouped("g"), samples, Shape.RAW)
    assert set(ours.values()) == {5.0, 7.0}
    assert {str(value) for value in theirs.values()} == {"nan", "inf", "7.0"}
    assert all(value == theirs[key] for key, value in ours.items() if value == 7.0)


def test_what_comes_after_its_step_was_told_is_not_seen(receiver: Receiver) -> None:
    steady = [Sample({"__name__": "g", "n": "0"}, BEGIN_MS + 15_000 * i + 1, 5.0) for i in range(40)]
    late = [Sample({"__name__": "g", "n": "1"}, BEGIN_MS + 15_000 * i + 1, 1.0) for i in range(40)]
    samples = [one for i in range(40) for one in (steady[i], *late[max(0, i - 3) : max(0, i - 2)])]
    ours, theirs = signals(receiver, grouped("g"), samples, Shape.RAW)
    assert set(ours.values()) == {5.0, 6.0}
    assert set(theirs.values()) == {6.0}
    assert list(ours.values()).count(5.0) > 10


def test_a_created_timestamp_is_a_reset_even_if_the_value_has_grown(receiver: Receiver) -> None:
    at_s = [15.0 * i + 1 for i in range(20)]
    samples = counter(0, at_s, [100.0 + 10 * i for i in range(20)])
    restarted = [one._replace(start_ms=BEGIN_MS + 160_000) if i >= 11 else one for i, one in enumerate(samples)]
    ours, theirs = signals(receiver, grouped("c_total", Shape.INCREASE), restarted, Shape.INCREASE)
    assert any(value > theirs[key] + 100.0 for key, value in ours.items())
    apart = [time_ms for (time_ms, labels), value in ours.items() if not alike(value, theirs[time_ms, labels])]
    assert all(BEGIN_MS + 160_000 < time_ms <= BEGIN_MS + 240_000 for time_ms in apart)


def test_nothing_divided_by_nothing_is_a_gap(receiver: Receiver) -> None:
    samples = []
    for i in range(20):
        samples.append(Sample({"__name__": "up", "n": "0"}, BEGIN_MS + 15_000 * i + 1, float(i % 3 == 2)))
        samples.append(Sample({"__name__": "all", "n": "0"}, BEGIN_MS + 15_000 * i + 2, float(i % 3 > 0)))
    ours, theirs = signals(receiver, grouped("up", denominator="all"), samples, Shape.RAW)
    assert {str(value) for value in theirs.values()} == {"nan", "0.0", "1.0"}
    assert {str(value) for value in ours.values()} == {"nan", "0.0", "1.0"}
    assert all(alike(value, theirs[key]) for key, value in ours.items())
