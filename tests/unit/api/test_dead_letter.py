import pytest

from api.dead_letter import Opened, origin_of, replay_of, shown_letter
from connectors.codec.encode import encode_write_request
from connectors.messages import (
    CONTROL_HEADER,
    DEAD_LETTER_BYTES_HEADER,
    DEAD_LETTER_ORIGIN_HEADER,
    DEAD_LETTER_REASON_HEADER,
    REPLAY_HEADER,
    Header,
)
from connectors.received import Received

METRICS = "tocsin.metrics"


def letter(value: bytes | None = b"\xff", key: bytes | None = b"shop", *more: Header) -> Received:
    headers = [(DEAD_LETTER_REASON_HEADER, b"poison: why"), (DEAD_LETTER_ORIGIN_HEADER, b"tocsin.metrics/3/77"), *more]
    return Received("tocsin.dead-letter", 0, 12, 1_000, key, value, headers)


def test_it_goes_back_to_where_it_came_from_with_its_key_and_headers_and_a_mark() -> None:
    made = replay_of(letter(b"x", b"shop", (CONTROL_HEADER, b"1"), (REPLAY_HEADER, b"0/3")), (METRICS,))
    assert not isinstance(made, str)
    assert (made.topic, made.partition, made.key, made.value) == (METRICS, 3, b"shop", b"x")
    assert made.headers == [(CONTROL_HEADER, b"1"), (REPLAY_HEADER, b"0/12")]


def test_what_cannot_go_back_says_why() -> None:
    assert "of 950000 bytes" in str(replay_of(letter(b"x", b"k", (DEAD_LETTER_BYTES_HEADER, b"950000")), (METRICS,)))
    assert "topic 'tocsin.metrics'" in str(replay_of(letter(), ("other",)))
    nameless = letter()._replace(headers=[])
    assert "its origin '' is no" in str(replay_of(nameless, (METRICS,)))
    assert shown_letter(nameless).reason == ""


@pytest.mark.parametrize("text", ["", "a", "a/1", "a/1/x", "/1/2", "a/1/2/3", "a/²/1"])
def test_what_is_no_origin(text: str) -> None:
    assert origin_of(text) is None


def test_of_a_replay_that_failed_again_the_list_says_so() -> None:
    shown = shown_letter(letter(b"x", None, (REPLAY_HEADER, b"0/3")))
    assert (shown.replay_of, shown.key, shown.bytes, shown.truncated) == ("0/3", None, 1, False)
    cut = shown_letter(letter(b"x", None, (DEAD_LETTER_BYTES_HEADER, b"950000")))
    assert (cut.bytes, cut.truncated) == (950_000, True)


def test_what_can_be_read_of_it_is_shown_up_to_where_it_breaks() -> None:
    series = [({"__name__": "up", "job": f"j{number}"}, [(1_000, 1.0)]) for number in range(25)]
    whole = encode_write_request(series)
    opened = Opened.of(whole, {})
    assert (opened.kind, opened.series_total, opened.error) == ("samples", 25, None)
    assert opened.series == [labels for labels, _ in series[:20]]
    cut = Opened.of(whole[:-3], {})
    assert (cut.series_total, cut.series) == (24, opened.series)
    assert "reaches outside" in str(cut.error)
    assert Opened.of(b"\xff\xff", {}).text is None


def test_text_is_shown_as_text() -> None:
    opened = Opened.of(b'{"time_ms": 1}', {CONTROL_HEADER: b"1"})
    assert (opened.kind, opened.text, opened.series_total, opened.error) == ("control", '{"time_ms": 1}', 0, None)
