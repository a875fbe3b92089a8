"""Fixtures that several suites share: brokers that really run, and settings with topics of their own."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import socket
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import numba
import pytest
from hypothesis import is_hypothesis_test
from xdist.scheduler import LoadFileScheduling

with warnings.catch_warnings():
    # kafka-python reads its protocol schemas through a function that Python 3.11 and 3.12 call deprecated
    warnings.filterwarnings("ignore", message="(read|open)_text is deprecated", category=DeprecationWarning)
    from kafka import KafkaConsumer, KafkaProducer  # noqa: F401
    from kafka.admin import KafkaAdminClient  # noqa: F401
    from kafka.net.inet import KafkaNetSocket
    from kafka.net.selector import NetworkSelector

from api.kernel_cache import forget_stale
from connectors.codec.lean_compiler import finish_entries_only
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.brokers import ApacheKafka, Embedded, free_port, missing_for_kafka
from tests.postgres import Postgres, missing_for_postgres

TESTS = Path(__file__).parent
UNIT = TESTS / "unit"
WITH_KERNELS = ("budget", "calibration", "chance", "entity", "episodes", "hash_table", "label_columns", "program",
                "routes", "series", "trials")  # fmt: skip
INTERPRETED = {
    *(UNIT / folder for folder in ("flows/detectors", "flows/mining", "flows/shape", "connectors/codec")),
    *(UNIT / "flows" / f"test_{name}.py" for name in WITH_KERNELS),
}
"""Tests of kernels, which run twice: with numba's compiler, and without it, when alone they are measured."""
VARIANTS = 1
"""So many variants of a test run without the compiler."""
YOUNG_OBJECTS = 10_000
"""So many are made until the young are looked through: with Python's 700 it takes a thirtieth of the tests' time."""
MEASURING = "COVERAGE_PROCESS_CONFIG"
"""Environment variable by which coverage reaches processes that tests start; it is set whenever measuring starts."""
KILLING = (
    *("flow_kill", "logs_kill", "broker_death", "ingest_outage", "ingest_logs_kill", "answers", "noise"),
    "prometheus",
    *("api_outage", "source_outage"),
)
RESTARTING = {f"test_{name}.py" for name in ("answers", "api_outage", "broker_death", "ingest_outage")}
"""Tests that start Apache Kafka again and again. They come first: with what thirty tests leave in it, a start takes
three times as long."""
WITH_APACHE = RESTARTING | {
    f"test_{name}.py" for name in ("api_conflicts", "api_dead_letters", "api_detectors", "broker", "ingest_logs_kill")
}
"""All that need Apache Kafka. They come one after the other, and it ends after the last: alone it takes a twentieth of
a core."""
REPEATING = (
    *("promql", "backtest", "local_run", "broker", "broker_process", "training", "collectors", "history_sql"),
    *("api_conflicts", "api_contract", "api_history", "api_races", "api_real_flow", "api_resume", "api_steering"),
    *("api_consumer", "api_detectors", "api_feed", "api_process"),
)
WHOLE_FLOWS = ("block", "contributions", "grouping", "peers", "replay", "silence", "teller", "warm_start")
"""Tests of the parts of a flow show all but some hundred of the lines that these pass through for long."""
SPARED = {
    *(TESTS / "integration" / f"test_{name}.py" for name in (*KILLING, *REPEATING)),
    *(UNIT / "flows" / f"test_{name}.py" for name in WHOLE_FLOWS),
    *(TESTS / "pipeline" / f"test_{name}.py" for name in ("shop", "templates")),
    UNIT / "test_architecture.py",
    UNIT / "connectors" / "test_startup.py",
    TESTS / "test_docs.py",
}
"""Tests of which measuring shows next to nothing: processes are killed, or do what those of others do."""

_coverage = coverage.Coverage.current()
"""What measures this process, if anything does."""
_apache: list[ApacheKafka] = []
"""The one that runs."""
_prefixes = itertools.count()
_variant = pytest.StashKey[int]()


_opened: dict[NetworkSelector, list[socket.socket]] = {}
"""Sockets of the networks of kafka-python's clients. It drops that of a connection that is refused, or that is still
under way when its client is closed."""


async def _connect(self: KafkaNetSocket, net: NetworkSelector, sock: socket.socket, *args: Any, **options: Any) -> Any:
    _opened.setdefault(net, []).append(sock)
    try:
        return await _connect_or_drop(self, net, sock, *args, **options)
    except BaseException:
        sock.close()
        raise


def _close(self: NetworkSelector) -> None:
    _close_all_but_some(self)
    for sock in _opened.pop(self, ()):
        sock.close()


_connect_or_drop, KafkaNetSocket.sock_connect = KafkaNetSocket.sock_connect, _connect
_close_all_but_some, NetworkSelector.close = NetworkSelector.close, _close


