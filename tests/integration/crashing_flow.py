"""The metrics flow, killed again and again: one forked process per crash point, each resuming the one before.

``python -m tests.integration.crashing_flow LOG '["snapshot", "closed", …]'`` with the flow's environment. Kernels are
loaded once; each life is a real process that builds the real flow and dies by ``kill -9`` of its own pid at the point
named, after at least one finished epoch, and leaves a line in LOG. The last one lives until it is killed from outside.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from connectors.bytewax_io import KafkaSinkPart
from connectors.topics import topic_identity
from flows import metrics, run
from flows.block import Block
from flows.configuration import Configuration
from flows.settings import FlowSettings
from flows.warm import warm

EPOCH = timedelta(milliseconds=100)
SAVES_BEFORE = 6
"""Snapshots of blocks that a life survives: with two partitions at least two epochs."""


def die() -> None:
    """At once, as by ``kill -9``."""
    os.kill(os.getpid(), signal.SIGKILL)


class Crash:
    """Dies at the first call of a point after ``SAVES_BEFORE`` snapshots."""

    def __init__(self, point: str) -> None:
        self.saves = 0
        self._count_saves()
        POINTS[point](self)

    @property
    def due(self) -> bool:
        return self.saves > SAVES_BEFORE

    def _count_saves(self) -> None:
        def count(call: Callable[[], Any]) -> Any:
            self.saves += 1
            return call()

        wrap(metrics.BlockLogic, "snapshot", count)

    def before(self, owner: type, name: str) -> None:
        """Die instead of the call."""
        wrap(owner, name, lambda call: die() if self.due else call())

    def after(self, owner: type, name: str) -> None:
        """Die when the call has given something."""

        def then_die(call: Callable[[], Any]) -> Any:
            result = call()
            if self.due:
                die()
            return result

        wrap(owner, name, then_die)

    def on_events(self, kind: bytes) -> None:
        """Die when the sink has written, and Kafka has confirmed, an event of this kind; the epoch is still open."""
        write = KafkaSinkPart.write_batch

        def written(part: KafkaSinkPart, values: list[Any]) -> None:
            write(part, values)
            if self.due and any(b'"event":"%s"' % kind in (record.value or b"") for record in values):
                part._confirm_down_to(0)
                die()

        KafkaSinkPart.write_batch = written  # type: ignore[method-assign]


def wrap(owner: type, name: str, around: Callable[[Callable[[], Any]], Any]) -> None:
    """Replace a method by one that hands its call to ``around``."""
    inner = getattr(owner, name)
    setattr(owner, name, lambda self, *arguments: around(lambda: inner(self, *arguments)))


POINTS: dict[str, Callable[[Crash], None]] = {
    "snapshot": lambda crash: crash.before(metrics.BlockLogic, "snapshot"),
    "snapshot-done": lambda crash: crash.after(metrics.BlockLogic, "snapshot"),
    "sink-snapshot": lambda crash: crash.before(KafkaSinkPart, "snapshot"),
    "sink-snapshot-done": lambda crash: crash.after(KafkaSinkPart, "snapshot"),
    "opened": lambda crash: crash.on_events(b"opened"),
    "updated": lambda crash: crash.on_events(b"updated"),
    "closed": lambda crash: crash.on_events(b"closed"),
    "closing": lambda crash: crash.before(Block, "_close"),
    "revising": lambda crash: crash.before(Configuration, "_apply"),
    "revised": lambda crash: crash.after(Configuration, "_apply"),
    "batch": lambda crash: crash.before(metrics.BlockLogic, "on_batch"),
    "merge-snapshot": lambda crash: crash.before(metrics.MergeLogic, "snapshot"),
    "merge": lambda crash: crash.before(metrics.MergeLogic, "on_batch"),
    "merge-done": lambda crash: crash.after(metrics.MergeLogic, "on_batch"),
    "batch-done": lambda crash: crash.after(metrics.BlockLogic, "on_batch"),
}


def live(point: str | None, settings: FlowSettings) -> None:
    """One life of the flow."""
    if point is not None:
        Crash(point)
    recovery = RecoveryConfig(str(settings.recovery), timedelta(0))
    cli_main(metrics.build(), epoch_interval=EPOCH, recovery_config=recovery)


def main(log: Path, points: list[str]) -> None:
    """Live and die at every point, then live on."""
    settings = FlowSettings()
    warm()
    metrics.warm = lambda: None  # type: ignore[assignment]  # the lives inherit warm kernels
    run.prepare(Path(settings.recovery), topic_identity(settings, settings.topics.metrics), run.datetime.now(run.UTC))
    for point in (*points, None):
        pid = os.fork()
        if pid == 0:
            live(point, settings)
            os._exit(1)
        _, status = os.waitpid(pid, 0)
        died_of = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        with log.open("a") as lines:
            lines.write(f"{point} {died_of}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
