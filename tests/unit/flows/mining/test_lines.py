"""Records of logs to columns."""

from __future__ import annotations

import pytest

import flows.mining.lines
from connectors.messages import ControlRecord
from flows.chunks import Poison
from flows.mining.levels import Level
from flows.mining.limits import USUAL_LABELS
from flows.mining.lines import LineDecoder, Lines, LogChunk
from flows.mining.scope import Scope, Service
from tests.logs import control, lines
from tests.series import START_MS
from tests.streams import TOPICS, Record

SHOP = Service("anonymous", (("service_name", "shop"),))
TELL_EVERY_S = 60


def decode(*records: Record, decoder: LineDecoder | None = None) -> list[LogChunk]:
    out = (decoder or LineDecoder(TELL_EVERY_S, USUAL_LABELS)).decode(records)
    return [chunk for _, chunks in out for chunk in chunks]


def only(chunks: list[LogChunk]) -> Lines:
    (found,) = chunks
    assert isinstance(found, Lines)
    return found


def said(*texts: str, labels: dict[str, str] | None = None, **more: object) -> Record:
    found = [(START_MS + n, text) for n, text in enumerate(texts)]
    return lines(labels or {"app": "shop"}, *found, **more)  # type: ignore[arg-type]


def test_neighbouring_records_become_columns_with_the_texts_of_new_lines() -> None:
    chunk = only(decode(said("took 1 ms", "ERROR no db"), said("took 2 ms", "", labels={"app": "shop", "pod": "1"})))
    assert chunk.times_ms.tolist() == [START_MS, START_MS + 1, START_MS, START_MS + 1]
    assert chunk.sizes.tolist() == [9, 11, 9, 0]
    assert chunk.masked[0] == chunk.masked[2]
    assert [chunk.scopes[at] for at in chunk.at] == [
        Scope(SHOP, level) for level in (Level.UNKNOWN, Level.ERROR, Level.UNKNOWN, Level.UNKNOWN)
    ]
    assert [(new.line, new.scope.level, new.text) for new in chunk.new] == [
        (chunk.masked[0], Level.UNKNOWN, b"took \x01 ms"),
        (chunk.masked[1], Level.ERROR, b"ERROR no db"),
        (chunk.masked[3], Level.UNKNOWN, b""),
    ]


def test_the_text_of_a_line_is_that_of_its_record() -> None:
    texts = [[f"{letter * n} is here" for n in range(1, 30)] for letter in "ghijklmn"]
    chunk = only(decode(*(said(*of_record) for of_record in texts)))
    assert [new.text.decode() for new in chunk.new] == [text for of_record in texts for text in of_record]


def test_control_records_end_a_chunk_and_poison_stops_nothing() -> None:
    bad = Record(TOPICS.logs, 0, 7, b"anonymous", b"\xff", [])
    before, time, between, poison, after = decode(said("one"), control(START_MS), said("two"), bad, said("three"))
    assert isinstance(time, ControlRecord)
    assert isinstance(poison, Poison)
    assert (poison.origin, poison.reason) == ("tocsin.logs/0/7", "poison")
    assert [chunk.new[0].text for chunk in (before, between, after) if isinstance(chunk, Lines)] == [
        b"one", b"two", b"three",
    ]  # fmt: skip


@pytest.mark.parametrize("labels", [b"{", b"", b'{app=~"x"}', b"\xff", b"shop"])
def test_labels_that_are_none_are_poison(labels: bytes) -> None:
    value = b"\x0a" + bytes([len(labels)]) + labels
    (poison,) = decode(Record(TOPICS.logs, 0, 0, None, value, []))
    assert isinstance(poison, Poison)
    assert poison.message.startswith("labels ")


def test_the_level_of_the_stream_counts_first_then_that_of_metadata_then_that_of_the_line() -> None:
    metadata = [(b"detected_level", b"warn")]

    def level(labels: dict[str, str], line: str, pairs: list[tuple[bytes, bytes]]) -> Level | None:
        chunk = only(decode(said(line, labels=labels, metadata=pairs)))
        return chunk.scopes[chunk.at[0]].level

    assert level({"level": "debug"}, "ERROR x", metadata) is Level.DEBUG
    assert level({"app": "x"}, "ERROR x", metadata) is Level.WARN
    assert level({"app": "x"}, "ERROR x", [(b"detected_level", b"none"), (b"trace", b"info")]) is Level.ERROR
    assert level({"app": "x"}, "it is x", []) is Level.UNKNOWN


def test_tenants_and_services_share_no_line() -> None:
    chunk = only(decode(said("x"), said("x", tenant="other"), said("x", labels={"app": "mail"})))
    assert len({*chunk.masked.tolist()}) == len(chunk.new) == 3
    assert [new.scope.service.tenant for new in chunk.new] == ["anonymous", "other", "anonymous"]


def test_each_partition_is_told_of_lines_once_and_again_now_and_then() -> None:
    decoder = LineDecoder(TELL_EVERY_S, USUAL_LABELS)

    def told(at_s: int, partition: int = 0) -> int:
        chunks = decode(said("x", partition=partition), control(START_MS + 1000 * at_s, partition), decoder=decoder)
        return sum(len(chunk.new) for chunk in chunks if isinstance(chunk, Lines))

    assert [told(at_s) for at_s in (0, 1, 59, 60, 61, 119, 121)] == [1, 1, 0, 0, 1, 0, 0]
    assert [told(122), told(122, partition=1)] == [1, 1]


def test_where_there_is_no_room_all_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.mining.lines, "MAX_KNOWN", 3)
    monkeypatch.setattr(flows.mining.lines, "MAX_STREAMS", 2)
    decoder = LineDecoder(TELL_EVERY_S, USUAL_LABELS)
    for letter in "abcd":
        assert len(only(decode(said(letter, labels={"app": "shop", "pod": letter}), decoder=decoder)).new) == 1
    assert len(only(decode(said("a"), decoder=decoder)).new) == 1, "forgotten"
    assert decoder.known[0].cleared == 1
    assert decoder.forgotten == 2


def test_a_chunk_ends_where_it_has_many_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.mining.lines, "MANY_LINES", 5)
    chunks = decode(*(said("x", "y") for _ in range(7)))
    assert [len(chunk.masked) for chunk in chunks if isinstance(chunk, Lines)] == [6, 6, 2]
