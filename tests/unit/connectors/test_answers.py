from __future__ import annotations

from types import SimpleNamespace

from connectors.answers import SILENT_S, Answers


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_silence_is_told_after_a_while_and_ends_with_the_next_answer() -> None:
    clock = Clock()
    answers = Answers("kafka:9092", clock)
    assert answers.missing_reason() == "Kafka at kafka:9092 (TOCSIN_KAFKA) has not answered yet"
    answers.came()
    clock.now_s += SILENT_S
    assert answers.missing_reason() == ""
    clock.now_s += 3
    assert answers.missing_reason() == "Kafka at kafka:9092 (TOCSIN_KAFKA) has not answered for 8 s"
    answers.came()
    assert answers.missing_reason() == ""


def test_an_answer_is_noted_and_handed_on() -> None:
    handled: list[tuple[object, ...]] = []
    fetcher = SimpleNamespace(_handle_fetch_response=lambda *response: handled.append(response))
    answers = Answers("kafka:9092", Clock())
    answers.listen(SimpleNamespace(_fetcher=fetcher))
    assert answers.missing_reason() != ""
    fetcher._handle_fetch_response(1, {}, 2.0, "response")
    assert answers.missing_reason() == ""
    assert handled == [(1, {}, 2.0, "response")]
