"""The descriptions of the api that are made ahead (``python -m api.openapi``) and come with it as files.

To make the OpenAPI document takes a process one and a half seconds, in which it answers others half as fast;
to read it takes milliseconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from api.version import version_text

SCHEMAS = Path(__file__).parent / "schemas"
OPENAPI_FILE = SCHEMAS / "openapi.json"
ASYNCAPI_FILE = SCHEMAS / "asyncapi.json"


def published(file: Path) -> bytes:
    """The document of the file as it is served: it names the version that runs."""
    document: dict[str, Any] = orjson.loads(file.read_bytes())
    document["info"]["version"] = version_text()
    return orjson.dumps(document)


def file_of(document: dict[str, Any]) -> bytes:
    """The same as a file: readable, and without the version, so that a release changes nothing in it."""
    named = {**document, "info": {**document["info"], "version": ""}}
    return orjson.dumps(named, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
