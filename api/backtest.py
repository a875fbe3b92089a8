"""``tocsin backtest``: what a detector would have said of the past, row by row, by the code of the flow."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.backtest_csv import find_files, read_frame, write_rows
from api.backtest_plot import check_plotting, write_plot
from api.backtest_prometheus import file_name, make_range, read_range
from api.backtest_summary import Summary
from connectors.clock import wall_clock_ms
from connectors.codec.labels import parse_labels
from connectors.detector import DetectorConfig, Group
from connectors.errors import Rejected, TocsinError
from connectors.refusals import expected_of, path_of
from connectors.sources.pieces import Range
from flows.detectors.registry import KINDS, Trait
from flows.frame import Frame, entities_of
from flows.futility import check_proposal
from flows.policy import threshold_of
from flows.replay import EVERYTHING, TOGETHER, replay
from flows.selector import NAME_LABEL
from flows.validator import ConfigError, refuse_aggregates

MAX_CONFIG_BYTES = 65_536
"""As the api's bound of a request body (``TOCSIN_API_MAX_BODY_BYTES``)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for: ``path`` is a CSV file, a folder of them, or the URL of a Prometheus."""

    path: str
    out: Path
    detector: str = "auto"
    plot: bool = False
    query: str | None = None
    start: str | None = None
    end: str | None = None
    step: str = "15s"


@dataclass(frozen=True, slots=True)
class Job:
    """One series or entity: where its rows are written, and where they come from."""

    name: str
    source: Path | Frame

    def frame(self) -> Frame:
        """Its rows; raises ``Rejected``."""
        return read_frame(self.source) if isinstance(self.source, Path) else self.source


def run_backtest(wanted: Wanted, out: TextIO) -> int:
    """Judge everything and print the summary to ``out``; the exit code is 1 if anything could not be judged."""
    try:
        config = load_config(wanted.detector)
        if wanted.plot:
            check_plotting()
        jobs = find_jobs(wanted, config)
    except TocsinError as error:
        _complain(str(error))
        return 1
    summary = Summary()
    judge_all(jobs, config, wanted, summary)
    summary.print(out, wanted.out)
    return 1 if summary.failed else 0


def judge_all(jobs: list[Job], config: DetectorConfig, wanted: Wanted, summary: Summary) -> None:
    """Judge one job after the other; one that fails is told on standard error, and the others go on."""
    for job, tell in _with_progress(jobs):
        try:
            frame = job.frame()
            replayed = replay(config, frame, tell)
            write_rows(wanted.out / f"{job.name}.csv", frame, replayed)
            if wanted.plot:
                write_plot(wanted.out / f"{job.name}.png", job.name, frame, replayed, threshold_of(config))
        except (Rejected, OSError) as error:
            _complain(str(error))
            summary.failed += 1
        else:
            summary.add(job.name, frame, replayed)


def load_config(detector: str) -> DetectorConfig:
    """The config of a kind by its name, with all defaults, or of a JSON file; raises ``Rejected``."""
    if detector.endswith(".json"):
        config = _read_config(Path(detector))
    elif detector in KINDS:
        group = TOGETHER if Trait.TOGETHER in KINDS[detector].traits else None
        config = DetectorConfig(name=detector, kind=detector, selector=EVERYTHING, group=group)
    else:
        kinds = ", ".join(sorted(KINDS))
        raise ConfigError(field="--detector", value=detector, expected=f"must be one of {kinds}, or FILE.json")
    check_proposal(config)
    refuse_aggregates(config, "in a backtest", "let the PromQL of --query aggregate")
    return config


