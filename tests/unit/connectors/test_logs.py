from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

TELL = """
import logging
from connectors.logs import configure_logging
configure_logging("ingest")
logging.getLogger("connectors.ingest").info("took %d", 3, extra={"series": 2})
logging.getLogger("kafka.conn").info("noise")
"""


def log_lines(code: str, **environment: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": ".", **environment},
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_each_event_is_one_json_line_with_the_process() -> None:
    [line] = log_lines(TELL)
    assert line["process"] == "ingest"
    assert line["level"] == "INFO"
    assert line["logger"] == "connectors.ingest"
    assert line["message"] == "took 3"
    assert line["series"] == 2
    assert line["time"].endswith("+00:00")


def test_lines_bear_the_id_of_the_request_that_is_served() -> None:
    within = "from connectors.logs import REQUEST_ID\nREQUEST_ID.set('trace-7')\n"
    [line] = log_lines(TELL.replace('logging.getLogger("conn', within + 'logging.getLogger("conn'))
    assert line["request_id"] == "trace-7"
    assert "request_id" not in log_lines(TELL)[0]


def test_level_is_a_setting() -> None:
    assert log_lines(TELL, TOCSIN_LOG_LEVEL="WARNING") == []


def test_uncaught_error_is_one_json_line_with_its_trace() -> None:
    [line] = log_lines("from connectors.logs import configure_logging as c; c('flow'); raise ValueError('broken')")
    assert line["level"] == "CRITICAL"
    assert line["message"] == "ValueError: broken"
    assert "Traceback" in line["exc_info"]


def test_an_uncaught_error_names_its_causes() -> None:
    code = """
from connectors.logs import configure_logging
configure_logging("flow")
try:
    try:
        [][0]
    except IndexError as error:
        raise ValueError("broken") from error
except ValueError:
    raise RuntimeError("step read failed")
"""
    [line] = log_lines(code)
    assert line["message"] == (
        "RuntimeError: step read failed, because of ValueError: broken, because of IndexError: list index out of range"
    )


def test_a_cause_that_was_hidden_stays_hidden() -> None:
    code = """
from connectors.logs import configure_logging
configure_logging("flow")
try:
    [][0]
except IndexError:
    raise ValueError("broken") from None
"""
    [line] = log_lines(code)
    assert line["message"] == "ValueError: broken"


def test_slow_callbacks_of_the_kafka_client_are_not_told() -> None:
    code = """
import logging
from connectors.logs import configure_logging
configure_logging("flow")
logging.getLogger("kafka.net.selector").warning("Task ran for 0.109s")
logging.getLogger("kafka.net.manager").warning("no node")
"""
    assert [line["message"] for line in log_lines(code)] == ["no node"]


def test_uncaught_error_in_a_thread_is_logged_too() -> None:
    code = """
import threading
from connectors.logs import configure_logging
configure_logging("api")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
"""
    [line] = log_lines(code)
    assert line["message"] == "ZeroDivisionError: division by zero"


def test_a_client_that_was_closed_is_no_error() -> None:
    code = """
import logging
from kafka.errors import Cancelled, KafkaTimeoutError
from connectors.logs import configure_logging
configure_logging("flow")
for error in (Cancelled(), KafkaTimeoutError()):
    logging.getLogger("kafka.cluster").error("Metadata refresh: failed %s", error)
"""
    [line] = log_lines(code)
    assert "KafkaTimeoutError" in line["message"]
