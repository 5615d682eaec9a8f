"""What does not depend on the trial is computed once per fold, or per worker, and kept in memory within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


class FoldCache:
    """A memo of one fold: the values used longest ago go first once `most_bytes` are held."""

    def __init__(self, most_bytes: int = 300_000_000) -> None:
        self.most_bytes = most_bytes
        self.held = 0
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The value of this key, computed where it is not held."""
        if key in self._values:
            self._values.move_to_end(key)
            value: T = self._values[key][0]
            return value
        value = sealed(compute())
        size = size_of(value)
        self._values[key] = (value, size)
        self.held += size
        while self.held > self.most_bytes and len(self._values) > 1:
            self.held -= self._values.popitem(last=False)[1][1]
        return value


def sealed(value: T) -> T:
    """The same value with its arrays made read-only: whoever changed one in place would change it for later trials."""
    if hasattr(value, "setflags"):
        value.setflags(write=False)
    elif isinstance(value, (tuple, list)):
        for one in value:
            sealed(one)
    elif hasattr(value, "indptr"):
        sealed(_sparse_parts(value))
    elif is_dataclass(value):
        for field in fields(value):
            sealed(getattr(value, field.name))
    return value


def size_of(value: Any) -> int:
    """Roughly the bytes of arrays and frames inside a value."""
    if hasattr(value, "nbytes"):
        return int(value.nbytes)
    if hasattr(value, "memory_usage"):
        return int(value.memory_usage(deep=False).sum())
    if hasattr(value, "indptr"):
        return size_of(_sparse_parts(value))
    if isinstance(value, (tuple, list, dict)):
        return sum(size_of(one) for one in (value.values() if isinstance(value, dict) else value))
    if is_dataclass(value):
        return sum(size_of(getattr(value, field.name)) for field in fields(value))
    return 0


def _sparse_parts(matrix: Any) -> list[Any]:
    """The arrays that a compressed sparse matrix is made of."""
    return [matrix.data, matrix.indices, matrix.indptr]
