"""A real PostgreSQL for tests: a cluster in a folder of its own, on a free loopback port."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

from tests.brokers import free_port
from tests.processes import wait_until

PASSWORD = "s3cret-of-tests"  # noqa: S105 - of a cluster that lives as long as its test
USER = "postgres"
START_S = 20.0
QUICK = ("fsync=off", "full_page_writes=off", "shared_buffers=32MB", "max_connections=60")
"""What is lost when the machine stops is no matter here, and no test stops the machine."""


def binaries() -> Path | None:
    """Where the programs of the server are; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


def missing_for_postgres() -> str | None:
    """Why PostgreSQL cannot be started here; None if it can."""
    return None if binaries() else "PostgreSQL is not installed (initdb; on Debian the package postgresql)"


class Postgres:
    """One cluster: ``start`` and ``stop`` as often as a test likes, ``close`` takes its folder away."""

    def __init__(self) -> None:
        found = binaries()
        assert found is not None
        self._programs = found
        self._folder = Path(tempfile.mkdtemp(prefix="tocsin-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()
        self._as = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
        if self._as:
            shutil.chown(self._folder, USER, USER)
        self.port = free_port()
        self._make()

    def database(self) -> str:
        """URL of a new, empty database."""
        name = f"test{next(self._numbers)}"
        with psycopg.connect(self.url(USER, ""), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def url(self, database: str, driver: str = "") -> str:
        return f"postgresql{driver}://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        data = ["-D", str(self._data), "-p", str(self.port), "-k", str(self._folder), "-h", "127.0.0.1"]
        quick = [part for setting in QUICK for part in ("-c", setting)]
        with (self._folder / "log").open("ab") as log:
            command = [str(self._programs / "postgres"), *data, *quick]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._as)  # type: ignore[call-overload]
        wait_until(self._answers, START_S, f"PostgreSQL answers; see {self._folder / 'log'}")

    def stop(self) -> None:
        """End it at once, with all its connections, as when it crashes."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(START_S)
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _make(self) -> None:
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        options = ["-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--locale=C", "--no-sync"]
        secret.chmod(0o644)
        command = [str(self._programs / "initdb"), "-D", str(self._data), *options]
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder, **self._as)  # type: ignore[call-overload]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(USER), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
