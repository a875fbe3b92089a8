"""What kafka-python 3.0.12 gets wrong, put right before the first client is made.

It makes a class for each version of a response when the first such response is sent for, and every class that it makes
takes its message's place in a table of weak references. Two threads that ask at the same moment make the class twice;
when the one that is dropped stands in the table, no client of this process understands that response again
(``ReferenceError: weakly-referenced object no longer exists``), until the process is started anew.
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.api_header import ResponseClassRegistry


def keep_first_registered() -> None:
    """Let the class that a module defines, which lives as long as the process, keep its place in the table."""

    def register(response_class: Any) -> None:
        table = ResponseClassRegistry._response_class_registry  # noqa: SLF001 - there is no other way in
        table.setdefault(response_class.API_KEY, response_class)

    ResponseClassRegistry.register_response_class = register
