"""Signals against the query API of the real Prometheus, which is sent the very bytes that the flow reads.

Where they differ on purpose, a test of its own says how. Tocsin follows Prometheus 3 where that differs from 2.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cramjam
import httpx
import numpy as np
import pytest

from connectors.codec.remote_write import Version, split_request
from connectors.codec.runs import Runs
from connectors.codec.series_hash import tenant_seed
from connectors.detector import Detector, DetectorConfig, Group, Shape
from connectors.messages import DEFAULT_TENANT
from flows.config import compile_config
from flows.selector import parse_selector
from tests import naive_groups
from tests.groups import Partitions, Sample, histogram_record, record_of, sharing_logs
from tests.prometheus import Exporter, Prometheus, missing_prometheus
from tests.series import START_MS as LOG_START_MS
from tests.streams import config
from tests.unit.connectors.codec.test_native import message

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
        self.logs = sharing_logs(PARTITIONS)
        self.samples: dict[Labels, list[tuple[int, float, int]]] = defaultdict(list)
        for key, made in detectors.items():
            self.logs[0].detector(key, made)
        self._control(BEGIN_MS - 1000)

    def send(self, at_ms: int, samples: Sequence[Sample]) -> None:
        self.to_prometheus(samples)
        self.to_flow(samples)
        self._control(at_ms)

    def to_prometheus(self, samples: Sequence[Sample]) -> None:
        assert self.receiver.write(record_of(samples)) in (200, 204)
        for one in samples:
            known = self.samples[frozenset(one.labels.items())]
            known.append((one.time_ms, math.nan if one.stale else one.value, one.start_ms))

    def to_flow(self, samples: Sequence[Sample]) -> None:
        self.write(record_of(samples))

    def write(self, body: bytes) -> None:
        split = split_request(body, Version.V1, tenant_seed(DEFAULT_TENANT), PARTITIONS, 1 << 24, Runs(0))
        for part in split.parts:
            self.logs[part.partition].append(bytes(part.value))

    def send_bytes(self, at_ms: int, body: bytes) -> None:
        """The same for a request as it stands."""
        assert self.receiver.write(body) in (200, 204)
        self.write(body)
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


class Postman:
    """Brings the flow what Prometheus gets in order: shuffled across series, some a scrape later, some twice, and
    among them samples that are older than what their series has shown, which both refuse."""

    def __init__(self, feed: Feed, seed: int) -> None:
        self._feed = feed
        self._rng = np.random.default_rng(seed)
        self._held: list[Sample] = []
        self.late = self.doubled = self.refused = 0

    def deliver(self, samples: Sequence[Sample], last: bool) -> None:
        rng = self._rng
        held = [not last and bool(rng.random() < 0.15) for _ in samples]
        now = self._shuffled([*self._held, *(one for one, late in zip(samples, held, strict=True) if not late)])
        self._held = [one for one, late in zip(samples, held, strict=True) if late]
        self.late += len(self._held)
        for one in list(now):
            after = int(rng.integers(now.index(one) + 1, len(now) + 1))
            if rng.random() < 0.1:
                now.insert(after, one)
                self.doubled += 1
            elif rng.random() < 0.02:
                older = one._replace(time_ms=one.time_ms - 7000, value=-1.0, stale=False)
                now.insert(after, older)
                assert self._feed.receiver.write(record_of([older])) == 400
                self.refused += 1
        self._feed.to_flow(now)

    def _shuffled(self, samples: Sequence[Sample]) -> list[Sample]:
        """In any order, but each series in its own."""
        queues: dict[Labels, list[Sample]] = defaultdict(list)
        for one in samples:
            queues[frozenset(one.labels.items())].append(one)
        order = [frozenset(samples[i].labels.items()) for i in self._rng.permutation(len(samples))]
        return [queues[labels].pop(0) for labels in order]


def world(feed: Feed, seed: int) -> Postman:
    """Scrapes every 15 s of series with resets, gaps, failed scrapes, stale markers, large and small values.

    Prometheus gets them as they were, the flow as ``Postman`` brings them.
    """
    rng = np.random.default_rng(seed)
    postman = Postman(feed, seed)
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
        feed.to_prometheus(samples)
        postman.deliver(samples, last=scrape == SCRAPES - 1)
        feed._control(at_ms + 5000)
    return postman


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
@pytest.mark.parametrize("seed", [3])
def test_signals_are_those_of_prometheus(receiver: Receiver, seed: int) -> None:
    feed = Feed(receiver, {key: made for key, (made, _) in SIGNALS.items()})
    postman = world(feed, seed)
    assert min(postman.late, postman.doubled, postman.refused) > 20
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


# native histograms

ZERO_SHARE = {"a": 0.1, "b": 0.7}
"""Of the observations these are near 0, so that medians of ``b`` lie in the zero bucket."""
Keyed = dict[tuple[int, int], float]
"""Counts by sign (0 for the zero bucket) and index."""


class Native:
    """A series that counts observations in a native histogram."""

    def __init__(self, x: str, n: int) -> None:
        self.labels = {"__name__": "took", "x": x, "n": str(n)}
        self.schema = (3, 2, 3, 0)[n]
        self.threshold = 2.0 ** -(4 if n == 3 else 6)
        self.counts: Keyed = {}
        self.total = 0.0
        self.samples: list[tuple[int, Keyed]] = []

    def observe(self, rng: np.random.Generator, *, negative: bool) -> None:
        values = rng.lognormal(0.0, 1.5, int(rng.integers(10, 60)))
        values[rng.random(len(values)) < ZERO_SHARE[self.labels["x"]]] = self.threshold / 2
        values *= np.where(rng.random(len(values)) < (0.3 if negative else 0.0), -1.0, 1.0)
        for value in values.tolist():
            key = (0, 0)
            if abs(value) > self.threshold:
                key = (1 if value > 0 else -1, math.ceil(math.log2(abs(value)) * 2.0**self.schema))
            self.counts[key] = self.counts.get(key, 0.0) + 1.0
            self.total += value

    def record(self, time_ms: int) -> bytes:
        self.samples.append((time_ms, dict(self.counts)))
        fields: dict[str, Any] = {}
        for side, sign in (("positive", 1), ("negative", -1)):
            mine = sorted((index, round(count)) for (of, index), count in self.counts.items() if of == sign)
            ends = [0, *(index + 1 for index, _ in mine)]
            befores = [0, *(count for _, count in mine)]
            fields[f"{side}_spans"] = [(index - end, 1) for (index, _), end in zip(mine, ends, strict=False)]
            fields[f"{side}_deltas"] = [count - before for (_, count), before in zip(mine, befores, strict=False)]
        raw = message(
            count_int=round(sum(self.counts.values())), sum=self.total, schema=self.schema, timestamp=time_ms,
            zero_threshold=self.threshold, zero_count_int=round(self.counts.get((0, 0), 0.0)), **fields,
        )  # fmt: skip
        return histogram_record(self.labels, raw)

    def rate_at(self, at_ms: int, range_ms: int = 60_000) -> tuple[Keyed, bool]:
        """Change per second, and whether the way to zero limits it, which 2.42 does not know of histograms."""
        inside = [one for one in self.samples if at_ms - range_ms < one[0] <= at_ms]
        if len(inside) < 2:
            return {}, False
        grown = {key: count - inside[0][1].get(key, 0.0) for key, count in inside[-1][1].items()}
        for (_, before), (_, after) in pairwise(inside):
            if any(count > after.get(key, 0.0) for key, count in before.items()):
                grown = {key: grown.get(key, -inside[0][1].get(key, 0.0)) + before.get(key, 0.0)
                         for key in grown.keys() | before.keys()}  # fmt: skip
        steady = [(time_ms, float(i), 0) for i, (time_ms, _) in enumerate(inside)]
        factor = naive_groups.change_at(steady, at_ms, range_ms, "delta") / (len(inside) - 1)
        counts = [(time_ms, sum(counts.values()), 0) for time_ms, counts in inside]
        limited = naive_groups.change_at(counts, at_ms, range_ms, "increase") / sum(grown.values())
        rate = {key: factor * count * 1000 / range_ms for key, count in grown.items() if count}
        return rate, not math.isclose(limited, factor, rel_tol=1e-12)

    def raw_at(self, at_ms: int) -> tuple[Keyed, bool]:
        return next((counts for time_ms, counts in reversed(self.samples) if time_ms <= at_ms), {}), False


def buckets_together(members: Sequence[tuple[Native, Keyed]]) -> list[tuple[float, float, float]]:
    """Buckets of the sum as (lower, upper, count): the coarsest schema and the widest zero bucket hold."""
    schema = min(one.schema for one, _ in members)
    threshold = max(one.threshold for one, _ in members)
    total: Keyed = defaultdict(float)
    for one, counts in members:
        for (sign, index), count in counts.items():
            wide = math.ceil(index / 2 ** (one.schema - schema))
            near = sign == 0 or 2.0 ** (wide / 2.0**schema) <= threshold
            total[(0, 0) if near else (sign, wide)] += count
    signs = {sign for sign, _ in total}
    out = []
    for (sign, index), count in total.items():
        low, high = 2.0 ** ((index - 1) / 2.0**schema), 2.0 ** (index / 2.0**schema)
        if sign == 0:
            low = 0.0 if 1 in signs and -1 not in signs else -threshold
            high = 0.0 if -1 in signs and 1 not in signs else threshold
        out.append((low, high, count) if sign >= 0 else (-high, -low, count))
    return sorted(out)


NATIVE = {
    f"{shape}-{100 * q:g}": (grouped(selector, shape, by=("x",), histogram_quantile=q), shape, q)
    for shape, selector in ((Shape.RATE, "took"), (Shape.RAW, 'took{x="b"}'))
    for q in (0.0, 0.5, 0.93, 1.0)
    if q > 0.0 or shape is Shape.RATE
}
"""Raw ones only where no bucket is ever empty: the storage of 2.42 fills up buckets that come later in a chunk, and
does not take empty ones away from raw histograms: it divides 0 by 0, or takes the zero bucket to reach below 0."""


@pytest.mark.parametrize("seed", [0])
def test_quantiles_of_native_histograms_are_those_of_prometheus(receiver: Receiver, seed: int) -> None:
    """To nine digits where exponential and linear interpolation agree; else each is what its version says."""
    rng = np.random.default_rng(seed)
    feed = Feed(receiver, {key: made for key, (made, _, _) in NATIVE.items()})
    series = [Native(x, n) for x in "ab" for n in range(4)]
    for scrape in range(32):
        at_ms, records = BEGIN_MS + 15_000 * scrape + 1, []
        for number, one in enumerate(series):
            if rng.random() < 0.03:
                one.counts, one.total = {}, 0.0
            one.observe(rng, negative=one.labels["x"] == "b" or 10 <= scrape < 18)
            if rng.random() > 0.05:
                records.append(one.record(at_ms + 200 + 410 * number))
        feed.send_bytes(at_ms + 5000, b"".join(records[i] for i in rng.permutation(len(records))))

    @cache
    def wanted_of(shape: Shape, time_ms: int, x: str) -> list[tuple[float, float, float]] | None:
        members = [one for one in series if one.labels["x"] == x]
        shown = [one.rate_at(time_ms) if shape is Shape.RATE else one.raw_at(time_ms) for one in members]
        if any(limited for _, limited in shown):
            return None
        return buckets_together([(one, counts) for one, (counts, _) in zip(members, shown, strict=True) if counts])

    ours = feed.values()
    same: dict[str, int] = defaultdict(int)
    apart = 0
    for key, (made, shape, q) in NATIVE.items():
        times = [time_ms for time_ms, _ in ours[key]]
        theirs = receiver.query(expression_of(made, shape), min(times), max(times))
        assert ours[key].keys() == theirs.keys()
        for (time_ms, labels), mine in ours[key].items():
            together = wanted_of(shape, time_ms, dict(labels)["x"])
            if together is None:
                continue
            linear, exponential = (naive_groups.native_quantile(q, together, exponential=how) for how in (False, True))
            where = (key, time_ms, labels)
            assert alike(theirs[time_ms, labels], linear), (where, theirs[time_ms, labels], linear)
            assert alike(mine, exponential), (where, mine, exponential)
            if alike(linear, exponential):
                assert alike(mine, theirs[time_ms, labels]), where
                same[key] += 1
            else:
                apart += 1
    assert min(same[key] for key in NATIVE if key.endswith(("-0", "-50", "-100"))) > 10, same
    assert apart > 100


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


def test_native_observations_lie_exponentially_in_their_bucket(receiver: Receiver) -> None:
    """Since Prometheus 3; 2 took them to lie linearly there. On bounds and in the zero bucket both agree."""
    feed = Feed(receiver, {"d": (made := grouped("took", Shape.RAW, histogram_quantile=0.5))})
    for i in range(20):
        at_ms = BEGIN_MS + 15_000 * i + 1
        raw = message(count_int=4, sum=6.0, schema=0, timestamp=at_ms, positive_spans=[(1, 1)], positive_deltas=[4])
        feed.send_bytes(at_ms + 5000, histogram_record({"__name__": "took"}, raw))
    ours = feed.values()["d"]
    times = [time_ms for time_ms, _ in ours]
    theirs = receiver.query(expression_of(made, Shape.RAW), min(times), max(times))
    assert ours.keys() == theirs.keys()
    assert all(alike(value, math.sqrt(2.0)) for value in ours.values())
    assert all(alike(value, 1.5) for value in theirs.values())


def test_nothing_divided_by_nothing_is_a_gap(receiver: Receiver) -> None:
    samples = []
    for i in range(20):
        samples.append(Sample({"__name__": "up", "n": "0"}, BEGIN_MS + 15_000 * i + 1, float(i % 3 == 2)))
        samples.append(Sample({"__name__": "all", "n": "0"}, BEGIN_MS + 15_000 * i + 2, float(i % 3 > 0)))
    ours, theirs = signals(receiver, grouped("up", denominator="all"), samples, Shape.RAW)
    assert {str(value) for value in theirs.values()} == {"nan", "0.0", "1.0"}
    assert {str(value) for value in ours.values()} == {"nan", "0.0", "1.0"}
    assert all(alike(value, theirs[key]) for key, value in ours.items())
