from __future__ import annotations

from connectors.codec.families import read_types
from connectors.codec.remote_write import Family
from connectors.messages import Metadata, MetricType, metadata_key
from connectors.metadata import KNOWN_FAMILIES, REPEAT_S, TYPES_PER_RECORD, MetadataNews


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


def test_types_of_news_go_to_every_partition_in_records_of_bounded_size() -> None:
    news = MetadataNews("t")
    fresh = news.records("a", [family(f"f{n}") for n in range(TYPES_PER_RECORD + 1)], 0.0)
    told = news.type_records("m", "a", fresh, 3)
    assert [(record.topic, record.key, record.partition) for record in told] == [("m", b"a", p) for p in (0, 1, 2) * 2]
    read = [one for record in told if record.partition == 2 for one in read_types(record.value or b"")]
    assert read == [(f"f{n}", MetricType.COUNTER) for n in range(TYPES_PER_RECORD + 1)]
    assert news.type_records("m", "a", [], 3) == []
