"""Routes whose body must be called JSON: what is called something else may mean something else, as a merge patch."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any

from fastapi import Request, Response

from api.problems import ApiError, Code
from api.router import Route

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
UTF8 = ("utf-8", "utf8")
IDENTITY = "identity"
HALF_OF_A_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
"""How JSON writes half of a surrogate pair, mostly beside the other half."""


class JsonRoute(Route):
    """A route that reads no body but JSON in UTF-8; ``Content-Type`` missing altogether is FastAPI's to refuse."""

    reads = JSON
    """How a body must be called."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Look at the header first, where there is a body to be read."""
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def strict(request: Request) -> Response:
            given = request.headers.get("content-type")
            if given is not None and not is_json(given, self.reads):
                message = f"Content-Type: {given[:100]}: send {self.reads}, in UTF-8"
                raise ApiError(Code.UNSUPPORTED_MEDIA_TYPE, message)
            coding = request.headers.get("content-encoding", IDENTITY)
            if coding.strip().lower() != IDENTITY:
                message = f"Content-Encoding: {coding[:100]}: send the body as it is, not compressed"
                raise ApiError(Code.UNSUPPORTED_MEDIA_TYPE, message)
            return await handler(TextRequest(request.scope, request.receive))

        return strict


class TextRequest(Request):
    """Its JSON holds text that can be written down: UTF-8 has nothing for half of a surrogate pair by itself."""

    async def json(self) -> Any:
        """The body; raises ``json.JSONDecodeError``, which alone is answered with its reason."""
        try:
            found = await super().json()
        except json.JSONDecodeError:
            raise
        except (UnicodeDecodeError, RecursionError, ValueError) as error:
            raise json.JSONDecodeError(_unreadable(error), "", 0) from error
        if HALF_OF_A_PAIR.search(await self.body()):
            try:
                json.dumps(found, ensure_ascii=False).encode()
            except UnicodeEncodeError as error:
                half = ascii(error.object[error.start])[1:-1]
                message = f"{half} is half of a character, and stands without the other half"
                raise json.JSONDecodeError(message, "", 0) from error
        return found


def _unreadable(error: Exception) -> str:
    """What Python's reader met that is no fault of grammar."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is 0x{error.object[error.start]:02x}, where UTF-8 has none such"
    if isinstance(error, RecursionError):
        return "it nests too deep"
    return f"a number has more digits than are read, {sys.get_int_max_str_digits()}"


class MergePatchRoute(JsonRoute):
    """A route that reads merge patches, and no JSON that may mean something else."""

    reads = MERGE_PATCH


def is_json(content_type: str, wanted: str = JSON) -> bool:
    """Whether a body so called is JSON of the wanted sort in UTF-8, the only charset that JSON has."""
    message = Message()
    message["content-type"] = content_type
    charset = message.get_param("charset", "utf-8")
    return message.get_content_type() == wanted and isinstance(charset, str) and charset.lower() in UTF8
