from typing import Any

import httpx
import jsonschema
import pytest

from api.app import create_app
from api.settings import ApiSettings
from connectors.detector import DetectorConfig
from flows.detectors.registry import KINDS
from flows.validator import check_config
from tests.apis import ask

APP = create_app(ApiSettings(kafka="127.0.0.1:1"))


def get(path: str) -> httpx.Response:
    return ask(APP, "GET", path)


def kinds() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get("/api/detector-kinds").json()["kinds"]
    return found


def test_every_kind_is_there_and_the_default_comes_first() -> None:
    found = kinds()
    assert [kind["kind"] for kind in found] == list(KINDS)
    assert found[0]["kind"] == DetectorConfig.model_fields["kind"].default
    assert get("/api/detector-kinds/mad").json() == next(kind for kind in found if kind["kind"] == "mad")
    unknown = get("/api/detector-kinds/maad")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind["kind"])
def test_defaults_and_example_are_what_the_schema_and_the_flow_take(kind: dict[str, Any]) -> None:
    schema = kind["parameters"]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(schema["properties"]) == set(kind["defaults"])
    for params in ({}, kind["defaults"], kind["example"]):
        jsonschema.validate(params, schema)
    assert all(field.get("description") for field in schema["properties"].values())
    group = {"by": ["job"], "aggregate": "members"} if kind["needs_group"] else None
    check_config(DetectorConfig(name="n", kind=kind["kind"], selector="up", params=kind["example"], group=group))


def test_costs_and_units_are_given() -> None:
    by_name = {kind["kind"]: kind for kind in kinds()}
    assert by_name["mad"]["units"]["hold_s"] == "seconds"
    assert 200 < by_name["mad"]["bytes_per_signal"] < 2000
    assert by_name["river"]["bytes_per_signal"] is None
    assert (by_name["auto"]["threshold"], by_name["auto"]["chance_per_week"]) == (None, 5.0)
    assert by_name["mad"]["threshold"] == 8.0
