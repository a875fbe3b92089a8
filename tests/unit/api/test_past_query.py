"""A query in place of the detector's selector, and where there must be one."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from api.past_query import PastQuery
from api.source_config import SourceConfig, SourceKind
from api.source_table import DataSource
from flows.validator import ConfigError

RENAMED = {"type": "rename", "name": "m"}


def test_transforms_need_a_query() -> None:
    assert len(PastQuery.model_validate({"query": "sum(x)", "transforms": [RENAMED]}).transforms) == 1
    with pytest.raises(ValidationError, match="transforms must be left out where there is no query"):
        PastQuery.model_validate({"transforms": [RENAMED]})
    with pytest.raises(ValidationError, match="at least 1 character"):
        PastQuery(query="")


@pytest.mark.parametrize("kind", SourceKind)
def test_a_loki_has_no_series_of_a_selector(kind: SourceKind) -> None:
    source = DataSource.model_construct(config=SourceConfig(name="s", kind=kind, url="http://127.0.0.1:1"))
    PastQuery(query='sum(rate({job="a"}[1m]))').check_source(source)
    if kind is SourceKind.PROMETHEUS:
        PastQuery().check_source(source)
    else:
        with pytest.raises(ConfigError, match=r"query = None: must be a query that gives numbers: .* kind loki"):
            PastQuery().check_source(source)
