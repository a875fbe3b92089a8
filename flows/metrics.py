"""The metrics flow: Kafka → decode → judge → Kafka. Run it by ``python -m flows.run``.

``build`` is what Bytewax calls; nothing is built at import. Step names are part of the recovery store: never rename.
"""

from __future__ import annotations

import gc
import logging
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
from flows.block import Block
from flows.chunks import Chunk, ReadFeedback, ReadRevisions
from flows.config import Compile
from flows.config_logs import ConfigLogs
from flows.decode import Decoder
from flows.learned import Learned
from flows.merge import Merge
from flows.pace import Pace
from flows.partial import Part
from flows.revisions import CompileOnce
from flows.saved_merge import load_merge, save_merge
from flows.saved_trainings import load_trained, save_trained
from flows.settings import FlowSettings
from flows.teller import PER_CONTROL, Teller, Telling
from flows.training import Trainings
from flows.vitals import Vitals
from flows.warm import warm

SWITCH_INTERVAL_S = 0.02
"""Reader and worker take turns in Python; asking for the turn every 5 ms costs a twentieth of the CPU."""
SAVING_INTERVAL_S = 0.001
"""The same from a snapshot to the next batch: each large copy gives the turn away, and data stands still meanwhile."""
YOUNG_OBJECTS = 50_000
"""New objects that make Python look for garbage: thousands of new detectors are many objects, and none is garbage."""


Judged = OutRecord | Part | Learned | Telling
_log = logging.getLogger(__name__)


class BlockLogic(StatefulBatchLogic[list[Chunk], Judged, bytes]):  # type: ignore[misc]  # mypy skips bytewax
    """A block with its trainings as Bytewax keeps it: one per partition."""

    def __init__(self, trainings: Trainings, vitals: Vitals) -> None:
        self._trainings, self._block = trainings, trainings.block
        self._vitals = vitals

    def on_batch(self, values: list[list[Chunk]]) -> tuple[list[Judged], bool]:
        """Hand the chunks to the block."""
        self._vitals.stops.end()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        records = self._trainings.take(chunk for chunks in values for chunk in chunks)
        _warn(self._block)
        return [*records, *self._block.parts(), *self._block.tellings()], StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        """The block as bytes: never the live object."""
        self._vitals.stops.begin()
        sys.setswitchinterval(SAVING_INTERVAL_S)
        saved = save_trained(self._trainings)
        self._vitals.saved(self._block, len(saved))
        return saved


def _warn(block: Block) -> None:
    for notice in block.watch.notices():
        _log.warning("%s", notice)


class MergeLogic(StatefulBatchLogic[tuple[int, Part | Learned], OutRecord | Telling, bytes]):  # type: ignore[misc]  # mypy skips bytewax
    """The groups of one detector as Bytewax keeps them."""

    def __init__(self, merge: Merge, vitals: Vitals) -> None:
        self._merge = merge
        self._vitals = vitals
        vitals.merges.append(merge)

    def on_batch(self, values: list[tuple[int, Part | Learned]]) -> tuple[list[OutRecord | Telling], bool]:
        """Merge what the partitions say; forget the detector once all have said that it is gone."""
        out: list[OutRecord | Telling] = [*self._merge.take(values), *self._merge.tellings()]
        if self._merge.running is not None:
            _warn(self._merge.running.block)
        if self._merge.over:
            self._vitals.forget(self._merge)
        return out, self._merge.over

    def snapshot(self) -> bytes:
        """The merge as bytes: never the live object."""
        self._vitals.stops.begin()
        return save_merge(self._merge)


