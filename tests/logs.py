"""Seeded lines of services, and the way from them to samples without Kafka: decode, count, mine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from connectors.codec.labels import parse_labels
from connectors.codec.record import Columns
from connectors.codec.runs import Runs
from connectors.codec.series_hash import tenant_seed
from connectors.codec.stream import Entry, encode_stream, labels_text
from connectors.messages import CONTROL_HEADER, DEFAULT_TENANT, ControlRecord, OutRecord
from flows.mining.count import Counting, LogPart
from flows.mining.limits import USUAL_LABELS, MiningLimits
from flows.mining.lines import LineDecoder
from flows.mining.miner import Miner
from flows.mining.numbers import Numbers
from tests.streams import TOPICS, Record

LIMITS = MiningLimits()
Told = dict[tuple[tuple[str, str], ...], list[tuple[int, float]]]
"""Samples (time_ms, value) of each series, by its labels."""


def lines(labels: Mapping[str, str], *entries: tuple[int, str], tenant: str = DEFAULT_TENANT, partition: int = 0,
          metadata: Sequence[tuple[bytes, bytes]] = ()) -> Record:  # fmt: skip
    """A record of lines at times in ms."""
    found = [Entry(1_000_000 * time_ms, line.encode(), metadata) for time_ms, line in entries]
    return Record(TOPICS.logs, partition, 0, tenant.encode(), encode_stream(labels_text(labels), found, 1), [])


def control(time_ms: int, partition: int = 0) -> Record:
    """A control record."""
    value = ControlRecord(time_ms=time_ms, detectors_offset=0, feedback_offset=0).encode()
    return Record(TOPICS.logs, partition, 0, None, value, [(CONTROL_HEADER, b"1")])


class Mine:
    """All partitions of one topic of logs, and the miner behind them."""

    def __init__(self, partitions: int = 1, limits: MiningLimits = LIMITS) -> None:
        self.decoder = LineDecoder(limits.idle_s // 2, USUAL_LABELS)
        self.countings = [Counting(TOPICS.dead_letter, limits) for _ in range(partitions)]
        self.miner = Miner(Numbers(TOPICS.metrics, partitions, limits), partitions, limits)

    def take(self, records: Iterable[Record]) -> list[OutRecord]:
        """What the flow writes of them."""
        out: list[OutRecord] = []
        for partition, chunks in self.decoder.decode(records):
            for said in self.countings[int(partition)].take(chunks):
                if isinstance(said, LogPart):
                    out += self.miner.take([(int(partition), said)])
                elif isinstance(said, OutRecord):
                    out.append(said)
        return out


def samples(records: Iterable[OutRecord], tenant: str = DEFAULT_TENANT) -> Told:
    """What records of ``tocsin.metrics`` tell, each sample once."""
    told: Told = {}
    for labels, time_ms, value in _samples(records, tenant):
        series = told.setdefault(labels, [])
        if (time_ms, value) not in series:
            series.append((time_ms, value))
    return told


def _samples(records: Iterable[OutRecord], tenant: str) -> Iterator[tuple[tuple[tuple[str, str], ...], int, float]]:
    for record in records:
        if record.topic != TOPICS.metrics or record.key != tenant.encode():
            continue
        columns = Columns(64)
        met = columns.add(record.value or b"", tenant_seed(tenant), Runs(1000))
        names = {one.series: tuple(sorted(parse_labels(one.labels).items())) for one in met}
        decoded = columns.take()
        for series, time_ms, value in zip(decoded.series.tolist(), decoded.times_ms.tolist(), decoded.values.tolist(),
                                          strict=True):  # fmt: skip
            yield names[series], time_ms, value
