"""A flow for tests: copies every record of tocsin.metrics to tocsin.anomalies. Run by ``python -m bytewax.run``."""

from __future__ import annotations

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from connectors.bytewax_io import KafkaSink, KafkaSource
from connectors.follower import Received
from connectors.messages import OutRecord
from connectors.settings import KafkaSettings


def build() -> Dataflow:
    settings = KafkaSettings()

    def copy(received: Received) -> tuple[str, OutRecord]:
        out = OutRecord(settings.topics.anomalies, received.key, received.value, received.headers, received.partition)
        return str(received.partition), out

    flow = Dataflow("copying")
    records = op.input("in", flow, KafkaSource(settings, settings.topics.metrics, list))
    op.output("out", op.map("copy", records, copy), KafkaSink(settings))
    return flow
