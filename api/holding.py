"""What a handler asks for that needs what the process holds."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from api.context import Context


async def context_of(request: Request) -> Context:
    """What the process holds."""
    context: Context = request.app.state.context
    return context


Holding = Annotated[Context, Depends(context_of)]
