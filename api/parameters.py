"""Parameters in the path and the query of requests, read once for all that are alike.

FastAPI looks at the types of all parameters of a route anew for each request: half of what it takes to answer a list of
anomalies that is kept. What it makes of them depends on their text alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi.dependencies import utils
from starlette.datastructures import QueryParams

from api.meters import ApiMeters

MOST, MOST_CHARS = 4096, 500
"""What is kept, of texts that are no longer: some megabytes."""

Read = Callable[[Sequence[Any], Mapping[str, Any]], tuple[dict[str, Any], list[Any]]]
AS_FASTAPI: Read = utils.request_params_to_args


class Parameters:
    """Reads those of one place as FastAPI does, and keeps what was right; when there is too much, all is let go."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._kept: dict[tuple[Any, ...], tuple[Sequence[Any], dict[str, Any]]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def read(self, fields: Sequence[Any], received_params: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        """Values of the fields, and what is wrong with them."""
        if not fields or type(received_params) not in (dict, QueryParams):
            return self._read(fields, received_params)
        pairs = received_params.multi_items() if isinstance(received_params, QueryParams) else received_params.items()
        key = (id(fields), *pairs)
        kept = self._kept.get(key)
        if kept is None:
            values, errors = self._read(fields, received_params)
            if errors or len(str(key)) > MOST_CHARS:
                return values, errors
            if len(self._kept) >= MOST:
                self._kept.clear()
            kept = self._kept[key] = (fields, values)  # while they are kept, no others have their id
        return {name: list(value) if type(value) is list else value for name, value in kept[1].items()}, []


_PARAMETERS = Parameters(AS_FASTAPI)


def remember_parameters(meters: ApiMeters) -> None:
    """Let FastAPI read them so, in all of this process."""
    utils.request_params_to_args = _PARAMETERS.read
    meters.http.parameters_kept.set_function(lambda: len(_PARAMETERS))
