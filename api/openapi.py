"""The REST API as an OpenAPI 3.1 document; ``python -m api.openapi`` writes it, and the AsyncAPI document, as files."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from api.app import create_app
from api.asyncapi import asyncapi_document
from api.problems import Problem
from api.published import ASYNCAPI_FILE, OPENAPI_FILE, file_of
from api.router import SCHEMA_REF
from api.settings import ApiSettings


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """What FastAPI makes, with the schema of refusals, which routes only name (``api.router.REFUSALS``)."""
    document = app.openapi()
    problem = Problem.model_json_schema(mode="serialization", ref_template=SCHEMA_REF)
    added = {**problem.pop("$defs"), Problem.__name__: problem}
    schemas = dict(sorted({**document["components"]["schemas"], **added}.items()))
    return {**document, "components": {**document["components"], "schemas": schemas}}


def main() -> None:
    """Write the files that the api serves."""
    OPENAPI_FILE.write_bytes(file_of(openapi_document(create_app(ApiSettings()))))
    ASYNCAPI_FILE.write_bytes(file_of(asyncapi_document()))


if __name__ == "__main__":
    main()
