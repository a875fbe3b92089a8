"""The ``tocsin`` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from api.version import version_text
from connectors.errors import TocsinError
from connectors.settings import authority, read_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def tocsin() -> None:
    """Watches metrics as they stream by and rings when something is strange."""


@app.command("run")
def run_here(
    demo: Annotated[bool, typer.Option(help="push this machine's metrics and a small simulated shop")] = True,
) -> None:
    """Start everything on this machine, watch it, and stop it at Ctrl-C."""
    from api.local import run
    from api.local_settings import LocalSettings

    try:
        code = run(read_settings(LocalSettings), demo)
    except TocsinError as error:
        code = _told(error)
    raise typer.Exit(code)


@app.command()
def tail(
    url: Annotated[str | None, typer.Argument(help="address of the api", show_default="the api of make run")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line, docs/anomalies.md")] = False,
) -> None:
    """Print anomalies as they come, until Ctrl-C."""
    from api.local_settings import LocalSettings
    from api.tail import run_tail

    try:
        local = read_settings(LocalSettings)
    except TocsinError as error:
        raise typer.Exit(_told(error)) from error
    raise typer.Exit(run_tail(url or f"http://{authority(local.host, local.api_port)}", as_json, sys.stdout))


@app.command()
def backtest(
    path: Annotated[str, typer.Argument(help="a CSV file, a folder of them, or the URL of a Prometheus")],
    out: Annotated[Path, typer.Option(help="folder for NAME.csv, one row per input row")],
    detector: Annotated[str, typer.Option(help="a kind, with its defaults, or FILE.json with a config")] = "auto",
    plot: Annotated[bool, typer.Option("--plot", help="a picture per series beside its rows")] = False,
    query: Annotated[str | None, typer.Option(help="PromQL; the selector of FILE.json without it")] = None,
    start: Annotated[str | None, typer.Option(help="RFC 3339 or seconds; a day before --end without it")] = None,
    end: Annotated[str | None, typer.Option(help="RFC 3339 or seconds; now without it")] = None,
    step: Annotated[str, typer.Option(help="time between two samples of the PromQL range")] = "15s",
) -> None:
    """Let a detector judge the past, row by row, by the code of the flow."""
    from api.backtest import Wanted, run_backtest

    wanted = Wanted(path, out, detector, plot=plot, query=query, start=start, end=end, step=step)
    raise typer.Exit(run_backtest(wanted, sys.stdout))


@app.command()
def topics() -> None:
    """Create the Kafka topics that are missing and check those that are there."""
    from connectors.topics import main

    raise typer.Exit(main())


@app.command("warm")
def warm_kernels() -> None:
    """Compile the kernels into numba's cache, so that the first start does not have to."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from api.kernel_cache import forget_stale
    from connectors.warm import warm_kernels as warm_ingest
    from flows.mining.warm import warm_lines
    from flows.warm import warm_groups, warm_kinds, warm_shapes

    forget_stale()
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_look_for_little_garbage) as processes:
        # what calls the same kernels is compiled in the same process, and the longest is begun first
        kernels = (warm_kinds, warm_ingest, warm_shapes, warm_groups, warm_lines)
        for task in [processes.submit(warm) for warm in kernels]:
            task.result()


@app.command("version")
def print_version() -> None:
    """Print the version."""
    typer.echo(version_text())


def _look_for_little_garbage() -> None:
    """Among the many objects that a compiler keeps, looking for garbage takes a tenth of its time."""
    import gc

    import numba  # noqa: F401  # most of what lives as long as the process

    gc.freeze()
    gc.set_threshold(100_000, 10, 10)


def _told(error: TocsinError) -> int:
    """Say each line of an error; the exit code for it."""
    for line in str(error).splitlines():
        typer.echo(f"error: {line}", err=True)
    return 1


if __name__ == "__main__":
    app()
