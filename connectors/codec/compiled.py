"""Kernels, compiled by numba at their first call, until when numba is not even imported.

To import it takes half a second of the processor. The api reads configs and the demo encodes samples with modules in
which kernels stand, and most of these processes never call one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from threading import RLock
from typing import Any

_settling = RLock()
"""Kernels may be called first by several threads at the same time."""


class Deferred:
    """Stands for what ``make`` gives, in the module whose ``names`` are given and in those that import it from there.

    At the first call all that stand in the module are made and take their own names, after those of other modules that
    it imports: numba compiles into a kernel whatever it finds under the names that this uses.
    """

    def __init__(self, make: Callable[[], Any], names: dict[str, Any]) -> None:
        self.make = make
        self.names = names
        self.made: Any = None

    def __call__(self, *args: Any) -> Any:
        """Call what it stands for."""
        if self.made is None:
            with _settling:
                _settle(self.names)
                self.made = self.made or self.make()  # for who took it out of its module
        return self.made(*args)


def _settle(names: dict[str, Any]) -> None:
    standing = {name: value for name, value in names.items() if isinstance(value, Deferred)}
    for one in standing.values():
        if one.names is not names:
            _settle(one.names)
    made = {one: one.made or one.make() for one in set(standing.values())}
    names.update({name: made[one] for name, one in standing.items()})  # all at once, as other threads see them
    for one, its in made.items():
        one.made = its


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Numba's decorator, with its options, for functions of modules."""

    def deferred(function: Callable[..., Any]) -> Any:
        def make() -> Any:
            import numba

            return numba.njit(**options)(function)

        return update_wrapper(Deferred(make, function.__globals__), function)

    return deferred
