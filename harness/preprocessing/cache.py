"""Cache in memory, of bounded size, for what does not depend on the trial: one per fold, or one per worker."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


class FoldCache:
    """A cache that evicts the least recently used entries.

    Parameters
    ----------
    max_bytes : int, default 300_000_000
        Bound for the arrays and frames in the cache; the most recent entry is kept even if it is larger.
    """

    def __init__(self, max_bytes: int = 300_000_000) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the entry of a key, computed if it is not in the cache; its arrays are read-only."""
        if key in self._entries:
            self._entries.move_to_end(key)
            cached: T = self._entries[key][0]
            return cached
        entry = make_read_only(compute())
        n_bytes = count_bytes(entry)
        self._entries[key] = (entry, n_bytes)
        self.n_bytes += n_bytes
        while self.n_bytes > self.max_bytes and len(self._entries) > 1:
            _, (_, evicted_bytes) = self._entries.popitem(last=False)
            self.n_bytes -= evicted_bytes
        return entry


def make_read_only(entry: T) -> T:
    """Make the arrays inside an entry read-only and return it: a change in place would change it for later trials."""
    if hasattr(entry, "setflags"):
        entry.setflags(write=False)
        return entry
    for part in _parts(entry):
        make_read_only(part)
    return entry


def count_bytes(entry: Any) -> int:
    """Count the bytes of the arrays and frames inside an entry, approximately."""
    if hasattr(entry, "nbytes"):
        return int(entry.nbytes)
    if hasattr(entry, "memory_usage"):
        return int(entry.memory_usage(deep=False).sum())
    return sum(map(count_bytes, _parts(entry)))


def _parts(entry: Any) -> list[Any]:
    """Parts of a container, a compressed sparse matrix or a dataclass; none of anything else."""
    if isinstance(entry, dict):
        return list(entry.values())
    if isinstance(entry, (tuple, list)):
        return list(entry)
    if hasattr(entry, "indptr"):
        return [entry.data, entry.indices, entry.indptr]
    if is_dataclass(entry):
        return [getattr(entry, field.name) for field in fields(entry)]
    return []
