import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from api.schema import DIALECT, SCHEMA_ID, SCHEMA_PATH, anomaly_schema
from connectors.anomaly import Anomaly
from tests.anomalies import anomalies, closed, make_anomaly

DOC = Path(__file__).parents[3] / "docs" / "anomalies.md"
schema: dict[str, Any] = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
validator = Draft202012Validator(schema)


def objects() -> list[dict[str, Any]]:
    return [schema, *(part for part in schema["$defs"].values() if part.get("type") == "object")]


def fields(part: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted paths of all fields, nested objects included."""
    found = []
    for name, field in part["properties"].items():
        found.append(prefix + name)
        nested = schema["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
        if nested.get("type") == "object":
            found += fields(nested, f"{prefix}{name}.")
    return found


def test_the_file_is_what_the_code_generates() -> None:
    assert SCHEMA_PATH.read_text(encoding="utf-8") == anomaly_schema(), "run python -m api.schema"


def test_it_is_a_2020_12_schema_that_names_no_host_and_lets_fields_be_added() -> None:
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT
    assert schema["$id"] == SCHEMA_ID
    assert "http" not in SCHEMA_PATH.read_text(encoding="utf-8").replace(DIALECT, "")
    for part in objects():
        assert "additionalProperties" not in part
        assert set(part["required"]) == set(part["properties"])


@given(anomalies)
def test_every_anomaly_that_the_contract_allows_is_valid(anomaly: Anomaly) -> None:
    validator.validate(json.loads(anomaly.encode()))


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"id": "x"}, {"event": "began"}, {"end_ms": "1"}, {"samples": 0}, {"value": None}],
)
def test_what_the_contract_forbids_is_invalid(change: dict[str, object]) -> None:
    event = json.loads(closed(make_anomaly()).encode())
    assert validator.is_valid(event)
    assert not validator.is_valid({**event, **change})


@pytest.mark.parametrize("field", json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))["properties"])
def test_a_missing_field_is_invalid(field: str) -> None:
    event = json.loads(make_anomaly().encode())
    del event[field]
    assert not validator.is_valid(event)


@pytest.mark.parametrize("field", fields(schema))
def test_every_field_is_documented(field: str) -> None:
    assert f"| `{field}` |" in DOC.read_text(encoding="utf-8")


def test_every_value_of_an_enumeration_is_documented() -> None:
    text = DOC.read_text(encoding="utf-8")
    values = [value for part in schema["$defs"].values() for value in part.get("enum", [])]
    assert len(values) > 10
    assert [value for value in values if f"`{value}`" not in text] == []


def test_the_documented_example_is_valid() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    validator.validate(json.loads(example))
    Anomaly.decode(example.encode())


def test_fields_of_a_newer_version_are_left_out() -> None:
    event = json.loads(make_anomaly().encode())
    newer = {**event, "more": 1, "signal": {**event["signal"], "more": {}}}
    validator.validate(newer)
    assert Anomaly.decode(json.dumps(newer).encode()) == make_anomaly()
