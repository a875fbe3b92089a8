"""Settings of the ingest process."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from connectors.codec.limits import (
    LONGEST_LINE_BYTES,
    MAX_LABEL_BYTES,
    MAX_LABELS,
    SHORT_BYTES,
    USUAL_LIMITS,
    USUAL_LINE_BYTES,
    LabelLimits,
)
from connectors.settings import Host, KafkaSettings, NamedPath

MIB = 1024 * 1024


class IngestSettings(KafkaSettings):
    """What ingest listens on, how much it takes at once, and how long it waits for Kafka."""

    host: Host = "127.0.0.1"
    ingest_port: Annotated[int, Field(ge=0, le=65_535, description="port of remote write and of pushes of logs")] = 8001
    ingest_max_body_bytes: Annotated[
        int, Field(ge=1024, description="larger bodies, as sent, are refused with 413")
    ] = 16 * MIB
    ingest_max_decoded_bytes: Annotated[
        int, Field(ge=1024, description="bodies larger than this after decompression are refused with 413")
    ] = 32 * MIB
    ingest_max_in_flight_bytes: Annotated[
        int,
        Field(
            ge=4096,
            description="bytes of requests, as far as they have arrived, that Kafka has not confirmed; beyond it 429",
        ),
    ] = 256 * MIB
    ingest_max_labels: Annotated[
        int, Field(ge=1, le=MAX_LABELS, description="labels of a series, empty ones left out; one with more is refused")
    ] = USUAL_LIMITS.labels
    ingest_max_label_name_bytes: Annotated[
        int, Field(ge=SHORT_BYTES, description="a series with a longer label name is refused")
    ] = USUAL_LIMITS.name_bytes
    ingest_max_label_value_bytes: Annotated[
        int, Field(ge=SHORT_BYTES, description="a series with a longer label value is refused")
    ] = USUAL_LIMITS.value_bytes
    ingest_max_series_label_bytes: Annotated[
        int, Field(ge=1024, le=MAX_LABEL_BYTES, description="a series with more bytes of labels in all is refused")
    ] = USUAL_LIMITS.series_bytes
    ingest_max_line_bytes: Annotated[
        int, Field(ge=1024, le=LONGEST_LINE_BYTES, description="a pushed log line with more bytes is refused")
    ] = USUAL_LINE_BYTES
    ingest_body_timeout_s: Annotated[
        float, Field(gt=0, description="a body that is not whole by then is answered 408; it counts as in flight")
    ] = 30.0
    ingest_request_timeout_s: Annotated[
        float, Field(gt=0, description="a request that Kafka has not confirmed by then is answered 503")
    ] = 10.0
    broker_status_file: Annotated[
        NamedPath | None,
        Field(description='JSON {"full": bool, "message": str} of the embedded broker; while full, writes get 429'),
    ] = None

    @property
    def label_limits(self) -> LabelLimits:
        """Limits of the labels of one series."""
        return LabelLimits(
            self.ingest_max_labels,
            self.ingest_max_label_name_bytes,
            self.ingest_max_label_value_bytes,
            self.ingest_max_series_label_bytes,
        )

    @model_validator(mode="after")
    def _one_request_must_fit(self) -> Self:
        largest = self.ingest_max_body_bytes + 2 * self.ingest_max_decoded_bytes
        if self.ingest_max_in_flight_bytes < largest:
            message = (
                f"TOCSIN_INGEST_MAX_IN_FLIGHT_BYTES: {self.ingest_max_in_flight_bytes} is less than one request may "
                f"take ({largest}: its body and twice its decoded size)"
            )
            raise ValueError(message)
        return self
