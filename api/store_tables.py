"""The tables of the store. What changes one of them is a new step in api/store_steps.py."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)
from sqlalchemy import literal_column as literal

metadata = MetaData()

versions = Table(
    "tocsin_store",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="always 1: there is one row"),
    Column("version", Integer, nullable=False, comment="how many steps of api/store_steps.py were taken"),
)

anomalies = Table(
    "anomalies",
    metadata,
    Column("id", LargeBinary(16), primary_key=True, comment="the anomaly's id, which is 32 hexadecimal digits"),
    Column("sequence", BigInteger, nullable=False, comment="of the event that is kept: the highest that came"),
    Column("time_ms", BigInteger, nullable=False, comment="of its latest surprising sample"),
    Column("severity", SmallInteger, nullable=False, comment="0 info, 1 warning, 2 critical"),
    Column("surprise", Float(53), nullable=False, comment="of its peak"),
    Column("detector", Text, nullable=False),
    Column("going_on", Boolean(create_constraint=False), nullable=False, comment="not closed yet"),
)
Index("anomalies_by_time", anomalies.c.time_ms, anomalies.c.id)
Index("anomalies_by_severity", anomalies.c.severity, anomalies.c.time_ms, anomalies.c.id)
BY_SURPRISE = Index("anomalies_by_surprise", anomalies.c.surprise, anomalies.c.id, anomalies.c.time_ms)
"""With the time, by which labels and ranges are tried: in this order thousands of rows may be passed over."""
Index("anomalies_by_detector", anomalies.c.detector, anomalies.c.time_ms, anomalies.c.id)
OPEN = anomalies.c.going_on.is_(literal("true"))
"""Written out, so that both databases see that the index of the few open ones serves."""
Index("anomalies_open", anomalies.c.time_ms, anomalies.c.id, sqlite_where=OPEN, postgresql_where=OPEN)

anomaly_events = Table(
    "anomaly_events",
    metadata,
    Column("id", LargeBinary(16), primary_key=True, comment="the anomaly's"),
    Column("event", LargeBinary, nullable=False, comment="the event as JSON, UTF-8"),
    Column("pairs", LargeBinary, nullable=False, comment="its rows in anomaly_labels: int64 each"),
    comment="what is read of the few that are shown, apart from what is looked through to find them",
)

anomaly_labels = Table(
    "anomaly_labels",
    metadata,
    Column("pair", BigInteger, primary_key=True, autoincrement=False, comment="hash of a label's name and value"),
    Column("time_ms", BigInteger, primary_key=True, autoincrement=False, comment="the anomaly's, so that it is sorted"),
    Column("id", LargeBinary(16), primary_key=True, comment="the anomaly's"),
    sqlite_with_rowid=False,
)

read_offsets = Table(
    "read_offsets",
    metadata,
    Column("topic", Text, primary_key=True, comment="cluster, name and id of the topic"),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False, comment="all before it are in the tables"),
)

sources = Table(
    "sources",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("kind", String(20), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("config", Text, nullable=False, comment="JSON of api/source_config.py, with its secrets"),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)

anomaly_feedback = Table(
    "anomaly_feedback",
    metadata,
    Column("id", LargeBinary(16), primary_key=True, comment="the anomaly's"),
    Column("acknowledged", Boolean(create_constraint=False), nullable=False),
    Column("verdict", Text, nullable=True),
    Column("said", LargeBinary, nullable=False, comment="all that people said of it, as JSON"),
)
ACKNOWLEDGED = anomaly_feedback.c.acknowledged.is_(literal("true"))
Index(
    "anomaly_feedback_acknowledged",
    anomaly_feedback.c.id,
    sqlite_where=ACKNOWLEDGED,
    postgresql_where=ACKNOWLEDGED,
)
Index("anomaly_feedback_by_verdict", anomaly_feedback.c.verdict, anomaly_feedback.c.id)

collectors = Table(
    "collectors",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("source", String(64), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("config", Text, nullable=False, comment="JSON of api/collector_table.py"),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("begin_ms", BigInteger, nullable=False, comment="the first step of all"),
    Column("next_ms", BigInteger, nullable=False, comment="the step after the last one that Kafka has confirmed"),
    Column("due_ms", BigInteger, nullable=False, comment="when it is to run"),
    Column("owner", String(64), nullable=False, default="", comment="the process that runs it, until lease_ms"),
    Column("lease_ms", BigInteger, nullable=False, default=0),
    Column("last_run_ms", BigInteger),
    Column("last_error", Text, nullable=False, default=""),
    Column("samples", BigInteger, nullable=False, default=0),
    Column("errors", BigInteger, nullable=False, default=0),
    Column("left_out", BigInteger, nullable=False, default=0),
    Column("skipped_ms", BigInteger, nullable=False, default=0),
)