class _ByServers(LoadFileScheduling):  # type: ignore[misc]
    """A worker runs all tests of a file, and one worker those of all files that start Apache Kafka."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "apache" if Path(file).name in WITH_APACHE else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return _ByServers(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_configure(config: pytest.Config) -> None:
    finish_entries_only()  # tests call kernels by themselves that only kernels call else, and compile them for it
    if not numba.config.DISABLE_JIT and not hasattr(config, "workerinput") and not config.option.collectonly:
        forget_stale()  # who runs pytest by hand has not made anything before
    if _coverage is not None and not _shows_imports(config):
        _measure(_coverage, wanted=False)


def _shows_imports(config: pytest.Config) -> bool:
    """Whether to measure what is imported before the first test: all workers import the same, one of them shows it."""
    return not hasattr(config, "workerinput") or bool(config.workerinput["workerid"] == "gw0")


def _is_interpreted(path: Path) -> bool:
    return not INTERPRETED.isdisjoint((path, *path.parents))


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    if numba.config.DISABLE_JIT and collection_path.suffix == ".py" and UNIT in collection_path.parents:
        return None if _is_interpreted(collection_path) or collection_path.name == "conftest.py" else True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Those first that start Kafka, then those that need it. Without the compiler only lines are to be seen, and some
    variants show them."""
    items.sort(key=lambda item: (item.path.name not in RESTARTING, item.path.name not in WITH_APACHE))
    seen = Counter[str]()
    for item in items:
        name = item.nodeid.partition("[")[0]
        item.stash[_variant] = seen[name]
        seen[name] += 1
    if numba.config.DISABLE_JIT:
        config.hook.pytest_deselected(items=[item for item in items if item.stash[_variant] >= VARIANTS])
        items[:] = [item for item in items if item.stash[_variant] < VARIANTS]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    gc.disable()  # what is imported and collected stays: to look through it takes a sixth of this
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    gc.freeze()  # modules and tests are never garbage, and looking through them takes a tenth of the time
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)


def pytest_sessionfinish(session: pytest.Session) -> None:
    # pytest-xdist kills a worker that has not ended 10 s after it finished, and what it measured would go with it
    if _coverage is not None and hasattr(session.config, "workerinput"):
        _coverage.stop()
        _coverage.save()


@pytest.fixture(autouse=True)
def _log_level_stays() -> Iterator[None]:
    """What an api in this process was told to log would else be logged by all tests after: every byte of Kafka's."""
    root = logging.getLogger()
    before = root.level
    yield
    root.setLevel(before)


def _shows_lines(item: pytest.Item) -> bool:
    """Whether measuring, which takes as long again as the test itself, is likely to show lines that others do not.

    Not if it runs once more without the compiler, or passes through the same lines with many variants and examples.
    """
    if numba.config.DISABLE_JIT:
        return True
    repeating = item.stash[_variant] > 0 or "long" in item.keywords or is_hypothesis_test(getattr(item, "obj", None))
    return not (repeating or _is_interpreted(item.path) or item.path in SPARED)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    if _coverage is not None:
        _measure(_coverage, wanted=_shows_lines(item))
    done = yield
    if nextitem is None or nextitem.path.name not in WITH_APACHE:
        while _apache:
            _apache.pop().stop()
    return done


def _measure(measuring: coverage.Coverage, wanted: bool) -> None:
    """Measure what follows, with the processes that it starts, or do not; a change of mind takes milliseconds."""
    measures = coverage.Coverage.current() is measuring
    if wanted and not measures:
        measuring.start()
    elif measures and not wanted:
        measuring.stop()
        os.environ.pop(MEASURING, None)


def unique_settings(bootstrap: str, partitions: int = 4) -> KafkaSettings:
    """Settings with a topic prefix that no other test of this session has."""
    return KafkaSettings(
        kafka=bootstrap, topic_prefix=f"test{next(_prefixes)}", partitions=partitions, delivery_timeout_s=15.0
    )


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """The embedded broker, running; shared by the session, so nobody stops it."""
    broker = Embedded(free_port(), tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def broker(embedded: Embedded) -> str:
    """``host:port`` of the embedded broker."""
    return embedded.bootstrap


@pytest.fixture
def kafka_settings(broker: str) -> KafkaSettings:
    """Settings for the embedded broker with four partitions, own topic prefix and topics created."""
    settings = unique_settings(broker)
    create_topics(settings)
    return settings


@pytest.fixture(scope="session")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """Apache Kafka 4.x, one KRaft node, running; tests that restart it leave it running."""
    reason = missing_for_kafka()
    if reason is not None:
        pytest.skip(reason)
    kafka = ApacheKafka(free_port(), _folder(tmp_path_factory))
    kafka.start()
    _apache.append(kafka)
    yield kafka
    kafka.stop()


@pytest.fixture(scope="session")
def apache_kafka(apache: ApacheKafka) -> str:
    """``host:port`` of Apache Kafka."""
    return apache.bootstrap


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL, running; tests that stop it leave it running."""
    reason = missing_for_postgres()
    if reason is not None:
        pytest.skip(reason)
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a new database, of SQLite and of PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()


def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kafka")
