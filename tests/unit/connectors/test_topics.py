from __future__ import annotations

import pytest

from connectors.settings import KafkaSettings
from connectors.topics import _wanted


@pytest.mark.parametrize(("replicas", "insync"), [(1, None), (2, None), (3, "2"), (5, "2")])
def test_what_was_confirmed_stands_on_two_brokers_where_one_may_be_missing(replicas: int, insync: str | None) -> None:
    wanted = _wanted(KafkaSettings(replication_factor=replicas))
    assert len(wanted) == 8
    assert {topic["configs"].get("min.insync.replicas") for topic in wanted.values()} == {insync}
    assert {topic["replication_factor"] for topic in wanted.values()} == {replicas}
