"""Python objects as the memory of a kind: one model per row, beside columns as everywhere, and how they are saved.

A snapshot holds each model as pickled bytes in a column of its own, with the version of the library that made it:
another version may read them otherwise, so it is refused.
"""

from __future__ import annotations

import io
import pickle
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from flows.detectors.base import Column, Ints, Table

MODEL = "model"
END = b"."
"""Last byte of each saved model: numpy's byte strings lose zeros at their end."""
_LEVEL = 1  # of zlib: half the bytes of a forest at a tenth of the time that pickling takes


class ModelVersionError(ValueError):
    """A snapshot whose models were made by another version of their library."""


@runtime_checkable
class Modelled(Protocol):
    """What a kind offers besides, if its memory is a Python object per row: how many of them it may have."""

    @property
    def max_models(self) -> int:
        """Models of one detector on one partition."""
        ...


Reduce = Callable[[Any], Any]
"""As ``pickle.Pickler.reducer_override``: how an object is told in few words, ``NotImplemented`` for the usual ones."""


class ModelTable(Table):
    """A table with a column of objects, ``model``: 0 where there is none."""

    def __init__(self, columns: Sequence[Column], rows: int, model_bytes: int, reduce: Reduce) -> None:
        super().__init__((Column(MODEL, object), *columns), rows)
        self._model_bytes, self._reduce = model_bytes, reduce

    def save(self, rows: Ints) -> dict[str, NDArray[Any]]:
        """As any table; models as bytes, which are never the live objects."""
        columns = super().save(rows)
        saved = [dump(model, self._reduce) if model else b"" for model in columns[MODEL].tolist()]
        columns[MODEL] = np.array(saved, f"S{max(map(len, saved), default=1) or 1}")
        return columns

    def load(self, rows: Ints, columns: Mapping[str, NDArray[Any]]) -> None:
        """As any table; raises ``ModelVersionError``."""
        models = np.zeros(len(rows), object)
        models[:] = [load(raw) if raw else 0 for raw in columns[MODEL].tolist()]
        super().load(rows, {**columns, MODEL: models})

    @property
    def size_bytes(self) -> int:
        """Memory of all arrays, and about that of the models."""
        return super().size_bytes + self._model_bytes * int(np.count_nonzero(self[MODEL]))


class _Pickler(pickle.Pickler):
    def __init__(self, into: io.BytesIO, reduce: Reduce) -> None:
        super().__init__(into, protocol=5)
        self._tell = reduce

    def reducer_override(self, obj: Any) -> Any:
        return self._tell(obj)


def dump(model: Any, reduce: Reduce) -> bytes:
    """A model with its library's version."""
    into = io.BytesIO()
    _Pickler(into, reduce).dump(model)
    return b"%s\0%s%s" % (_library().encode(), zlib.compress(into.getbuffer(), _LEVEL), END)


def load(raw: bytes) -> Any:
    """The model; raises ``ModelVersionError``."""
    made_by, _, packed = raw.partition(b"\0")
    if made_by != _library().encode():
        message = (
            f"the snapshot holds models of {made_by.decode(errors='replace')}, but {_library()} is installed: "
            "install that version again, or begin with an empty recovery store"
        )
        raise ModelVersionError(message)
    return pickle.loads(zlib.decompress(packed[: -len(END)]))  # noqa: S301 - of the recovery store, which Bytewax unpickles too


@cache
def _library() -> str:
    return f"river {version('river')}"
