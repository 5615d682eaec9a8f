"""Nearest neighbours found once per fold for the largest k, and handed to imbalanced-learn's samplers for every k."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.search.fold_cache import FoldCache

#: So many are found at once, the row itself among them: the largest `k_neighbors` of the declared spaces, and one.
AT_ONCE = 16


class FoldNeighbours:
    """A neighbour search in scikit-learn's manner that looks its answers up by the content of the rows.

    imbalanced-learn takes such an object in place of an integer and clones it before use; a clone is the object itself,
    so that the memo survives. It answers `n_neighbors` columns of positions, fewer where fewer rows were fitted.
    """

    def __init__(self, n_neighbors: int, memo: FoldCache) -> None:
        self.n_neighbors = n_neighbors
        self._memo = memo
        self._fitted: npt.NDArray[np.float64] | None = None
        self._digest = b""

    def fit(self, X: npt.NDArray[np.float64], y: object = None) -> FoldNeighbours:  # noqa: ARG002 -- sklearn's signature
        """Remember the rows to search among."""
        self._fitted, self._digest = X, digest(X)
        return self

    def kneighbors(self, X: npt.NDArray[np.float64], return_distance: bool = False) -> npt.NDArray[np.int64]:
        """Positions of the nearest fitted rows, nearest first, shape (n, k)."""
        if return_distance or self._fitted is None:
            raise ValueError("fit first, and ask for positions alone: distances are not kept")
        fitted = self._fitted
        count = min(max(AT_ONCE, self.n_neighbors), len(fitted))
        found = self._memo.get(("neighbours", count, self._digest, digest(X)), lambda: nearest(fitted, X, count))
        return found[:, : self.n_neighbors]

    def kneighbors_graph(self, X: npt.NDArray[np.float64]) -> Any:
        """The same as a sparse matrix of ones, shape (n, fitted rows): imbalanced-learn asks that it exists."""
        from scipy.sparse import csr_matrix

        found = self.kneighbors(X)
        rows = np.repeat(np.arange(len(found)), found.shape[1])
        fitted = 0 if self._fitted is None else len(self._fitted)
        return csr_matrix((np.ones(found.size), (rows, found.ravel())), shape=(len(X), fitted))

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 -- sklearn's signature
        """Nothing that could be set."""
        return {}

    def set_params(self, **params: Any) -> FoldNeighbours:  # noqa: ARG002 -- cleaning sets `n_jobs`, which brings nothing
        """Take no parameter."""
        return self

    def __sklearn_clone__(self) -> FoldNeighbours:
        return self


def nearest(fitted: npt.NDArray[np.float64], rows: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Positions of the `count` nearest fitted rows of every row, by Euclidean distance."""
    from sklearn.neighbors import NearestNeighbors

    found: npt.NDArray[np.int64] = (
        NearestNeighbors(n_neighbors=count).fit(fitted).kneighbors(rows, return_distance=False)
    )
    return found


def digest(*arrays: npt.NDArray[Any]) -> bytes:
    """A fingerprint of the content of arrays."""
    hasher = hashlib.blake2b(digest_size=16)
    for array in arrays:
        hasher.update(repr((array.shape, array.dtype.str)).encode())
        hasher.update(np.ascontiguousarray(array).data)
    return hasher.digest()
