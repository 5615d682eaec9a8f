"""Hashes of the content of a table, and of each of its rows."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from typing import TYPE_CHECKING

from harness.registry.task import Features, Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def fingerprint(table: Table) -> str:
    """Hash everything that a score can depend on: features, target, classes, groups, time, test rows.

    Returns
    -------
    str
        SHA-256 as 64 hexadecimal digits, equal on every machine.
    """
    X = table.X
    columns = list(X.columns) if hasattr(X, "columns") else str(X.dtype)
    digest = hashlib.sha256(json.dumps([columns, table.classes, X.shape]).encode())
    for part in _feature_bytes(X):
        digest.update(part)
    for rows in (table.y, table.groups, table.time, table.test):
        digest.update(b"none" if rows is None else rows.astype("<i8").tobytes())
    return digest.hexdigest()


def row_keys(X: Features) -> npt.NDArray[np.uint64]:
    """Hash every row, so that rows with equal features have equal keys.

    -0 equals 0 and missing equals missing; texts that differ only in case or white space are equal, because a copy of a
    row must not be on the other side of a split.

    Returns
    -------
    ndarray of uint64, shape (n,)
    """
    import numpy as np
    import pandas as pd

    if hasattr(X, "columns"):
        columns = {}
        for name, column in X.items():
            columns[name] = column if column.dtype == "category" else column + 0.0  # -0.0 becomes 0.0
        return np.asarray(pd.util.hash_pandas_object(pd.DataFrame(columns), index=False), dtype=np.uint64)
    hashes = bytearray()
    for row in X:
        content = _normalized(row).encode(errors="surrogatepass") if X.ndim == 1 else row.tobytes()
        hashes += hashlib.blake2b(content, digest_size=8).digest()
    return np.frombuffer(bytes(hashes), dtype="<u8").astype(np.uint64)


def _normalized(text: str) -> str:
    """Normalise a text: lower case, single spaces, no invisible characters, one form of each letter."""
    visible = [char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf"]
    return " ".join("".join(visible).casefold().split())


def _feature_bytes(X: Features) -> list[bytes]:
    """Serialise the features, equal on every machine."""
    import numpy as np

    if not hasattr(X, "columns"):
        return [X.tobytes() if X.ndim > 1 else json.dumps(X.tolist()).encode()]
    parts = []
    for _, column in X.items():
        if column.dtype == "category":
            parts.append(json.dumps(list(column.cat.categories)).encode())
            parts.append(column.cat.codes.to_numpy("<i4").tobytes())
        else:
            numbers = column.to_numpy("<f8") + 0.0  # -0.0 becomes 0.0
            parts.append(np.where(np.isnan(numbers), np.nan, numbers).tobytes())  # one of the many NaN there are
    return parts
