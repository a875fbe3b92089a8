"""Moves of bytes that kernels make in one instruction or one call, where numba would look at bounds and signs.

With numba's compiler off they are plain Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # it has no stubs
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic


def _load(bits: int, result: types.Type):  # type: ignore[no-untyped-def]
    """An intrinsic that loads ``bits`` at a position: no wrap-around of negative indices, no alignment, one move."""

    def typed(_context, buf, _pos):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
            array = context.make_array(signature.args[0])(context, builder, args[0])
            word = builder.bitcast(builder.gep(array.data, [args[1]]), ir.IntType(bits).as_pointer())
            loaded = builder.load(word, align=1)
            return loaded if bits == 64 else builder.zext(loaded, ir.IntType(64))

        return result(buf, types.int64), emit

    return intrinsic(typed)


@intrinsic
def _copy(_context, out, _at, buf, _pos, _size):  # type: ignore[no-untyped-def]
    """One memcpy between arrays that do not overlap."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        to, start, source, first, length = args
        target = builder.gep(context.make_array(signature.args[0])(context, builder, to).data, [start])
        origin = builder.gep(context.make_array(signature.args[2])(context, builder, source).data, [first])
        cgutils.raw_memcpy(builder, target, origin, length, 1)
        return context.get_dummy_value()

    return types.none(out, types.int64, buf, types.int64, types.int64), emit


@intrinsic
def _same(_context, one, _at, other, _pos, _size):  # type: ignore[no-untyped-def]
    """One call of the C library's memcmp."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        array, start, source, first, length = args
        left = builder.gep(context.make_array(signature.args[0])(context, builder, array).data, [start])
        right = builder.gep(context.make_array(signature.args[2])(context, builder, source).data, [first])
        pointer = ir.IntType(8).as_pointer()
        memcmp = ir.FunctionType(ir.IntType(32), [pointer, pointer, ir.IntType(64)])
        function = cgutils.get_or_insert_function(builder.module, memcmp, "memcmp")
        found = builder.call(function, [left, right, length])
        return builder.icmp_signed("==", found, ir.IntType(32)(0))

    return types.boolean(one, types.int64, other, types.int64, types.int64), emit


def _plain_same(one: Any, at: Any, other: Any, pos: Any, size: Any) -> bool:
    return bytes(one[at : at + size]) == bytes(other[pos : pos + size])


def _plain_copy(out: Any, at: Any, buf: Any, pos: Any, size: Any) -> None:
    out[at : at + size] = buf[pos : pos + size]


def _plain_byte(buf: Any, pos: Any) -> Any:
    return np.int64(buf[pos])


def _plain_u64(buf: Any, pos: Any) -> Any:
    return buf[pos : pos + 8].view("<u8")[0]


read_byte: Any = _plain_byte if config.DISABLE_JIT else _load(8, types.int64)
"""Byte at a position as int64; the caller has checked the bounds."""
read_u64: Any = _plain_u64 if config.DISABLE_JIT else _load(64, types.uint64)
"""Little-endian 64 bits at a position as uint64; the caller has checked the bounds."""
copy_bytes: Any = _plain_copy if config.DISABLE_JIT else _copy
"""Copy ``buf[pos : pos + size]`` to ``out[at]``; the caller has checked the bounds."""
same_bytes: Any = _plain_same if config.DISABLE_JIT else _same
"""Whether ``size`` bytes of two arrays are the same; the caller has checked the bounds."""
