"""Real brokers for tests: the embedded one and Apache Kafka in KRaft mode, each on a free loopback port."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from api.embedded import EmbeddedBroker
from connectors.errors import Unavailable
from connectors.kafka_clients import make_admin, make_consumer
from connectors.received import Received, receive, topic_partitions
from connectors.settings import KafkaSettings
from tests.processes import stopped

ROOT = Path(__file__).parents[1]
POM = Path(__file__).parent / "kafka" / "pom.xml"
COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
CLASSES = "classes.jsa"
KAFKA_START_S, KAFKA_STOP_S = 60.0, 60.0
READ_S = 30.0
FETCH_WAIT_MS = 10
"""The embedded broker holds a fetch for so long, also when it knows that nothing is there."""
PORTS = range(20_000, 32_000)
"""Below those that the kernel gives to outgoing connections, which would else take a port before its server does."""
KAFKA_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
log.dirs={logs}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
offsets.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
metadata.max.idle.interval.ms=0
"""


def read_all(settings: KafkaSettings, topic: str) -> list[Received]:
    """Every record of a topic, from its start to its end as it is now, by partition and offset."""
    found: list[Received] = []
    deadline = time.monotonic() + READ_S
    consumer = make_consumer(settings, "tests", fetch_max_wait_ms=FETCH_WAIT_MS)
    try:
        partitions = topic_partitions(consumer, topic)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends: dict[object, int | None] = dict.fromkeys(partitions)
        while any(end is None or consumer.position(partition) < end for partition, end in ends.items()):
            assert time.monotonic() < deadline, f"{topic}: not read to its end within {READ_S} s"
            for records in consumer.poll(FETCH_WAIT_MS).values():
                found.extend(receive(record) for record in records)
            for partition in partitions:
                ends[partition] = ends[partition] or consumer.highwater(partition)
    finally:
        consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


class Broker(Protocol):
    """What a test needs of a broker."""

    bootstrap: str

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...


def free_port() -> int:
    """A free loopback port that no other call gives, in this or another process, as long as this process lives."""
    for port in PORTS:
        if _claim(port):
            return port
    message = f"no free port in {PORTS}"
    raise OSError(message)


def loopbacks() -> list[str]:
    """The loopback addresses that this machine has: of IPv4 always, of IPv6 often."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return ["127.0.0.1", "::1"]
    return ["127.0.0.1"]


def _claim(port: int) -> bool:
    """Claim a port by a name that only one process of this machine can hold; its end gives the name back."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0tocsin-tests-port-{port}")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        claim.close()
        return False
    claim.detach()
    return True


class Embedded(EmbeddedBroker):
    """The broker of ``make run``, with a way to die at once."""

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None


@contextlib.contextmanager
def frozen(broker: EmbeddedBroker) -> Iterator[None]:
    """A broker that keeps its connections and answers nothing."""
    assert broker.pid is not None
    with stopped(broker.pid):
        yield


class ApacheKafka:
    """One Kafka node, broker and controller, that keeps its data in ``home`` over restarts."""

    def __init__(self, port: int, home: Path, jars: Path | None = None) -> None:
        self.bootstrap = f"127.0.0.1:{port}"
        self._home = home
        self._jars = jars or kafka_jars()
        self._sharing = "SharedArchiveFile"
        self._process: subprocess.Popen[bytes] | None = None
        self._properties = home / "server.properties"
        self.logs = home / "logs"
        self._properties.write_text(
            KAFKA_PROPERTIES.format(port=port, controller_port=free_port(), logs=self.logs), encoding="ascii"
        )
        self._run("kafka.tools.StorageTool", "format", "--standalone", "-t", "dG9jc2luLXRlc3RzLWthZg", "-c")

    def start(self) -> None:
        log = (self._home / "kafka.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._properties)), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + KAFKA_START_S
        settings = KafkaSettings(kafka=self.bootstrap, delivery_timeout_s=1.0)
        while True:
            assert self._process.poll() is None, f"Kafka ended:\n{(self._home / 'kafka.log').read_text()[-2000:]}"
            try:
                make_admin(settings, "tests").close()
            except Unavailable:
                assert time.monotonic() < deadline, "Kafka did not start"
            else:
                return

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._reap()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._reap()

    def _reap(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(KAFKA_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _run(self, main: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._java(main, *arguments), str(self._properties)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _java(self, main: str, *arguments: str) -> list[str]:
        small = ["-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        sharing = f"-XX:{self._sharing}={self._jars / CLASSES}"
        return ["java", *small, sharing, "-cp", f"{self._jars}/*", main, *arguments]


def missing_for_kafka() -> str | None:
    """Why Apache Kafka cannot run here, or None."""
    if shutil.which("java") is None:
        return "Apache Kafka needs Java 17 (java is not on the path)"
    if shutil.which("mvn") is None and not _jars_folder().exists():
        return "Apache Kafka's jars come through Maven (mvn is not on the path)"
    return None


def kafka_jars() -> Path:
    """Folder with Kafka's jars, fetched once per version of the pom, by one worker while the others wait."""
    folder = _jars_folder()
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _fetch_jars(folder)
        if not (folder / CLASSES).exists():
            _archive_classes(folder)
    return folder


def _archive_classes(jars: Path) -> None:
    """Let one Kafka leave its classes as a JVM maps them: those after it start in half the processor time."""
    with TemporaryDirectory() as home:
        kafka = ApacheKafka(free_port(), Path(home), jars)
        kafka._sharing = "ArchiveClassesAtExit"
        kafka.start()
        kafka.stop()
    (jars / CLASSES).touch()  # a JVM that cannot make an archive does without, and is not asked again


def _fetch_jars(folder: Path) -> None:
    fresh = folder.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(POM), COPY_GOAL, "-DincludeScope=runtime", f"-DoutputDirectory={fresh}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"Maven could not fetch Kafka:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    fresh.rename(folder)


def _jars_folder() -> Path:
    cache = ROOT / ".cache" / "kafka"
    cache.mkdir(parents=True, exist_ok=True)
    return cache / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
