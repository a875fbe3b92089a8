"""The logs flow: Kafka → mask → count → mine → Kafka. Run it by ``python -m flows.run logs``.

What it writes are samples, to the topic of metrics: there the numbers of logs are judged as all others are. ``build``
is what Bytewax calls; nothing is built at import. Step names are part of the recovery store: never rename.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream, StatefulBatchLogic
from bytewax.outputs import Sink
from prometheus_client import CollectorRegistry
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from connectors.bytewax_io import KafkaSink, KafkaSource
from connectors.catalogue import Topics
from connectors.errors import TocsinError
from connectors.logs import configure_logging
from connectors.messages import OutRecord
from connectors.probes import Component, Probes, degraded_if, down_if
from connectors.process import collect_garbage
from connectors.settings import read_settings
from flows.mining.count import Counting, LogPart, LogsTelling, Said
from flows.mining.lateness import Lateness
from flows.mining.lines import LineDecoder, LogChunk
from flows.mining.miner import Miner
from flows.mining.numbers import Numbers
from flows.mining.saved import load_counting, load_miner, save_counting, save_miner
from flows.mining.vitals import MiningVitals
from flows.mining.warm import warm_lines
from flows.settings import MiningSettings

SWITCH_INTERVAL_S = 0.02
"""As of the metrics flow."""
ALL = "all"
"""The key of the miner: there is one, as a new pattern is new wherever its stream lies."""


class CountingLogic(StatefulBatchLogic[list[LogChunk], Said, bytes]):  # type: ignore[misc]  # mypy skips bytewax
    """Counting as Bytewax keeps it: one per partition."""

    def __init__(self, counting: Counting) -> None:
        self._counting = counting

    def on_batch(self, values: list[list[LogChunk]]) -> tuple[list[Said], bool]:
        """Count what came."""
        return self._counting.take(chunk for chunks in values for chunk in chunks), StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        """Its memory as bytes: never the live object."""
        return save_counting(self._counting)


class MinerLogic(StatefulBatchLogic[tuple[int, LogPart], OutRecord, bytes]):  # type: ignore[misc]  # mypy skips bytewax
    """The miner as Bytewax keeps it."""

    def __init__(self, miner: Miner) -> None:
        self._miner = miner

    def on_batch(self, values: list[tuple[int, LogPart]]) -> tuple[list[OutRecord], bool]:
        """Mine the steps that all partitions have told of."""
        return self._miner.take(values), StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        """Its memory as bytes: never the live object."""
        return save_miner(self._miner)


def build() -> Dataflow:
    """The dataflow with everything around it that a process needs: log, probes."""
    configure_logging("logs")
    settings = read_settings(MiningSettings)
    warm_lines()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    collect_garbage()
    decoder = LineDecoder(settings.logs_idle_s // 2, settings.told_by)
    source = KafkaSource(settings, settings.topics.logs, decoder.decode)
    partitions = len(source.list_parts())
    if partitions != settings.partitions:  # the miner waits for as many as are set
        message = (
            f"TOCSIN_PARTITIONS={settings.partitions}: must be {partitions}, the number of partitions of "
            f"{settings.topics.logs}"
        )
        raise TocsinError(message)
    vitals = MiningVitals(decoder, source.stats)
    _serve_probes(settings, vitals, source)
    return dataflow(settings, lambda flow: op.input("read", flow, source), KafkaSink(settings), vitals)


def dataflow(
    settings: MiningSettings,
    read: Callable[[Dataflow], KeyedStream[list[LogChunk]]],
    sink: Sink[OutRecord],
    vitals: MiningVitals,
) -> Dataflow:
    """The steps, top to bottom; ``read`` makes the input: chunks keyed by partition."""
    topics, limits = settings.topics, settings.limits

    def counting_logic(saved: bytes | None) -> CountingLogic:
        counting = Counting(topics.dead_letter, limits)
        vitals.countings.append(counting)
        return CountingLogic(counting if saved is None else load_counting(saved, counting))

    def miner_logic(saved: bytes | None) -> MinerLogic:
        miner = Miner(Numbers(topics.metrics, settings.partitions, limits), settings.partitions, limits)
        vitals.miners.append(miner)
        return MinerLogic(miner if saved is None else load_miner(saved, miner))

    flow = Dataflow("tocsin-logs")
    counted = op.branch("parts", op.stateful_batch("count", read(flow), counting_logic), _is_part)
    parts = op.map("of-partition", counted.trues, _of_partition)
    told = op.stateful_batch("mine", parts, miner_logic)
    of_partitions = op.map("told", counted.falses, lambda keyed: (keyed[0], _record(keyed[1], topics, int(keyed[0]))))
    op.output("write", op.merge("records", of_partitions, told), sink)
    return flow


def _record(out: LogsTelling | OutRecord, topics: Topics, partition: int) -> OutRecord:
    return out.record(topics.status, partition) if isinstance(out, LogsTelling) else out


def _is_part(keyed: tuple[str, Said]) -> bool:
    return isinstance(keyed[1], LogPart)


def _of_partition(keyed: tuple[str, LogPart]) -> tuple[str, tuple[int, LogPart]]:
    return ALL, (int(keyed[0]), keyed[1])


def _serve_probes(settings: MiningSettings, vitals: MiningVitals, source: KafkaSource[LogChunk]) -> None:
    registry = CollectorRegistry()
    registry.register(vitals)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)

    lateness = Lateness(settings.logs_grace_s)

    def components() -> dict[str, Component]:
        return {
            "source": down_if(source.missing_reason()),
            "lag": degraded_if(vitals.behind_reason(time.time())),
            "late": degraded_if(lateness.reason(vitals.counts(), time.monotonic())),
        }

    Probes(settings.host, settings.logs_port, registry, components, {"/patterns": vitals.patterns})
