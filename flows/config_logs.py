"""What a flow is to do, read from Kafka: the logs of detectors and of feedback, by one consumer for both.

Each consumer that waits costs half a per cent of a processor in the embedded broker, and a quarter here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

from connectors.detector import Detector, DetectorRevision
from connectors.errors import Rejected
from connectors.feedback import Feedback
from connectors.probes import Component, down_if
from connectors.received import Received
from connectors.topic_log import LogReader, TopicLog
from flows.linter import warnings_of
from flows.notices import Notices
from flows.revisions import MAX_DETECTORS, CompileOnce
from flows.rules import MARK, MOST_RULES
from flows.settings import FlowSettings
from flows.validator import ConfigError

_log = logging.getLogger(__name__)


class ConfigLogs:
    """Follows both logs from construction to the end of the process; detectors are compiled as they are read.

    Control records tell what there is to be read, so while nothing comes nobody looks for it.
    """

    def __init__(self, settings: FlowSettings, compiled: CompileOnce) -> None:
        topics, notices = settings.topics, Notices()
        self._timeout_s = settings.flow_config_timeout_s
        self._detectors = TopicLog(topics.detectors, prepare=lambda read: compile_ahead(read, compiled, notices))
        self._feedback = TopicLog(topics.feedback, wanted=lambda record: MARK in (record.value or b""))
        self._reader = LogReader(settings, self._detectors, self._feedback, rests=True)

    def revisions(self, start: int, end: int) -> list[DetectorRevision | None]:
        """The revisions at these offsets, waiting for them; None for what is none.

        Raises ``Unavailable`` past the time-out, or the error that ended the reading.
        """
        return [decode_revision(read.value) for read in self._reader.read(self._detectors, start, end, self._timeout_s)]

    def said(self, start: int, end: int) -> list[Feedback]:
        """The rules among the feedback at these offsets, waiting for them; raises as ``revisions``."""
        records = (_said(read.value) for read in self._reader.read(self._feedback, start, end, self._timeout_s))
        return [record for record in records if record is not None]

    def components(self) -> dict[str, Component]:
        """How reading goes, for the probes."""
        logs = {"detectors": self._detectors, "feedback": self._feedback}
        return {name: down_if(self._reader.unread(log)) for name, log in logs.items()}


def compile_ahead(received: Sequence[Received], compiled: CompileOnce, notices: Notices) -> None:
    """Compile detectors as their log is read, in that thread: a block would hold up its partition for it.

    Warnings of the linter are logged, of some detectors once.
    """
    for record in received:
        revision = decode_revision(record.value)
        if revision is not None and revision.detector is not None:
            with suppress(ConfigError):  # every block will meet it, and skip the revision
                compiled(revision.detector).work_out()
                _warn_ahead(revision.detector, notices)
    for notice in notices.take():
        _log.warning("%s", notice)


def _warn_ahead(detector: Detector, notices: Notices) -> None:
    """What the linter says; should it fail, the flow goes on: the log of detectors is read again at every start."""
    try:
        for says in warnings_of(detector):
            notices.add(detector.id, says)
    except Exception:  # noqa: BLE001 - whatever it is, it must not end the flow at every start
        _log.exception("the linter failed on detector %s", detector.id)


@lru_cache(maxsize=2 * MOST_RULES)  # every partition asks for the same ones
def _said(value: bytes | None) -> Feedback | None:
    try:
        return Feedback.decode(value or b"")
    except Rejected:  # every reader skips it alike
        return None


@lru_cache(maxsize=2 * MAX_DETECTORS)  # every partition asks for the same ones
def decode_revision(value: bytes | None) -> DetectorRevision | None:
    """The revision that a record is, or None."""
    try:
        return DetectorRevision.decode(value or b"")
    except Rejected:  # every reader skips it alike; the block counts it
        return None
