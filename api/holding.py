"""What a handler asks for that needs what the process holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from api.context import ANOMALIES, FEEDBACK, STATUS, Context


async def context_of(request: Request) -> Context:
    """What the process holds."""
    context: Context = request.app.state.context
    return context


def _having_read(name: str) -> Callable[[Request], Awaitable[Context]]:
    """The same, once a topic has been read; raises ``Loading`` before."""

    async def having_read(request: Request) -> Context:
        context = await context_of(request)
        context.require(name)
        return context

    return having_read


Holding = Annotated[Context, Depends(context_of)]
HoldingAnomalies = Annotated[Context, Depends(_having_read(ANOMALIES))]
HoldingRules = Annotated[Context, Depends(_having_read(FEEDBACK))]
HoldingStatus = Annotated[Context, Depends(_having_read(STATUS))]
