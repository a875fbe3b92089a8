"""Numba made to finish only the kernels that Python calls.

Each function that numba compiles gets an entry for Python and one for C, machine code and files in the cache. Most of
ours are called by other kernels alone, which contain their code: all of that took a third of the time of compiling.
How a function is optimised, before other kernels take it in and there, is left as numba does it. To do so only once,
with all that a kernel calls, would be quicker still, but makes some kernels slower by a half and others faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numba
from numba.core import caching, codegen, cpu, dispatcher, lowering, sigutils

KNOWN = (0, 68)
"""The numba whose insides are as taken for granted here; others compile as they always do."""


class Unfinished:
    """Stands for the entry of a function that has none so far."""


_called_by_kernel = ContextVar("called_by_kernel", default=False)
"""Whether what is compiled now is for another kernel."""
_linked = ContextVar("linked", default=False)
"""Whether a library is finished now for those into which it is linked."""
_replaced: set[str] = set()


def finish_entries_only() -> None:
    """Replace, once in a process, what numba does for functions that only kernels call.

    Such a function is compiled anew when Python calls it after all. None can be handed to a kernel as a value.
    """
    if _replaced or numba.config.DISABLE_JIT or numba.version_info.short != KNOWN:
        return
    _replace(dispatcher.Dispatcher, "get_call_template", _while_called_by_kernel(True))
    _replace(dispatcher.Dispatcher, "_compile_for_args", _while_called_by_kernel(False))
    _replace(dispatcher.Dispatcher, "compile", _compile)
    _replace(dispatcher.Dispatcher, "add_overload", _add_overload)
    _replace(lowering.Lower, "create_cpython_wrapper", _unless_called_by_kernel)
    _replace(lowering.Lower, "create_cfunc_wrapper", _never)
    _replace(cpu.CPUContext, "get_executable", _executable)
    _replace(caching.Cache, "save_overload", _save_overload)
    _replace(codegen.CPUCodeLibrary, "add_linking_library", _add_linking_library)
    _replace(codegen.CPUCodeLibrary, "_finalize_final_module", _finalize_final_module)
    _replace(codegen.CPUCodeLibrary, "_optimize_functions", _optimize_functions)


def _replace(owner: Any, name: str, by: Callable[[Any], Any]) -> None:
    setattr(owner, name, by(getattr(owner, name)))
    _replaced.add(name)


@contextmanager
def _set(variable: ContextVar[bool], value: bool) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def _while_called_by_kernel(by_kernel: bool) -> Callable[[Any], Any]:
    def replacing(original: Any) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            with _set(_called_by_kernel, by_kernel):
                return original(self, *args, **kwargs)

        return method

    return replacing


def _unless_called_by_kernel(original: Any) -> Any:
    def create_wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        if not _called_by_kernel.get():
            original(self, *args, **kwargs)

    return create_wrapper


def _never(_original: Any) -> Any:
    return lambda _self: None


def _compile(original: Any) -> Any:
    def compile_signature(self: Any, sig: Any) -> Any:
        args, _ = sigutils.normalize_signature(sig)
        known = self.overloads.get(tuple(args))
        if known is not None and isinstance(known.entry_point, Unfinished) and not _called_by_kernel.get():
            del self.overloads[tuple(args)]
        return original(self, sig)

    return compile_signature


def _add_overload(original: Any) -> Any:
    def add_overload(self: Any, compiled: Any) -> None:
        if isinstance(compiled.entry_point, Unfinished):
            self.overloads[tuple(compiled.signature.args)] = compiled
        else:
            original(self, compiled)

    return add_overload


def _executable(original: Any) -> Any:
    def get_executable(self: Any, *args: Any) -> Any:
        return Unfinished() if _called_by_kernel.get() else original(self, *args)

    return get_executable


def _save_overload(original: Any) -> Any:
    def save_overload(self: Any, sig: Any, compiled: Any) -> None:
        if not isinstance(compiled.entry_point, Unfinished):
            original(self, sig, compiled)

    return save_overload


def _add_linking_library(original: Any) -> Any:
    def add_linking_library(self: Any, library: Any) -> None:
        with _set(_linked, True):
            original(self, library)

    return add_linking_library


def _finalize_final_module(original: Any) -> Any:
    def finalize_final_module(self: Any) -> None:
        if not _linked.get():
            original(self)
            return
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    return finalize_final_module


def _optimize_functions(_original: Any) -> Any:
    def optimize_functions(self: Any, module: Any) -> None:
        module.data_layout = self._codegen._data_layout  # noqa: SLF001
        for function in module.functions:
            if not function.is_declaration:  # numba makes a pass manager for each of these too, which are most
                passes, builder = self._codegen._function_pass_manager()  # noqa: SLF001
                passes.run(function, builder)

    return optimize_functions
