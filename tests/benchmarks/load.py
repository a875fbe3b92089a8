"""The benchmark's samples: 20,000 series with ten labels, Gaussian noise, and a spike now and then; seeded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from connectors.codec.encode import encode_labels, encode_write_request
from connectors.codec.series_hash import series_hash
from connectors.messages import DEFAULT_TENANT

STEP_MS = 1_000
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
SERIES_PER_RUN = 8_000
"""Ingest joins requests of 2,000 series while Kafka is busy: under load its records hold some 1,000 samples, as the
ingest benchmark prints (``samples_per_record``), so a record of one of eight partitions is made of four requests."""
SPIKE_EVERY = 5_000
SHARDS = 100


def labels_of(number: int) -> dict[str, str]:
    """Ten labels as a cluster's metrics have them; ``shard`` splits the series in hundredths."""
    return {
        "__name__": "http_requests_in_flight",
        "cluster": "prod-eu-1",
        "container": "checkout",
        "instance": f"10.0.{number // 250}.{number % 250}:9090",
        "job": "kubernetes-pods",
        "method": ("GET", "POST", "PUT", "DELETE")[number % 4],
        "namespace": "shop",
        "pod": f"checkout-{number:08x}-abcde",
        "region": "eu-central-1",
        "shard": str(number % SHARDS),
    }


class Record:
    """One record's bytes, encoded once; only times and values change from step to step."""

    TIME_BYTES = 6
    """A varint of milliseconds between 1971 and 2039 has six bytes, so nothing moves."""

    def __init__(self, labels: Sequence[Mapping[str, str]]) -> None:
        encoded = [encode_write_request([(one, [(START_MS, 0.0)])]) for one in labels]
        self._bytes = np.frombuffer(b"".join(encoded), np.uint8).copy()
        ends = np.cumsum([len(one) for one in encoded])
        self._times_at = (ends - self.TIME_BYTES)[:, None] + np.arange(self.TIME_BYTES)
        self._values_at = (ends - self.TIME_BYTES - 9)[:, None] + np.arange(8)

    def at(self, time_ms: int, values: npt.NDArray[np.float64]) -> bytes:
        """The record with one sample of each series, (series,) values."""
        shifts = 7 * np.arange(self.TIME_BYTES)
        varint = (time_ms >> shifts) & 0x7F
        varint[:-1] |= 0x80
        self._bytes[self._times_at] = varint.astype(np.uint8)
        self._bytes[self._values_at] = values.astype("<f8").view(np.uint8).reshape(-1, 8)
        return self._bytes.tobytes()


class Load:
    """``series`` series; one value of each per step, in records as ingest cuts them."""

    def __init__(self, series: int, partitions: int, seed: int = 1) -> None:
        self.series = series
        self._random = np.random.default_rng(seed)
        labels = [labels_of(number) for number in range(series)]
        partition_of = np.array([series_hash(encode_labels(one), DEFAULT_TENANT) % partitions for one in labels])
        self._parts: list[tuple[int, npt.NDArray[np.int64], Record]] = []
        for start in range(0, series, SERIES_PER_RUN):
            run = np.arange(start, min(start + SERIES_PER_RUN, series))
            for partition in range(partitions):
                numbers = run[partition_of[run] == partition]
                if len(numbers):
                    self._parts.append((partition, numbers, Record([labels[n] for n in numbers])))

    def records(self, step: int) -> Iterator[tuple[int, bytes]]:
        """Partition and value of every record of a step."""
        values = self._random.normal(100.0, 5.0, self.series)
        spikes = (np.arange(self.series) * 7 + step * 13) % SPIKE_EVERY == 0
        values = np.where(spikes, 10_000.0, values)
        for partition, numbers, record in self._parts:
            yield partition, record.at(START_MS + step * STEP_MS, values[numbers])
