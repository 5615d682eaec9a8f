"""Two caches: in memory, of bounded size, for what does not depend on the trial; on disk, for features of images."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from harness.data.sources import cache_directory

MAX_BYTES = 2_000_000_000  #: of all files together; the least recently used are removed first
LOCK_TIMEOUT_SECONDS = 3600.0  #: how long a process waits for features that another one is computing
QUERY_SIZE = 500  #: keys per query
#: Error codes of SQLite for a file that is not, or no longer, a database.
DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Array: TypeAlias = npt.NDArray[Any]


def cached_features(function_key: str, rows: Array, compute: Callable[[Array], Array]) -> Array:
    """Compute the features of rows, or read them where any process computed them before.

    A damaged file is deleted, and an unwritable one is not used: either is reported by one warning.

    Parameters
    ----------
    function_key : str
        Names the function with everything that its output depends on besides the rows.
    rows : array of shape (n_rows, …)
        Rows, identified by bytes, dtype and shape; equal rows are computed once.
    compute : callable
        Computes an array (n, …) from an array of n rows; the output of a row must not depend on the other rows.

    Returns
    -------
    array of shape (n_rows, …)
        The features, identical to the bit to what `compute` returned, in its dtype.
    """
    if len(rows) == 0:
        return compute(rows)
    keys = [_digest_bytes(f"{row.dtype} {row.shape}".encode(), row.tobytes()) for row in rows]
    first_row = dict(zip(reversed(keys), reversed(range(len(keys))), strict=True))
    name = hashlib.sha256(function_key.encode()).hexdigest()[:24]
    with closing(_FeatureCacheFile(cache_directory() / "features" / f"{name}.sqlite")) as file:
        features = file.read(first_row)
        if len(features) < len(first_row):
            file.lock()  # waits for a process that computes, which may have added the missing rows by then
            features |= file.read(first_row.keys() - features.keys())
            if missing_keys := [key for key in first_row if key not in features]:
                computed_features = dict(
                    zip(missing_keys, compute(rows[[first_row[key] for key in missing_keys]]), strict=True)
                )
                file.write(computed_features)
                features |= computed_features
    return np.stack([features[key] for key in keys])


class _FeatureCacheFile:
    """Features of one function on disk. After an error of SQLite, which is reported, it is empty and stores nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=LOCK_TIMEOUT_SECONDS, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            self._disable(error)
        self._execute("PRAGMA journal_mode = WAL")
        self._execute("CREATE TABLE IF NOT EXISTS made (key BLOB PRIMARY KEY, form TEXT, item BLOB, proof BLOB)")

    def read(self, keys: Iterable[bytes]) -> dict[bytes, Array]:
        """Read the features of rows; damaged ones, whose digest does not match, count as missing."""
        remaining_keys = iter(keys)
        features: dict[bytes, Array] = {}
        while batch := list(islice(remaining_keys, QUERY_SIZE)):
            sql_placeholders = ",".join("?" * len(batch))
            sql_query = f"SELECT key, form, item, proof FROM made WHERE key IN ({sql_placeholders})"  # noqa: S608
            for key, header, feature_bytes, digest in self._execute(sql_query, batch):
                is_typed = isinstance(header, str) and isinstance(feature_bytes, bytes)
                if is_typed and digest == _digest_bytes(header.encode(), feature_bytes):
                    dtype, *shape = header.split()
                    features[key] = np.frombuffer(feature_bytes, dtype).reshape(list(map(int, shape)))
        return features

    def lock(self) -> None:
        """Wait until no other process computes, and block others until this file is closed."""
        self._execute("BEGIN IMMEDIATE")

    def write(self, features: dict[bytes, Array]) -> None:
        """Store features in one transaction, within the bound."""
        n_bytes = sum(array.nbytes for array in features.values())
        if n_bytes > MAX_BYTES:
            return
        sql_query = "SELECT (page_count - freelist_count) * page_size"
        stored_bytes = self._execute(f"{sql_query} FROM pragma_page_count, pragma_freelist_count, pragma_page_size")
        if sum(size for (size,) in stored_bytes) + n_bytes > MAX_BYTES:
            self._execute("DELETE FROM made")
        for key, array in features.items():
            header, feature_bytes = " ".join([array.dtype.str, *map(str, array.shape)]), array.tobytes()
            digest = _digest_bytes(header.encode(), feature_bytes)
            self._execute("INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?)", (key, header, feature_bytes, digest))
        self._execute("COMMIT")

    def close(self) -> None:
        """Close the file, roll back what was not committed, and remove old files if all together are too large."""
        if self._database is not None:
            self._database.close()
            with suppress(OSError):  # another process may just have removed a file
                os.utime(self.path)
                _remove_old_files(self.path)

    def _execute(self, sql_statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        if self._database is None:
            return []
        try:
            return self._database.execute(sql_statement, parameters).fetchall()
        except sqlite3.Error as error:
            self._disable(error)
            return []

    def _disable(self, error: Exception) -> None:
        closed_database, self._database = self._database, None
        if closed_database is not None:
            closed_database.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE_CODES:
            with suppress(OSError):
                self.path.unlink()  # SQLite removes the log of a file that does not exist
            _warn_of_cache_error(f"{self.path} was damaged and is forgotten: the features in it are computed anew")
        else:
            _warn_of_cache_error(
                f"features cannot be kept in {self.path} ({error}) and are computed each time: mend that, or set EVENHAND_CACHE"
            )


def _remove_old_files(current_file: Path) -> None:
    """Remove the least recently used files, except the current one, until all together are within the bound."""
    files = sorted(current_file.parent.glob("*.sqlite"), key=lambda path: path.stat().st_mtime)
    total_bytes = sum(path.stat().st_size for path in files)
    for path in files:
        if total_bytes > MAX_BYTES and path != current_file:
            total_bytes -= path.stat().st_size
            path.unlink()


def _digest_bytes(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"".join(parts), digest_size=16).digest()


@cache
def _warn_of_cache_error(message: str) -> None:
    warnings.warn(message, stacklevel=2)


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
            cached_entry: T = self._entries[key][0]
            return cached_entry
        entry = make_read_only(compute())
        n_bytes = estimate_entry_bytes(entry)
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
    for entry_part in _parts_of_entry(entry):
        make_read_only(entry_part)
    return entry


def estimate_entry_bytes(entry: Any) -> int:
    """Count the bytes of the arrays and frames inside an entry, approximately."""
    if hasattr(entry, "nbytes"):
        return int(entry.nbytes)
    if hasattr(entry, "memory_usage"):
        return int(entry.memory_usage(deep=False).sum())
    return sum(map(estimate_entry_bytes, _parts_of_entry(entry)))


def _parts_of_entry(entry: Any) -> list[Any]:
    """Parts of a container, a compressed sparse matrix or a dataclass; none of anything else."""
    if isinstance(entry, dict):
        return list(entry.values())
    if isinstance(entry, (tuple, list)):
        return list(entry)
    if hasattr(entry, "indptr"):
        return [entry.data, entry.indices, entry.indptr]
    if is_dataclass(entry):
        return [getattr(entry, entry_field.name) for entry_field in fields(entry)]
    return []


def digest_arrays(*arrays: npt.NDArray[Any]) -> bytes:
    """Compute a digest of the shape, dtype and content of arrays."""
    blake_hasher = hashlib.blake2b(digest_size=16)
    for array in arrays:
        blake_hasher.update(repr((array.shape, array.dtype.str)).encode())
        blake_hasher.update(np.ascontiguousarray(array).data)
    return blake_hasher.digest()
