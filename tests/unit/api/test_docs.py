import re
from typing import Any

import httpx
import orjson

from api.app import create_app
from api.asyncapi import asyncapi_document
from api.docs import ASSETS_PATH, ASYNCAPI_PATH, OPENAPI_PATH
from api.openapi import openapi_document
from api.published import ASYNCAPI_FILE, OPENAPI_FILE, file_of
from api.settings import ApiSettings
from api.version import version_text
from tests.apis import ask

app = create_app(ApiSettings(kafka="127.0.0.1:1"))


def get(path: str) -> httpx.Response:
    return ask(app, "GET", path)


def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = get("/api/docs/ui").text
    assert "://" not in page
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) == 3
    for path in loaded:
        answer = get(path)
        assert (answer.status_code, len(answer.content) > 1000) == (200, True), path
    assert "swagger-ui" in get(f"{ASSETS_PATH}/swagger-ui.css").text
    assert "url: '/api/docs'" in page


def test_the_style_loads_nothing_from_elsewhere() -> None:
    style = get(f"{ASSETS_PATH}/swagger-ui.css").text
    assert [url for url in re.findall(r"url\(([^)]+)\)", style) if not url.strip("\"'").startswith("data:")] == []
    assert "@import" not in style


def test_the_documents_that_are_served_are_what_the_code_makes() -> None:
    made = {
        OPENAPI_PATH: (openapi_document(app), OPENAPI_FILE),
        ASYNCAPI_PATH: (asyncapi_document(), ASYNCAPI_FILE),
    }
    for path, (document, file) in made.items():
        answer = get(path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.content == orjson.dumps(document), "run python -m api.openapi"
        assert file.read_bytes() == file_of(document), "run python -m api.openapi"
        assert answer.json()["info"]["version"] == version_text()


def operations() -> list[tuple[str, dict[str, Any]]]:
    paths = get("/api/docs").json()["paths"]
    return [
        (f"{method.upper()} {path}", operation) for path, item in paths.items() for method, operation in item.items()
    ]


def test_openapi_lists_the_whole_rest_api() -> None:
    assert {name for name, _ in operations()} == {
        "GET /api/anomalies",
        "GET /api/anomalies/{anomaly_id}",
        "GET /api/anomalies/{anomaly_id}/series",
        "POST /api/anomalies/{anomaly_id}/acknowledge",
        "POST /api/anomalies/{anomaly_id}/unacknowledge",
        "POST /api/anomalies/{anomaly_id}/comments",
        "POST /api/anomalies/{anomaly_id}/verdict",
        "GET /api/rules",
        "DELETE /api/rules/{rule_id}",
        "GET /api/detectors",
        "POST /api/detectors",
        "GET /api/detectors/{detector_id}",
        "PUT /api/detectors/{detector_id}",
        "PATCH /api/detectors/{detector_id}",
        "DELETE /api/detectors/{detector_id}",
        "POST /api/detectors/{detector_id}/start",
        "POST /api/detectors/{detector_id}/stop",
        "GET /api/detectors/{detector_id}/revisions",
        "GET /api/detectors/{detector_id}/revisions/{revision}",
        "POST /api/detectors/{detector_id}/revisions/{revision}/restore",
        "POST /api/detectors/preview",
        "POST /api/detectors/{detector_id}/detect",
        "GET /api/detector-templates",
        "GET /api/detector-templates/{name}",
        "POST /api/detectors/lint",
        "GET /api/detectors/{detector_id}/lint",
        "GET /api/status",
        "GET /api/detectors/{detector_id}/status",
        "GET /api/detectors/{detector_id}/health",
        "GET /api/datasources",
        "POST /api/datasources",
        "POST /api/datasources/test",
        "GET /api/datasources/{source_id}",
        "PUT /api/datasources/{source_id}",
        "DELETE /api/datasources/{source_id}",
        "POST /api/datasources/{source_id}/test",
        "GET /api/datasources/{source_id}/health",
        "POST /api/datasources/{source_id}/query",
        "GET /api/datasources/{source_id}/collectors",
        "POST /api/datasources/{source_id}/collectors",
        "GET /api/datasources/{source_id}/collectors/{collector_id}",
        "PUT /api/datasources/{source_id}/collectors/{collector_id}",
        "DELETE /api/datasources/{source_id}/collectors/{collector_id}",
        "POST /api/detectors/{detector_id}/train",
        "GET /api/trainings",
        "GET /api/trainings/{training_id}",
        "POST /api/trainings/{training_id}/cancel",
        "GET /api/detector-kinds",
        "GET /api/detector-kinds/{kind}",
        "GET /api/connections",
        "GET /api/dead-letters",
        "GET /api/dead-letters/{partition}/{offset}",
        "POST /api/dead-letters/{partition}/{offset}/replay",
        "GET /api/deployment",
        "GET /api/system",
        "GET /api/log-level",
        "PUT /api/log-level",
        "GET /api/schemas/anomaly.v1.json",
        "GET /alive",
        "GET /ready",
        "GET /health",
        "GET /metrics",
    }


def test_operations_are_described_and_refusals_are_problems() -> None:
    for name, operation in operations():
        if "/api/schemas" in name:
            continue
        assert operation["description"], name
        if not name.partition(" ")[2].startswith("/api/"):
            continue
        for status in ("422", "default"):
            assert list(operation["responses"][status]["content"]) == ["application/problem+json"], (name, status)


def test_the_schema_is_served() -> None:
    answer = get("/api/schemas/anomaly.v1.json")
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.json()["$id"] == "urn:tocsin:schema:anomaly:v1"
