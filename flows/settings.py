"""Settings of the flows' processes, beside those that every process shares."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from connectors.detector import LABEL_NAME
from connectors.settings import Host, KafkaSettings, NamedPath
from flows.keys import MAX_KEYS
from flows.labels_archive import MAX_LABEL_BYTES
from flows.mining.limits import USUAL_LABELS, MiningLimits
from flows.mining.names import LEVEL_LABEL, PATTERN_LABEL
from flows.models import MAX_MODELS
from flows.selector import NAME_LABEL

if TYPE_CHECKING:
    from flows.limits import BlockLimits


class AnyFlowSettings(KafkaSettings):
    """Of both flows: where they listen, where their recovery stores are, and how often they save."""

    host: Host = "127.0.0.1"
    home: Annotated[NamedPath, Field(description="folder of the recovery stores")] = Path(".tocsin")
    flow_snapshot_interval_s: Annotated[
        int, Field(ge=1, le=3600, description="length of an epoch: so much is replayed after a crash")
    ] = 10


class FlowSettings(AnyFlowSettings):
    """Bounds of every block, and where the probes listen."""

    flow_port: Annotated[int, Field(ge=0, le=65_535, description="port of the metrics flow's probes")] = 8002
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

    @property
    def input(self) -> str:
        """The topic that is read."""
        return self.topics.metrics


MAX_LABELS = 8
RESERVED = frozenset({NAME_LABEL, LEVEL_LABEL, PATTERN_LABEL})
"""What the series of logs bear beside the labels that they are told by."""


def _label_names(text: str) -> str:
    """Refuse what is not a list of labels that lines may be told by."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if not re.fullmatch(LABEL_NAME, name):
            message = f"{name!r} is not a label's name, [a-zA-Z_][a-zA-Z0-9_]*"
            raise ValueError(message)
    if len(set(names)) < len(names) or len(names) > MAX_LABELS or not RESERVED.isdisjoint(names):
        message = f"must be at most {MAX_LABELS} different labels, none of them {' or '.join(sorted(RESERVED))}"
        raise ValueError(message)
    return text


LabelNames = Annotated[str, AfterValidator(_label_names)]
"""Names of labels, ``name[,name]``."""


class MiningSettings(AnyFlowSettings):
    """How lines of logs are counted, what is remembered of them, and where the probes listen."""

    logs_port: Annotated[int, Field(ge=0, le=65_535, description="port of the logs flow's probes")] = 8005
    logs_step_s: Annotated[int, Field(ge=1, le=300, description="lines are counted over so long, and told of once")] = (
        10
    )
    logs_grace_s: Annotated[
        int, Field(ge=0, le=300, description="log time that a step waits for late lines; later ones are not counted")
    ] = 5
    logs_too_new_s: Annotated[float, Field(gt=0, description="lines so far after log time are not counted")] = 600.0
    logs_labels: Annotated[LabelNames, Field(description="labels of streams that numbers are told by, name[,name]")] = (
        ",".join(USUAL_LABELS)
    )
    logs_max_patterns: Annotated[
        int, Field(ge=10, le=1_000_000, description="patterns; beyond, those idle longest make room")
    ] = 10_000
    logs_max_lines: Annotated[
        int, Field(ge=100, description="masked lines whose pattern is remembered; of more the pattern is not counted")
    ] = 500_000
    logs_max_scopes: Annotated[int, Field(ge=1, description="services times levels; more are counted, not told of")] = (
        10_000
    )
    logs_idle_s: Annotated[
        int, Field(ge=600, description="log time after which a service or pattern without lines is told no more")
    ] = 3600

    @property
    def told_by(self) -> tuple[str, ...]:
        """Labels of streams that numbers are told by."""
        return tuple(name.strip() for name in self.logs_labels.split(","))

    @property
    def limits(self) -> MiningLimits:
        """The bounds as a miner takes them."""
        return MiningLimits(
            step_ms=1000 * self.logs_step_s,
            grace_ms=1000 * self.logs_grace_s,
            too_new_ms=round(1000 * self.logs_too_new_s),
            max_patterns=self.logs_max_patterns,
            max_lines=self.logs_max_lines,
            max_scopes=self.logs_max_scopes,
            idle_s=self.logs_idle_s,
        )

    @property
    def recovery(self) -> Path:
        """Folder of the recovery store."""
        return self.home / "recovery" / "logs"

    @property
    def input(self) -> str:
        """The topic that is read."""
        return self.topics.logs
