"""What rows hold, as hashes: of a whole table, and of each row."""

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
    """SHA-256 of everything that a result may depend on: rows, target, classes, groups, time, test rows."""
    X = table.X
    columns = list(X.columns) if hasattr(X, "columns") else str(X.dtype)
    digest = hashlib.sha256(json.dumps([columns, table.classes, X.shape]).encode())
    for part in _columns(X):
        digest.update(part)
    for rows in (table.y, table.groups, table.time, table.test):
        digest.update(b"none" if rows is None else rows.astype("<i8").tobytes())
    return digest.hexdigest()


def row_keys(X: Features) -> npt.NDArray[np.uint64]:
    """One number per row (n,), equal where all features are equal (a 64-bit hash).

    -0 equals 0 and missing equals missing; texts that differ in case or spaces alone are equal: a copy is a copy.
    """
    import numpy as np
    import pandas as pd

    if hasattr(X, "columns"):
        same = {name: column if column.dtype == "category" else column + 0.0 for name, column in X.items()}
        return np.asarray(pd.util.hash_pandas_object(pd.DataFrame(same), index=False), dtype=np.uint64)
    rows = (_plain(text).encode(errors="surrogatepass") if X.ndim == 1 else text.tobytes() for text in X)
    hashes = b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in rows)
    return np.frombuffer(hashes, dtype="<u8").astype(np.uint64)


def _plain(text: str) -> str:
    """A text as it looks: small letters, single spaces, no characters that cannot be seen, one form of each letter."""
    seen = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return " ".join(seen.casefold().split())


def _columns(X: Features) -> list[bytes]:
    """The features as bytes, the same on every machine."""
    import numpy as np

    if not hasattr(X, "columns"):
        return [X.tobytes() if X.ndim > 1 else json.dumps(X.tolist()).encode()]
    parts = []
    for _, column in X.items():
        if column.dtype == "category":
            parts += [json.dumps(list(column.cat.categories)).encode(), column.cat.codes.to_numpy("<i4").tobytes()]
        else:
            values = column.to_numpy("<f8") + 0.0  # -0.0 becomes 0.0
            parts.append(np.where(np.isnan(values), np.nan, values).tobytes())  # one NaN of the many there are
    return parts
