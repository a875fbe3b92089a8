"""The api process: ``create_app`` for servers and tests, ``python -m api.app`` to run it."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from connectors.process import collect_garbage, leave_out, spare_what_comes, spare_what_is_kept

if __name__ == "__main__":
    gc.disable()  # until ``collect_garbage``
    leave_out("httpx._main")

from fastapi import FastAPI

from api import (
    anomalies,
    anomaly,
    around,
    collectors,
    connections,
    datasources,
    dead_letters,
    deployment,
    detectors,
    health,
    kinds,
    lint,
    past,
    rules,
    socket,
    status,
    templates,
    trainings,
    trials,
)
from api.context import Context
from api.docs import install_docs
from api.gate import Gate, Limit
from api.literal_paths import keep_literal_paths
from api.parameters import remember_parameters
from api.parts import Parts
from api.refusal import install_problems
from api.router import add_routes
from api.server import make_server, run_server
from api.settings import ApiSettings
from api.version import version_text
from connectors.clock import wall_clock_ms
from connectors.startup import start_process


def create_app(
    settings: ApiSettings,
    now_ms: Callable[[], int] = wall_clock_ms,
) -> FastAPI:
    """The application; its lifespan starts and stops the readers and writers of ``app.state.context``."""
    context = Context(settings, now_ms)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await context.start()
        try:
            yield
        finally:
            await context.stop()

    app = FastAPI(
        title="Tocsin",
        version=version_text(),
        description="Streaming anomaly detection for metrics and logs. Docs: docs/api.md in the repository.",
        openapi_url=None,  # api.docs serves it
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # /metrics and the log tell; it looks each time
    )
    remember_parameters(context.meters)
    app.state.context = context
    app.state.parts = Parts(context)
    context.at_hand = app.state.parts.at_hand
    app.add_middleware(
        Gate,
        meters=context.meters,
        limit_of=partial(body_limit, settings),
        body_timeout_s=settings.api_body_timeout_s,
    )
    install_problems(app)
    steering = (detectors.router, detectors.patches, past.router, trials.router, trainings.train, kinds.router)
    showing = (anomalies.router, anomaly.router, around.router, rules.router, status.router, trainings.router)
    advising = (lint.router, templates.router)
    operating = (datasources.router, collectors.router, connections.router, dead_letters.router, deployment.router)
    routers = (*showing, *advising, *steering, *operating)
    for router in (*routers, health.router, socket.router):
        add_routes(app, router)
    keep_literal_paths(app, routers)
    install_docs(app)
    return app


def body_limit(settings: ApiSettings, path: str) -> Limit:
    """How large a body at this address may be: samples need more room than a config."""
    if path.endswith((*trials.PATHS, *trainings.PATHS)):
        return Limit(settings.api_max_samples_bytes, "TOCSIN_API_MAX_SAMPLES_BYTES")
    return Limit(settings.api_max_body_bytes, "TOCSIN_API_MAX_BODY_BYTES")


def main() -> int:
    """Serve until asked to stop; 1 for bad settings, or when a reader ended and the process should start anew."""
    settings = start_process("api", ApiSettings)
    app = create_app(settings)
    context: Context = app.state.context
    server = make_server(app, settings)
    context.on_loaded = spare_what_is_kept
    context.on_death = partial(setattr, server, "should_exit", True)
    collect_garbage()
    spare_what_comes()
    run_server(server)
    return 1 if context.death else 0


if __name__ == "__main__":
    sys.exit(main())
