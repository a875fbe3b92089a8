"""What a data source is asked for where the detector's selector is not the question."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from api.source_config import NumbersQuery, SourceKind
from api.source_table import DataSource
from connectors.messages import Message
from flows.transform import MAX_TRANSFORMS, Transform
from flows.validator import ConfigError


class PastQuery(Message):
    """A collector's way to the series that a detector has live: a query, and what becomes of its answer."""

    query: Annotated[
        NumbersQuery | None, Field(description="as a collector's; null: the detector's own series, of a Prometheus")
    ] = None
    transforms: Annotated[
        tuple[Transform, ...],
        Field(max_length=MAX_TRANSFORMS, description="what makes of the query's series those that are live, in order"),
    ] = ()

    @model_validator(mode="after")
    def _check_transforms(self) -> PastQuery:
        if self.transforms and self.query is None:
            message = "transforms must be left out where there is no query: the detector's own series are as live"
            raise ValueError(message)
        return self

    def check_source(self, source: DataSource) -> None:
        """Raise ``ConfigError`` for one that has no series of the detector's."""
        if source.config.kind is not SourceKind.PROMETHEUS and self.query is None:
            expected = f"must be a query that gives numbers: a data source of kind {source.config.kind} has no series"
            raise ConfigError(field="query", value=None, expected=expected)
