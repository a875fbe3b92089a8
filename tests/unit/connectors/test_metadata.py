from __future__ import annotations

import pytest

from connectors import metadata as module
from connectors.catalogue import Topics
from connectors.codec.families import read_types
from connectors.codec.told import Family
from connectors.messages import Metadata, MetricType, OutRecord, metadata_key
from connectors.metadata import NEWS_BYTES, REPEAT_S, TYPES_PER_RECORD, MetadataNews

TOPICS = Topics("t")


def family(name: str, help_text: str = "h", kind: MetricType = MetricType.COUNTER) -> Family:
    return Family(name, kind, "", help_text)


def told(news: MetadataNews, tenant: str, families: list[Family], now_s: float) -> list[OutRecord]:
    """Records for the compacted topic."""
    return [record for record in news.news(tenant, families, now_s).records if record.topic == TOPICS.metadata]


def test_only_news_is_written() -> None:
    news = MetadataNews(TOPICS, 1)
    (record,) = told(news, "a", [family("x"), family("x")], 0.0)
    assert record.key == metadata_key("a", "x")
    assert Metadata.decode(record.value or b"") == Metadata(
        tenant="a", family="x", type=MetricType.COUNTER, unit="", help="h"
    )
    assert news.news("a", [family("x")], 1.0) == ([], 0, 0)
    assert len(told(news, "b", [family("x")], 1.0)) == 1
    assert len(told(news, "a", [family("x", "other")], 1.0)) == 1


def test_the_last_of_a_name_wins_also_when_it_is_known() -> None:
    news, gauge = MetadataNews(TOPICS, 1), family("x", kind=MetricType.GAUGE)
    told(news, "a", [gauge], 0.0)
    assert told(news, "a", [family("x"), gauge], 1.0) == []
    (record,) = told(news, "a", [gauge, family("x")], 2.0)
    assert Metadata.decode(record.value or b"").type is MetricType.COUNTER


def test_written_again_after_an_hour_or_a_failure() -> None:
    news = MetadataNews(TOPICS, 1)
    first = news.news("a", [family("x")], 0.0).records
    assert told(news, "a", [family("x")], REPEAT_S - 1) == []
    assert len(told(news, "a", [family("x")], REPEAT_S)) == 1
    news.forget(first)
    assert len(told(news, "a", [family("x")], REPEAT_S + 1)) == 1


def numbered(start: int, end: int) -> list[Family]:
    return [family(str(number)) for number in range(start, end)]


def remember(news: MetadataNews, families: list[Family]) -> None:
    """Let it write all of them, however many requests that takes."""
    while news.news("a", families, 1.0).left:
        pass


def test_memory_is_bounded_and_the_longest_unseen_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KNOWN_FAMILIES", 5_000)
    news = MetadataNews(TOPICS, 1)
    remember(news, numbered(0, 5_000))
    assert told(news, "a", [family("0")], 2.0) == []  # it is seen, though not written
    told(news, "a", [family("one more")], 3.0)
    assert len(news._written) == 5_000
    assert told(news, "a", [family("0")], 4.0) == []
    assert len(told(news, "a", [family("1")], 4.0)) == 1


def test_news_of_one_request_are_bounded_and_what_is_left_comes_with_its_repetition() -> None:
    news = MetadataNews(TOPICS, 4)
    families = [family(f"f{n}", "h" * 16_000) for n in range(2_000)]
    first = news.news("a", families, 0.0)
    assert sum(len(record.value or b"") for record in first.records) <= first.size_bytes <= NEWS_BYTES
    written = {record.key for record in first.records if record.topic == TOPICS.metadata}
    assert first.left == len(families) - len(written)
    second = {record.key for record in told(news, "a", families, 60.0)}
    assert second
    assert not written & second
    assert news.news("b", families, 0.0, room_bytes=20_000).left == len(families) - 1


def test_types_of_news_go_to_every_partition_in_records_of_bounded_size() -> None:
    news = MetadataNews(TOPICS, 3)
    records = news.news("a", [family(f"f{n}") for n in range(TYPES_PER_RECORD + 1)], 0.0).records
    types = [record for record in records if record.topic == TOPICS.metrics]
    assert [(record.key, record.partition) for record in types] == [(b"a", p) for p in (0, 1, 2) * 2]
    read = [one for record in types if record.partition == 2 for one in read_types(record.value or b"")]
    assert read == [(f"f{n}", MetricType.COUNTER) for n in range(TYPES_PER_RECORD + 1)]
    assert len({id(record.value) for record in types}) == 2  # written once for all partitions
