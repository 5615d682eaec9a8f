"""A memo on disk of what a frozen function makes of rows, found by what the rows hold.

What a pretrained network makes of a picture never changes, and takes longer than anything that is then done with it: it
is computed once on a machine, whatever the task, the fold or the process.

One SQLite file for each function lies in the folder `features` of the cache. Its transactions are what keeps processes
apart: readers are never held up, and whoever computes holds the file's write lock, so that another process waits and
then finds the rows. What goes wrong with the file costs time, not the result.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.data.sources import cache_dir

MOST_BYTES = 2_000_000_000  #: of all files together; those used longest ago go first
PATIENCE = 3600.0  #: seconds that one process waits for what another one is computing
AT_ONCE = 500  # keys in a query
#: SQLite's words for a file that is not, or no longer, a database.
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Array: TypeAlias = npt.NDArray[Any]


def remembered(what: str, rows: Array, compute: Callable[[Array], Array]) -> Array:
    """`compute(rows)`, an array of one item per row (n, …), but only for rows that no process has computed before.

    `what` names the function with everything that its result depends on besides the rows; `compute` must give each row
    the same, whatever stands beside it. Rows (n, …) are found by their bytes and shape, equal ones computed once. What is
    kept comes back to the bit, in the dtype that `compute` chose.

    A file that is damaged is forgotten, one that cannot be written done without: both are said in a warning, once.
    """
    if len(rows) == 0:
        return compute(rows)
    keys = [_digest(f"{row.dtype} {row.shape}".encode(), row.tobytes()) for row in rows]
    place = {key: at for at, key in reversed(list(enumerate(keys)))}
    with closing(
        _Shelf(cache_dir() / "features" / f"{hashlib.sha256(what.encode()).hexdigest()[:24]}.sqlite")
    ) as shelf:
        found = shelf.read(place)
        if len(found) < len(place):
            shelf.claim()  # waits for a process that computes: what is missing may be there afterwards
            found |= shelf.read([key for key in place if key not in found])
            if missing := [key for key in place if key not in found]:
                made = compute(rows[[place[key] for key in missing]])
                found |= dict(zip(missing, made, strict=True))
                shelf.write({key: found[key] for key in missing})
    return np.stack([found[key] for key in keys])


class _Shelf:
    """A file of what was made. Where SQLite refuses, it says so and from then on holds nothing and takes nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)
        self._run("PRAGMA journal_mode = WAL")
        self._run("CREATE TABLE IF NOT EXISTS made (key BLOB PRIMARY KEY, form TEXT, item BLOB, proof BLOB)")

    def read(self, keys: Iterable[bytes]) -> dict[bytes, Array]:
        """What is kept of these rows; an item that is not what was written counts as missing."""
        wanted, found = list(keys), {}
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            query = f"SELECT key, form, item, proof FROM made WHERE key IN ({','.join('?' * len(some))})"  # noqa: S608
            for key, form, item, proof in self._run(query, some):
                if isinstance(form, str) and isinstance(item, bytes) and proof == _digest(form.encode(), item):
                    dtype, *shape = form.split()
                    found[key] = np.frombuffer(item, dtype).reshape([int(length) for length in shape])
        return found

    def claim(self) -> None:
        """Wait until nobody else computes, and let others wait until this shelf is closed."""
        self._run("BEGIN IMMEDIATE")

    def write(self, made: dict[bytes, Array]) -> None:
        """Keep what was made, all or nothing, within the bound."""
        size = sum(item.nbytes for item in made.values())
        if size > MOST_BYTES:
            return
        if self._held() + size > MOST_BYTES:
            self._run("DELETE FROM made")
        for key, item in made.items():
            form, content = " ".join([item.dtype.str, *map(str, item.shape)]), item.tobytes()
            self._run(
                "INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?)", (key, form, content, _digest(form.encode(), content))
            )
        self._run("COMMIT")

    def close(self) -> None:
        """Let go of the file, undoing what was not committed; older files make room where all are too large."""
        if self._database is not None:
            self._database.close()
            with suppress(OSError):  # another process may just have removed one
                os.utime(self.path)
                _make_room(self.path)

    def _held(self) -> int:
        held = "SELECT (page_count - freelist_count) * page_size"
        return sum(
            size for (size,) in self._run(f"{held} FROM pragma_page_count, pragma_freelist_count, pragma_page_size")
        )

    def _run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        if self._database is None:
            return []
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return []

    def _give_up(self, error: Exception) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED:
            with suppress(OSError):
                self.path.unlink()  # the log beside it goes when SQLite finds it without its file
            _say(f"{self.path} was damaged and is forgotten: the features in it are computed anew")
        else:
            _say(
                f"features cannot be kept in {self.path} ({error}) and are computed each time: mend that, or set EVENHAND_CACHE"
            )


def _make_room(path: Path) -> None:
    """Remove the files used longest ago, this one never, until all together are within the bound."""
    files = sorted(path.parent.glob("*.sqlite"), key=lambda file: file.stat().st_mtime)
    held = sum(file.stat().st_size for file in files)
    for file in files:
        if held > MOST_BYTES and file != path:
            held -= file.stat().st_size
            file.unlink()


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.digest()


@cache
def _say(what: str) -> None:
    warnings.warn(what, stacklevel=2)
