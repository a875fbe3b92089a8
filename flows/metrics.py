"""The metrics flow: Kafka → decode → judge → Kafka. Run it by ``python -m flows.run``.

``build`` is what Bytewax calls; nothing is built at import. Step names are part of the recovery store: never rename.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream, StatefulBatchLogic
from bytewax.outputs import Sink
from prometheus_client import CollectorRegistry
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from connectors.bytewax_io import KafkaSink, KafkaSource
from connectors.errors import Rejected
from connectors.follower import TopicLog
from connectors.logs import configure_logging
from connectors.messages import DetectorRevision, OutRecord
from connectors.probes import Component, Probes, down_if
from connectors.settings import read_settings
from flows.block import Block
from flows.chunks import Chunk, ReadRevisions
from flows.decode import Decoder
from flows.persistence import load, save
from flows.settings import FlowSettings
from flows.vitals import Vitals
from flows.warm import warm

SWITCH_INTERVAL_S = 0.02
"""Reader and worker take turns in Python; asking for the turn every 5 ms costs a twentieth of the CPU."""


class BlockLogic(StatefulBatchLogic[list[Chunk], OutRecord, bytes]):  # type: ignore[misc]  # mypy skips bytewax
    """A block as Bytewax keeps it: one per partition."""

    def __init__(self, block: Block, vitals: Vitals) -> None:
        self._block = block
        self._vitals = vitals

    def on_batch(self, values: list[list[Chunk]]) -> tuple[list[OutRecord], bool]:
        """Hand the chunks to the block."""
        self._vitals.stops.end()
        return self._block.take(chunk for chunks in values for chunk in chunks), StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        """The block as bytes: never the live object."""
        self._vitals.stops.begin()
        saved = save(self._block)
        self._vitals.saved(self._block, len(saved))
        return saved


def build() -> Dataflow:
    """The dataflow with everything around it that a process needs: log, probes, detector log."""
    configure_logging("flow")
    settings = read_settings(FlowSettings)
    warm()
    gc.collect()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.freeze()  # what numba left is never garbage: looking through it took 100 ms at a time
    detectors = TopicLog(settings, settings.topics.detectors)
    decoder = Decoder(settings.flow_idle_s // 2, settings.flow_max_series)
    source = KafkaSource(settings, settings.topics.metrics, decoder.decode)
    vitals = Vitals(decoder, source.stats)
    _serve_probes(settings, vitals, source, detectors)
    read_revisions = _revisions_of(detectors, settings.flow_config_timeout_s)
    return dataflow(settings, lambda flow: op.input("read", flow, source), KafkaSink(settings), vitals, read_revisions)


def dataflow(
    settings: FlowSettings,
    read: Callable[[Dataflow], KeyedStream[list[Chunk]]],
    sink: Sink[OutRecord],
    vitals: Vitals,
    read_revisions: ReadRevisions,
) -> Dataflow:
    """The steps, top to bottom; ``read`` makes the input: chunks keyed by partition."""

    def logic(saved: bytes | None) -> BlockLogic:
        block = Block(settings.topics, settings.limits, read_revisions)
        if saved is not None:
            load(saved, block)
        vitals.blocks.append(block)
        return BlockLogic(block, vitals)

    flow = Dataflow("tocsin-metrics")
    events = op.stateful_batch("judge", read(flow), logic)
    op.output("write", events, sink)
    return flow


def _revisions_of(detectors: TopicLog, timeout_s: float) -> ReadRevisions:
    def read(start: int, end: int) -> list[DetectorRevision | None]:
        return [_revision(received.value) for received in detectors.read(start, end, timeout_s)]

    return read


def _revision(value: bytes | None) -> DetectorRevision | None:
    try:
        return DetectorRevision.decode(value or b"")
    except Rejected:  # every reader skips it alike; the block counts it
        return None


def _serve_probes(settings: FlowSettings, vitals: Vitals, source: KafkaSource[Chunk], detectors: TopicLog) -> None:
    registry = CollectorRegistry()
    registry.register(vitals)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)

    def components() -> dict[str, Component]:
        log = detectors.follower
        unread = "" if log.caught_up() else f"{log.topic} is not read to its end yet"
        return {"source": down_if(source.missing_reason()), "detectors": down_if(log.missing_reason() or unread)}

    Probes(settings.host, settings.flow_port, registry, components)
