"""Fixtures that several suites share: brokers that really run, and settings with topics of their own."""

from __future__ import annotations

import gc
import itertools
import socket
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import numba
import pytest
from xdist.scheduler import LoadFileScheduling

with warnings.catch_warnings():
    # kafka-python reads its protocol schemas through a function that Python 3.11 and 3.12 call deprecated
    warnings.filterwarnings("ignore", message="(read|open)_text is deprecated", category=DeprecationWarning)
    from kafka import KafkaConsumer, KafkaProducer  # noqa: F401
    from kafka.admin import KafkaAdminClient  # noqa: F401
    from kafka.net.inet import KafkaNetSocket

from api.kernel_cache import forget_stale
from connectors.settings import KafkaSettings
from connectors.topics import create_topics
from tests.brokers import ApacheKafka, Embedded, free_port, missing_for_kafka

UNIT = Path(__file__).parent / "unit"
WITH_KERNELS = ("budget", "calibration", "chance", "entity", "episodes", "hash_table", "label_columns", "program",
                "routes", "series", "trials")  # fmt: skip
INTERPRETED = {
    *(UNIT / folder for folder in ("flows/detectors", "flows/shape", "connectors/codec")),
    *(UNIT / "flows" / f"test_{name}.py" for name in WITH_KERNELS),
}
"""Tests of kernels, which run twice: with numba's compiler, and without it, when alone they are measured."""
VARIANTS = 3
"""So many variants of a test run without the compiler."""
MEASURING = "COVERAGE_PROCESS_CONFIG"
"""Environment variable by which coverage reaches processes that tests start."""
KILLING = ("flow_kill", "broker_death", "ingest_outage", "answers", "noise", "prometheus")
WITH_APACHE = {f"test_{name}.py" for name in ("answers", "api_detectors", "broker", "broker_death", "ingest_outage")}
REPEATING = ("promql", "backtest", "local_run", "broker", "broker_process", "api_races")
SPARED = {f"test_{name}.py" for name in (*KILLING, *REPEATING)}
"""Tests of which measuring shows next to nothing: processes are killed, or do what those of others do."""

_prefixes = itertools.count()


async def _connect(self: KafkaNetSocket, net: Any, sock: socket.socket, *args: Any, **options: Any) -> socket.socket:
    """kafka-python drops the socket of a connection that is refused, or still under way when its client is closed."""
    try:
        return await _connect_or_drop(self, net, sock, *args, **options)
    except BaseException:
        sock.close()
        raise


_connect_or_drop, KafkaNetSocket.sock_connect = KafkaNetSocket.sock_connect, _connect


class _ByServers(LoadFileScheduling):  # type: ignore[misc]
    """A worker runs all tests of a file, and one worker those of all files that start Apache Kafka."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "apache" if Path(file).name in WITH_APACHE else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return _ByServers(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_configure(config: pytest.Config) -> None:
    if not numba.config.DISABLE_JIT and not hasattr(config, "workerinput") and not config.option.collectonly:
        forget_stale()  # who runs pytest by hand has not made anything before


def _is_interpreted(path: Path) -> bool:
    return not INTERPRETED.isdisjoint((path, *path.parents))


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    if numba.config.DISABLE_JIT and collection_path.suffix == ".py" and UNIT in collection_path.parents:
        return None if _is_interpreted(collection_path) or collection_path.name == "conftest.py" else True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without the compiler only lines are to be seen, and some variants of each test show them."""
    if not numba.config.DISABLE_JIT:
        return
    seen, kept, left = Counter[str](), list[pytest.Item](), list[pytest.Item]()
    for item in items:
        name = item.nodeid.partition("[")[0]
        seen[name] += 1
        (kept if seen[name] <= VARIANTS else left).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left)


def pytest_collection_finish() -> None:
    gc.freeze()  # modules and tests are never garbage, and looking through them takes a tenth of the time


def pytest_sessionfinish(session: pytest.Session) -> None:
    # pytest-xdist kills a worker that has not ended 10 s after it finished, and what it measured would go with it
    measuring = coverage.Coverage.current()
    if measuring is not None and hasattr(session.config, "workerinput"):
        measuring.stop()
        measuring.save()


@pytest.fixture(autouse=True, scope="module")
def _measured_once(request: pytest.FixtureRequest) -> Iterator[None]:
    """Measure what runs twice where it is interpreted: kernels show their lines there, and all is faster here."""
    measuring = coverage.Coverage.current()
    if measuring is not None and request.path.name in SPARED:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv(MEASURING)
            yield
        return
    if measuring is None or numba.config.DISABLE_JIT or not _is_interpreted(request.path):
        yield
        return
    measuring.stop()
    yield
    measuring.start()


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
    yield kafka
    kafka.stop()


@pytest.fixture(scope="session")
def apache_kafka(apache: ApacheKafka) -> str:
    """``host:port`` of Apache Kafka."""
    return apache.bootstrap


def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kafka")
