"""Settings of the flow process, beside those that every process shares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from connectors.settings import Host, KafkaSettings, NamedPath
from flows.keys import MAX_KEYS
from flows.labels_archive import MAX_LABEL_BYTES
from flows.models import MAX_MODELS

if TYPE_CHECKING:
    from flows.limits import BlockLimits


class FlowSettings(KafkaSettings):
    """Bounds of every block, where the recovery store is, and where the probes listen."""

    host: Host = "127.0.0.1"
    flow_port: Annotated[int, Field(ge=0, le=65_535, description="port of the flow's probes")] = 8002
    home: Annotated[NamedPath, Field(description="folder of the recovery store")] = Path(".tocsin")
    flow_snapshot_interval_s: Annotated[
        int, Field(ge=1, le=3600, description="length of an epoch: so much is replayed after a crash")
    ] = 10
    flow_config_timeout_s: Annotated[
        float, Field(gt=0, description="how long a block waits for announced detector revisions before the flow ends")
    ] = 30.0
    flow_max_series: Annotated[
        int, Field(ge=1, description="series of one partition; more are counted, not watched")
    ] = 1_000_000
    flow_max_label_bytes: Annotated[
        int,
        Field(ge=1024, description="bytes of labels of the series of one partition; more are counted, not watched"),
    ] = MAX_LABEL_BYTES
    flow_max_episodes: Annotated[int, Field(ge=1, description="open episodes of one partition")] = 100_000
    flow_max_keys: Annotated[
        int, Field(ge=1, description="series that one detector watches on one partition; more are counted, not watched")
    ] = MAX_KEYS
    flow_max_models: Annotated[
        int, Field(ge=1, description="Python-object models (kind river) of one partition; more are counted, not made")
    ] = MAX_MODELS
    flow_idle_s: Annotated[
        int, Field(ge=120, description="log time after which a series without samples gives its row back")
    ] = 3600
    flow_too_old_s: Annotated[float, Field(gt=0, description="samples so far before log time are not judged")] = (
        86_400.0
    )
    flow_too_new_s: Annotated[float, Field(gt=0, description="samples so far after log time are not judged")] = 600.0

    @property
    def limits(self) -> BlockLimits:
        """The bounds as a block takes them."""
        from flows.limits import BlockLimits
        from flows.work import work_of

        return BlockLimits(
            max_series=self.flow_max_series,
            max_label_bytes=self.flow_max_label_bytes,
            max_episodes=self.flow_max_episodes,
            max_keys=self.flow_max_keys,
            max_models=self.flow_max_models,
            idle_s=self.flow_idle_s,
            too_old_ms=round(self.flow_too_old_s * 1000),
            too_new_ms=round(self.flow_too_new_s * 1000),
            max_work=work_of(self.partitions),
        )

    @property
    def recovery(self) -> Path:
        """Folder of the recovery store."""
        return self.home / "recovery" / "metrics"
