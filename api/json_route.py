"""Routes whose body must be called JSON: what is called something else may mean something else, as a merge patch."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.problems import ApiError, Code

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
UTF8 = ("utf-8", "utf8")


class JsonRoute(APIRoute):
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
            return await handler(request)

        return strict


class MergePatchRoute(JsonRoute):
    """A route that reads merge patches, and no JSON that may mean something else."""

    reads = MERGE_PATCH


def is_json(content_type: str, wanted: str = JSON) -> bool:
    """Whether a body so called is JSON of the wanted sort in UTF-8, the only charset that JSON has."""
    message = Message()
    message["content-type"] = content_type
    charset = message.get_param("charset", "utf-8")
    return message.get_content_type() == wanted and isinstance(charset, str) and charset.lower() in UTF8
