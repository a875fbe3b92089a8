import json
from typing import Any, get_args

import jsonschema
import pytest

from api.asyncapi import FROM_CLIENT, asyncapi_document
from api.docs import ASYNCAPI_PATH
from api.socket_messages import CLIENT_MESSAGE, SERVER_MESSAGE, ClientMessage, ServerMessage
from tests.unit.api.test_docs import get

DOCUMENT = json.loads(json.dumps(asyncapi_document()))
EXAMPLES = [
    (name, example["payload"])
    for name, message in DOCUMENT["components"]["messages"].items()
    for example in message["examples"]
]


def test_it_is_served_beside_openapi() -> None:
    answer = get(ASYNCAPI_PATH)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == DOCUMENT
    assert (DOCUMENT["asyncapi"], DOCUMENT["channels"]["socket"]["address"]) == ("3.0.0", "/api/ws")


def test_every_type_of_message_is_in_it_and_no_other() -> None:
    for operation, union in (("receive", ClientMessage), ("send", ServerMessage)):
        names = {ref["$ref"].rpartition("/")[2] for ref in DOCUMENT["operations"][operation]["messages"]}
        assert names == {model.__name__ for model in get_args(union)}
    both = {model.__name__ for model in (*get_args(ClientMessage), *get_args(ServerMessage))}
    assert set(DOCUMENT["components"]["messages"]) == set(DOCUMENT["channels"]["socket"]["messages"]) == both


@pytest.mark.parametrize(("name", "payload"), EXAMPLES)
def test_every_example_keeps_its_schema_and_its_type(name: str, payload: dict[str, Any]) -> None:
    message = DOCUMENT["components"]["messages"][name]
    whole = {"$ref": message["payload"]["$ref"], "components": DOCUMENT["components"]}
    jsonschema.Draft7Validator(whole).validate(payload)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(whole).validate({**payload, "type": "x"})
    read = CLIENT_MESSAGE if name in {model.__name__ for model in FROM_CLIENT} else SERVER_MESSAGE
    assert type(read.validate_python(payload)).__name__ == name
    assert message["name"] == payload["type"]
    assert message["summary"]


def test_every_reference_leads_somewhere() -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, list):
            return [ref for item in node for ref in references(item)]
        if not isinstance(node, dict):
            return []
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for item in node.values() for ref in references(item)]

    for reference in references(DOCUMENT):
        found = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


@pytest.mark.parametrize(
    ("name", "fields"), [("StatusEvent", {"detector", "partition"}), ("TrainingEvent", {"learned"})]
)
def test_what_is_told_has_a_type_of_its_own(name: str, fields: set[str]) -> None:
    schemas = DOCUMENT["components"]["schemas"]
    data = schemas[name]["properties"]["data"]
    found = [one["$ref"].rpartition("/")[2] for one in data.get("oneOf", data.get("allOf", [data]))]
    assert fields <= {field for one in found for field in schemas[one]["properties"]}
    example = next(payload for kind, payload in EXAMPLES if kind == name)
    for wrong in ({"x": 1}, {**example["data"], "version": "x", "learned": "x"}):
        whole = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft7Validator(whole).validate({**example, "data": wrong})
