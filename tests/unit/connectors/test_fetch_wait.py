from types import SimpleNamespace

from connectors.fetch_wait import (
    BUSY_POLL_MS,
    BUSY_S,
    BUSY_WAIT_MS,
    FIRST_POLL_MS,
    IDLE_POLL_MS,
    RESTING_POLL_MS,
    FetchWait,
)
from connectors.kafka_clients import FETCH_WAIT_MS
from connectors.settings import KafkaSettings


def test_short_while_data_flows_long_when_idle() -> None:
    now_s = 100.0
    config = {"fetch_max_wait_ms": FETCH_WAIT_MS}
    wait = FetchWait(SimpleNamespace(_fetcher=SimpleNamespace(config=config)), lambda: now_s)

    wait.saw(data=False)
    assert config["fetch_max_wait_ms"] == FETCH_WAIT_MS
    wait.saw(data=True)
    assert (config["fetch_max_wait_ms"], wait.busy, wait.poll_ms) == (BUSY_WAIT_MS, True, BUSY_POLL_MS)
    now_s += BUSY_S / 2
    wait.saw(data=False)
    assert config["fetch_max_wait_ms"] == BUSY_WAIT_MS
    now_s += BUSY_S
    wait.saw(data=False)
    assert (config["fetch_max_wait_ms"], wait.busy, wait.poll_ms) == (FETCH_WAIT_MS, False, IDLE_POLL_MS)
    assert IDLE_POLL_MS > FETCH_WAIT_MS


def test_short_until_the_ends_of_topics_are_known() -> None:
    now_s = 100.0
    config = {"fetch_max_wait_ms": FETCH_WAIT_MS}
    wait = FetchWait(SimpleNamespace(_fetcher=SimpleNamespace(config=config)), lambda: now_s)

    for _ in range(2):
        assert (config["fetch_max_wait_ms"], wait.busy, wait.poll_ms) == (BUSY_WAIT_MS, False, FIRST_POLL_MS)
        wait.saw(data=False, at_end=False)
    wait.saw(data=False, at_end=True)
    assert (config["fetch_max_wait_ms"], wait.poll_ms) == (FETCH_WAIT_MS, IDLE_POLL_MS)
    wait.saw(data=False, at_end=False)
    assert wait.poll_ms == IDLE_POLL_MS


def test_a_broker_that_tells_no_end_is_not_asked_often_for_long() -> None:
    now_s = 100.0
    config = {"fetch_max_wait_ms": FETCH_WAIT_MS}
    wait = FetchWait(SimpleNamespace(_fetcher=SimpleNamespace(config=config)), lambda: now_s)
    now_s += BUSY_S
    wait.saw(data=False, at_end=False)
    assert (config["fetch_max_wait_ms"], wait.poll_ms) == (FETCH_WAIT_MS, IDLE_POLL_MS)


def test_one_that_rests_asks_shortly_and_only_once_between_rests() -> None:
    now_s = 100.0
    config = {"fetch_max_wait_ms": FETCH_WAIT_MS}
    wait = FetchWait(SimpleNamespace(_fetcher=SimpleNamespace(config=config)), lambda: now_s, rests=True)
    assert (wait.resting, wait.poll_ms) == (False, FIRST_POLL_MS), "first it reads to the ends"
    wait.saw(data=False)
    assert (wait.resting, wait.poll_ms, config["fetch_max_wait_ms"]) == (True, RESTING_POLL_MS, BUSY_WAIT_MS)
    assert RESTING_POLL_MS < BUSY_WAIT_MS, "or a poll would send a second fetch"
    wait.saw(data=True)
    assert (wait.resting, wait.poll_ms, config["fetch_max_wait_ms"]) == (False, BUSY_POLL_MS, BUSY_WAIT_MS)


def test_a_real_consumer_asks_with_the_wait_that_was_set(kafka_settings: KafkaSettings) -> None:
    from connectors.kafka_clients import make_consumer

    consumer = make_consumer(kafka_settings, "test")
    try:
        FetchWait(consumer).saw(data=True)
        assert consumer._fetcher.config["fetch_max_wait_ms"] == BUSY_WAIT_MS  # read again for every fetch request
    finally:
        consumer.close()
