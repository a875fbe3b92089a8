"""The API's own description: OpenAPI at ``/api/docs``, AsyncAPI beside it, Swagger UI, and the published schemas.

The page works without internet: script and style come from the package ``fastapi-offline``, which carries swagger-ui's
files; FastAPI's own page would load them from a content delivery network. The documents are files, made ahead.
"""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

from api.document import Document
from api.json_route import JSON
from api.published import ASYNCAPI_FILE, OPENAPI_FILE, published
from api.router import add_routes
from api.schema import SCHEMA_PATH

OPENAPI_PATH = "/api/docs"
ASYNCAPI_PATH = "/api/docs/asyncapi.json"
ASSETS_PATH = "/api/docs/assets"

router = APIRouter()
OPENAPI = Document(partial(published, OPENAPI_FILE), JSON)
ASYNCAPI = Document(partial(published, ASYNCAPI_FILE), JSON)
ANOMALY_SCHEMA = Document(SCHEMA_PATH.read_bytes, "application/schema+json")


def install_docs(app: FastAPI) -> None:
    """Add the documents, the page and its files to the app."""
    add_routes(app, router)
    assets = Path(str(files("fastapi_offline"))) / "static"
    app.mount(ASSETS_PATH, StaticFiles(directory=assets), name="docs-assets")


@router.get(OPENAPI_PATH, include_in_schema=False)
async def read_openapi(request: Request) -> Response:
    """OpenAPI document."""
    return await OPENAPI.answer(request)


@router.get(ASYNCAPI_PATH, include_in_schema=False)
async def read_asyncapi(request: Request) -> Response:
    """AsyncAPI document of the WebSocket."""
    return await ASYNCAPI.answer(request)


@router.get("/api/schemas/anomaly.v1.json", tags=["schemas"], response_class=FileResponse)
async def read_anomaly_schema(request: Request) -> Response:
    """JSON Schema (2020-12) of an anomaly: values of the topic, answers of REST and data of the WebSocket."""
    return await ANOMALY_SCHEMA.answer(request)


def _page() -> bytes:
    return bytes(
        get_swagger_ui_html(
            openapi_url=OPENAPI_PATH,
            title="Tocsin API",
            swagger_js_url=f"{ASSETS_PATH}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS_PATH}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS_PATH}/favicon.png",
        ).body
    )


PAGE = Document(_page, "text/html; charset=utf-8")


@router.get(f"{OPENAPI_PATH}/ui", include_in_schema=False)
async def swagger_ui(request: Request) -> Response:
    """Swagger UI."""
    return await PAGE.answer(request)