def _read_config(path: Path) -> DetectorConfig:
    """A config as docs/detectors.md shows it, or a detector as the api answers; name and selector may be missing."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
        if len(text) > MAX_CONFIG_BYTES:
            raise ConfigError(field="--detector", value=str(path), expected=f"at most {MAX_CONFIG_BYTES} bytes")
        fields = json.loads(text)
        if isinstance(fields, dict) and isinstance(fields.get("config"), dict):
            fields = fields["config"]
        if not isinstance(fields, dict):
            raise ConfigError(field="--detector", value=str(path), expected="must hold a JSON object")
        return DetectorConfig.model_validate({"name": path.stem, "selector": EVERYTHING, **fields})
    except ValidationError as error:
        first = error.errors()[0]
        field, expected = path_of(first["loc"]), expected_of(DetectorConfig, first)
        raise ConfigError(field=f"{path}: {field}", value=first["input"], expected=expected) from error
    except (OSError, ValueError) as error:
        raise ConfigError(field="--detector", value=str(path), expected=f"must be readable JSON: {error}") from error


def find_jobs(wanted: Wanted, config: DetectorConfig) -> list[Job]:
    """Everything to be judged; raises ``Rejected`` or ``Unavailable``."""
    if wanted.path.startswith(("http://", "https://")):
        asked = _asked(wanted, config)
        found = list(read_range(wanted.path, asked))
        return [Job(name, frame) for name, frame in (found if config.group is None else _entities(found, config.group))]
    for field in ("query", "start", "end"):
        value = getattr(wanted, field)
        if value is not None:
            expected = "goes with the URL of a Prometheus, not with files"
            raise ConfigError(field=f"--{field}", value=value, expected=expected)
    path = Path(wanted.path)
    if not path.exists():
        raise ConfigError(field="PATH", value=wanted.path, expected="must be a CSV file, a folder or a Prometheus URL")
    jobs = [Job(name, found) for found, name in find_files(path, wanted.out)]
    if not jobs:
        raise ConfigError(field="PATH", value=wanted.path, expected="must hold .csv or .csv.gz files")
    _check_names(jobs, wanted.out)
    return jobs


def _entities(found: Iterable[tuple[str, Frame]], group: Group) -> Iterator[tuple[str, Frame]]:
    """The series of each group as one frame, and its name."""
    entities = entities_of(group, (frame for _, frame in found))
    for name in sorted(entities):
        yield file_name({NAME_LABEL: "entity", **parse_labels(name)}), entities[name]


def _asked(wanted: Wanted, config: DetectorConfig) -> Range:
    query = wanted.query or config.selector
    if query == EVERYTHING:
        expected = "must be a PromQL expression, or be in the selector of --detector FILE.json"
        raise ConfigError(field="--query", value=wanted.query, expected=expected)
    return make_range(query, wanted.start, wanted.end, wanted.step, wall_clock_ms())


def _check_names(jobs: list[Job], out: Path) -> None:
    """Outputs need a folder, and none may replace an input or another output."""
    if out.exists() and not out.is_dir():
        raise ConfigError(field="--out", value=str(out), expected="must be a folder, or a name where one can be made")
    seen: dict[str, Job] = {}
    for job in jobs:
        if job.name in seen:
            expected = f"would be written to {job.name}.csv as is {seen[job.name].source}: rename one"
            raise ConfigError(field="PATH", value=str(job.source), expected=expected)
        seen[job.name] = job
        if isinstance(job.source, Path) and (out / f"{job.name}.csv").resolve() == job.source.resolve():
            expected = f"must be another folder: {job.source} would be overwritten"
            raise ConfigError(field="--out", value=str(out), expected=expected)


def _with_progress(jobs: list[Job]) -> Iterator[tuple[Job, Callable[[float], None]]]:
    """The jobs, each with what is to be told how much of it is done; a bar on standard error if that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("judging", total=len(jobs))
        for at, job in enumerate(jobs):
            progress.update(task, completed=at, description=job.name[-40:])
            yield job, lambda share, at=at: progress.update(task, completed=at + share)  # type: ignore[misc]
        progress.update(task, completed=len(jobs))


def _complain(text: str) -> None:
    sys.stderr.write(f"error: {text}\n")
