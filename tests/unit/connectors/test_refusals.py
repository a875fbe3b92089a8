from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connectors.refusals import expected_of, given_of, path_of


class Pear(BaseModel):
    type: Literal["pear"]


class Plum(BaseModel):
    type: Literal["plum"]


class Basket(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    pears: tuple[str, ...] = ()
    prices: dict[str, float] = {}
    owner: Pear | None = None
    fruit: Annotated[Pear | Plum, Field(discriminator="type")] | None = None
    sizes: Annotated[list[int], Field(min_length=1, max_length=2)] = [1]


@pytest.mark.parametrize(
    ("given", "field", "value", "expected"),
    [
        ({}, "name", None, "must be given"),
        ({"pears": "a"}, "pears", "a", "must be a list"),
        ({"prices": [1]}, "prices", [1], "must be an object"),
        ({"owner": "ann"}, "owner", "ann", "must be an object"),
        ({"fruit": {"type": "fig"}}, "fruit", {"type": "fig"}, "type must be one of 'pear', 'plum'"),
        ({"fruit": {"typ": "plum"}}, "fruit", {"typ": "plum"}, "must have a type"),
        ({"sizes": []}, "sizes", [], "must have at least 1 item"),
        ({"sizes": [1, 2, 3]}, "sizes", [1, 2, 3], "must have at most 2 items"),
        ({"nam": 1}, "nam", 1, "there is no field 'nam': those are name, pears, prices, owner, fruit, sizes"),
    ],
)
def test_a_refusal_speaks_of_json_and_of_the_one_field(given: Any, field: str, value: Any, expected: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Basket.model_validate({"name": "b", **given} if given else given)
    (found,) = refused.value.errors()
    assert (path_of(found["loc"]), given_of(found), expected_of(Basket, found)) == (field, value, expected)
