"""From ``TOCSIN_API_STORE`` to a SQLAlchemy engine: a file of SQLite or a PostgreSQL, each with its time-outs."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, FromClause, create_engine, event, make_url
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import ArgumentError

CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_S = 10.0
"""One statement, or waiting for another writer, takes so long at most; beyond it the database is of no use."""
BUSY_TIMEOUT_S = 5.0
"""SQLite: how long to wait for the lock of another process."""
STEPS_BETWEEN_LOOKS = 200_000
"""SQLite looks at the clock after so many steps of its machine, a few milliseconds."""
RECYCLE_S = 900
"""Connections to PostgreSQL are renewed after so long: what stands between may forget them."""
WRITING = "tocsin_writing"
"""Execution option of a connection that will write: SQLite takes its lock at once and not halfway."""
EXAMPLES = "sqlite:///folder/file.sqlite or postgresql://user:password@host:5432/database"


def store_url(text: str) -> URL:
    """The URL of a database; raises ``ValueError`` that says what would be right, without the password."""
    try:
        url = make_url(text)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):
        backend = ""
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and url.database and not url.host and ":memory:" not in url.database:
        return url.set(drivername="sqlite")
    message = f"is not the URL of a database in a file or on a server: {EXAMPLES}"
    raise ValueError(message)


def shown(url: URL) -> str:
    """The URL as people may see it: where the database is, without user, password and options."""
    return URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database).render_as_string()


def make_engine(url: URL, connections: int) -> Engine:
    """An engine of at most so many connections, which connects when it is first asked."""
    return _sqlite(url, connections) if url.get_backend_name() == "sqlite" else _postgresql(url, connections)


def _postgresql(url: URL, connections: int) -> Engine:
    timeout_ms = int(STATEMENT_TIMEOUT_S * 1000)
    limits = {
        "statement_timeout": timeout_ms,
        "lock_timeout": timeout_ms,
        "idle_in_transaction_session_timeout": 3 * timeout_ms,
    }
    return create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        pool_recycle=RECYCLE_S,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "tocsin",
            "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
            "tcp_user_timeout": timeout_ms,
            "keepalives_idle": 30,
        },
    )


class _Hinting(SQLiteCompiler):
    """SQLAlchemy knows no hints for SQLite, which plans without statistics and so needs them."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:  # noqa: ARG002 - its signature
        """What follows the table's name."""
        return text


def _sqlite(url: URL, connections: int) -> Engine:
    file = Path(url.database or "")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)  # it holds the secrets of data sources, and what SQLite puts beside it has the same mode
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False, "isolation_level": None},
    )
    engine.dialect.statement_compiler = _Hinting
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    """Readers beside one writer (WAL), and a disk that is waited for before Kafka's offset is believed."""
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}")


def lift_deadline(connection: Connection) -> None:
    """Let the statements of this transaction take as long as they take."""
    if connection.dialect.name == "sqlite":
        _driver(connection).set_progress_handler(None, 0)
    else:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - the engine is SQLite's
    return driver


def _begin(connection: Connection) -> None:
    """Python's driver would begin when it likes; here, and with the lock if something will be written."""
    driver = _driver(connection)
    deadline_s = time.monotonic() + STATEMENT_TIMEOUT_S
    driver.set_progress_handler(lambda: time.monotonic() > deadline_s, STEPS_BETWEEN_LOOKS)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITING) else "BEGIN")