def build() -> Dataflow:
    """The dataflow with everything around it that a process needs: log, probes, detector log."""
    configure_logging("flow")
    settings = read_settings(FlowSettings)
    warm()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    collect_garbage()  # not among what numba left: looking through it took 100 ms at a time
    gc.set_threshold(YOUNG_OBJECTS)
    compiled = CompileOnce()
    logs = ConfigLogs(settings, compiled)
    decoder = Decoder(settings.flow_idle_s // 2, settings.flow_max_series)
    source = KafkaSource(settings, settings.topics.metrics, decoder.decode)
    _check_partitions(len(source.list_parts()), settings)
    vitals = Vitals(decoder, source.stats)
    _serve_probes(settings, vitals, source, logs)
    sink = KafkaSink(settings)
    pace = Pace(PER_CONTROL, time.monotonic)
    return dataflow(
        settings,
        lambda flow: op.input("read", flow, source),
        sink,
        vitals,
        logs.revisions,
        compiled,
        logs.said,
        pace,
    )


def _check_partitions(there: int, settings: FlowSettings) -> None:
    """Groups wait for as many partitions as are set: with fewer they were never judged. Raises ``TocsinError``."""
    if there != settings.partitions:
        message = (
            f"TOCSIN_PARTITIONS={settings.partitions}: must be {there}, the number of partitions of "
            f"{settings.topics.metrics}"
        )
        raise TocsinError(message)


def dataflow(
    settings: FlowSettings,
    read: Callable[[Dataflow], KeyedStream[list[Chunk]]],
    sink: Sink[OutRecord],
    vitals: Vitals,
    read_revisions: ReadRevisions,
    compiled: Compile,
    read_feedback: ReadFeedback = lambda _start, _end: (),
    pace: Pace | None = None,
) -> Dataflow:
    """The steps, top to bottom; ``read`` makes the input: chunks keyed by partition."""

    def logic(saved: bytes | None) -> BlockLogic:
        block = Block(settings.topics, settings.limits, read_revisions, compiled, read_feedback)
        block.teller = Teller(pace=pace)
        trainings = Trainings(block) if saved is None else load_trained(saved, block)
        vitals.blocks.append(block)
        vitals.trainings.append(trainings)
        return BlockLogic(trainings, vitals)

    def merge_logic(saved: bytes | None) -> MergeLogic:
        merge = Merge(settings.topics, settings.limits, settings.partitions, pace)
        return MergeLogic(merge if saved is None else load_merge(saved, merge), vitals)

    flow = Dataflow("tocsin-metrics")
    judged = op.branch("groups", op.stateful_batch("judge", read(flow), logic), _is_part)
    parts = op.map("by-detector", judged.trues, _by_detector)
    events = op.stateful_batch("merge", parts, merge_logic)
    told = op.map("told", judged.falses, lambda keyed: (keyed[0], _record(keyed[1], settings.topics, int(keyed[0]))))
    events = op.map("told-of-groups", events, lambda keyed: (keyed[0], _record(keyed[1], settings.topics, None)))
    op.output("write", op.merge("events", told, events), sink)
    return flow


def _is_part(keyed: tuple[str, Judged]) -> bool:
    return isinstance(keyed[1], Part | Learned)


def _record(out: OutRecord | Telling, topics: Topics, partition: int | None) -> OutRecord:
    """What is written; ``partition`` None: of groups."""
    return out.record(topics, partition) if isinstance(out, Telling) else out


def _by_detector(keyed: tuple[str, Part | Learned]) -> tuple[str, tuple[int, Part | Learned]]:
    """What the block of a partition says, for the merge of its detector."""
    return keyed[1].detector.id, (int(keyed[0]), keyed[1])


def _serve_probes(settings: FlowSettings, vitals: Vitals, source: KafkaSource[Chunk], logs: ConfigLogs) -> None:
    registry = CollectorRegistry()
    registry.register(vitals)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)

    def components() -> dict[str, Component]:
        return {
            "source": down_if(source.missing_reason()),
            **logs.components(),
            "lag": degraded_if(vitals.behind_reason(time.time())),
        }

    Probes(settings.host, settings.flow_port, registry, components, {"/readiness": vitals.readiness})
