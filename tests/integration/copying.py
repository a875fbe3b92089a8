"""A flow for tests: copies every record of tocsin.metrics to tocsin.anomalies. Run by ``python -m bytewax.run``.

A record that begins with ``HOLD`` names a file: the flow stands still from there on until that file is there, and tells
so by another, whose name ends with ``.held``.
"""

from __future__ import annotations

from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from connectors.bytewax_io import KafkaSink, KafkaSource
from connectors.messages import OutRecord
from connectors.received import Received
from connectors.settings import KafkaSettings
from tests.processes import wait_until

HOLD = b"hold until "


def build() -> Dataflow:
    settings = KafkaSettings()

    def copy(received: Received) -> tuple[str, OutRecord]:
        if received.value is not None and received.value.startswith(HOLD):
            gate = Path(received.value[len(HOLD) :].decode())
            Path(f"{gate}.held").touch()
            wait_until(gate.exists, 60.0, f"{gate}")
        out = OutRecord(settings.topics.anomalies, received.key, received.value, received.headers, received.partition)
        return str(received.partition), out

    flow = Dataflow("copying")
    records = op.input("in", flow, KafkaSource(settings, settings.topics.metrics, list))
    op.output("out", op.map("copy", records, copy), KafkaSink(settings))
    return flow
