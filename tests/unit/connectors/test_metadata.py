from __future__ import annotations

from connectors.codec.remote_write import Family
from connectors.messages import Metadata, MetricType, metadata_key
from connectors.metadata import KNOWN_FAMILIES, REPEAT_S, MetadataNews


def family(name: str, help_text: str = "h") -> Family:
    return Family(name, MetricType.COUNTER, "", help_text)


def test_only_news_is_written() -> None:
    news = MetadataNews("t")
    (record,) = news.records("a", [family("x"), family("x")], 0.0)
    assert record.topic == "t"
    assert record.key == metadata_key("a", "x")
    assert Metadata.decode(record.value or b"") == Metadata(
        tenant="a", family="x", type=MetricType.COUNTER, unit="", help="h"
    )
    assert news.records("a", [family("x")], 1.0) == []
    assert len(news.records("b", [family("x")], 1.0)) == 1
    assert len(news.records("a", [family("x", "other")], 1.0)) == 1


def test_written_again_after_an_hour_or_a_failure() -> None:
    news = MetadataNews("t")
    first = news.records("a", [family("x")], 0.0)
    assert news.records("a", [family("x")], REPEAT_S - 1) == []
    assert len(news.records("a", [family("x")], REPEAT_S)) == 1
    news.forget(first)
    assert len(news.records("a", [family("x")], REPEAT_S + 1)) == 1


def test_memory_is_bounded() -> None:
    news = MetadataNews("t")
    news.records("a", [family("first")], 0.0)
    news.records("a", [family(str(number)) for number in range(KNOWN_FAMILIES)], 1.0)
    assert len(news._written) == KNOWN_FAMILIES
    assert len(news.records("a", [family("first")], 2.0)) == 1
