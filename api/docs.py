"""The API's own description: OpenAPI at ``/api/docs``, AsyncAPI beside it, Swagger UI, and the published schemas.

The page works without internet: script and style come from the package ``fastapi-offline``, which carries swagger-ui's
files; FastAPI's own page would load them from a content delivery network.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

from api.document import Document
from api.json_route import JSON
from api.problems import Problem
from api.router import SCHEMA_REF, add_routes
from api.schema import SCHEMA_PATH

OPENAPI_PATH = "/api/docs"
ASYNCAPI_PATH = "/api/docs/asyncapi.json"
ASSETS_PATH = "/api/docs/assets"

router = APIRouter()


def install_docs(app: FastAPI) -> Sequence[Document]:
    """Add the page, its files and the schemas to the app; returns the documents."""
    openapi = Document(lambda: orjson.dumps(app.openapi()), JSON)
    page = Document(partial(_page, app.title), "text/html; charset=utf-8")

    @app.get(OPENAPI_PATH, include_in_schema=False)
    async def read_openapi(request: Request) -> Response:
        """OpenAPI document."""
        return await openapi.answer(request)

    @app.get(f"{OPENAPI_PATH}/ui", include_in_schema=False)
    async def swagger_ui(request: Request) -> Response:
        """Swagger UI."""
        return await page.answer(request)

    add_routes(app, router)
    assets = Path(str(files("fastapi_offline"))) / "static"
    app.mount(ASSETS_PATH, StaticFiles(directory=assets), name="docs-assets")
    return openapi, page, ASYNCAPI, ANOMALY_SCHEMA


def openapi_with_problems(app: FastAPI) -> dict[str, Any]:
    """OpenAPI document with the schema of refusals, which routes only name (``api.router.REFUSALS``)."""
    document = FastAPI.openapi(app)
    problem = Problem.model_json_schema(mode="serialization", ref_template=SCHEMA_REF)
    added = {**problem.pop("$defs"), Problem.__name__: problem}
    schemas = document["components"]["schemas"]
    document["components"]["schemas"] = dict(sorted({**schemas, **added}.items()))
    return document


def _asyncapi() -> bytes:
    from api.asyncapi import asyncapi_document  # its examples would take 30 ms of each start, and few ask for them

    return orjson.dumps(asyncapi_document())


ASYNCAPI = Document(_asyncapi, JSON)
ANOMALY_SCHEMA = Document(SCHEMA_PATH.read_bytes, "application/schema+json")


@router.get(ASYNCAPI_PATH, include_in_schema=False)
async def read_asyncapi(request: Request) -> Response:
    """AsyncAPI document of the WebSocket."""
    return await ASYNCAPI.answer(request)


@router.get("/api/schemas/anomaly.v1.json", tags=["schemas"], response_class=FileResponse)
async def read_anomaly_schema(request: Request) -> Response:
    """JSON Schema (2020-12) of an anomaly: values of the topic, answers of REST and data of the WebSocket."""
    return await ANOMALY_SCHEMA.answer(request)


def _page(title: str) -> bytes:
    return bytes(
        get_swagger_ui_html(
            openapi_url=OPENAPI_PATH,
            title=f"{title} API",
            swagger_js_url=f"{ASSETS_PATH}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS_PATH}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS_PATH}/favicon.png",
        ).body
    )
