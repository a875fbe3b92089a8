"""The published JSON Schema of an anomaly, made from ``connectors.anomaly``; ``python -m api.schema`` writes it."""

from __future__ import annotations

import json

from pydantic.json_schema import GenerateJsonSchema

from api.published import SCHEMAS
from connectors.anomaly import Anomaly

SCHEMA_PATH = SCHEMAS / "anomaly.v1.json"
SCHEMA_ID = "urn:tocsin:schema:anomaly:v1"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class AllRequired(GenerateJsonSchema):
    """Marks every field as required: ``encode`` writes them all, those with a default too."""

    def field_is_required(self, *_: object, **__: object) -> bool:
        """Always."""
        return True


def anomaly_schema() -> str:
    """Text of the schema file: strict, every field required, and ``$id`` is a name rather than a host."""
    schema = {
        "$schema": DIALECT,
        "$id": SCHEMA_ID,
        **Anomaly.model_json_schema(schema_generator=AllRequired, mode="serialization"),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the file that the api serves."""
    SCHEMA_PATH.write_text(anomaly_schema(), encoding="utf-8")


if __name__ == "__main__":
    main()
