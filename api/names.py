"""Words that a request may name, of which there is a list: any other is refused with all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection


def among(names: Collection[str]) -> Callable[[str], str]:
    """A validator of pydantic's that takes these alone, and tells them in their order."""

    def known(name: str) -> str:
        if name not in names:
            message = f"must be one of {', '.join(names)}"
            raise ValueError(message)
        return name

    return known
