"""Nearest neighbours: of another class or the same class by blocks of distances, and a cached search for every k."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import combinations, pairwise, product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.preprocessing.cache import FoldCache

Index: TypeAlias = npt.NDArray[np.int64]
Matrix: TypeAlias = npt.NDArray[np.float64]
Distance: TypeAlias = npt.NDArray[np.float32]

#: Rows on either side of a block of distances: small enough for the cache of a processor.
BLOCK_ROWS = 512
#: Neighbours that are searched at once, including the row itself: the largest `k_neighbors` of the declared spaces, plus 1.
SEARCHED_NEIGHBORS = 16


@dataclass(frozen=True)
class SortedByClass:
    """Rows sorted by class, in a form in which one matrix product gives squared distances.

    Attributes
    ----------
    order : array of shape (n_rows,), int
        Positions of the rows before sorting; every other position is one after sorting.
    classes : tuple of slice
        Rows of each class.
    queries, targets : array of shape (n_rows, n_features + 2), float32
        ``queries[i] @ targets[j]`` is the squared distance of rows i and j.
    """

    order: Index
    classes: tuple[slice, ...]
    queries: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]

    @classmethod
    def from_rows(cls, X: Matrix, y: Index) -> SortedByClass:
        """Sort rows, centre them for precision, and append what turns a product into a squared distance."""
        order = np.argsort(y, kind="stable")
        centred = (X - X.mean(axis=0))[order]
        squares, ones = (centred**2).sum(axis=1, keepdims=True), np.ones((len(X), 1))
        edges = [0, *np.cumsum(np.unique(y, return_counts=True)[1]).tolist()]
        queries, targets = np.hstack([-2 * centred, squares, ones]), np.hstack([centred, ones, squares])
        classes = tuple(slice(start, stop) for start, stop in pairwise(edges))
        return cls(order, classes, queries.astype(np.float32), targets.astype(np.float32))


def nearest_other_class(rows: SortedByClass) -> tuple[Index, Distance]:
    """Find the nearest row of another class.

    Returns
    -------
    neighbors : array of shape (n_rows,), int
        Position of the nearest row of another class.
    distances : array of shape (n_rows,), float32
        Its squared distance.
    """
    neighbors = np.zeros(len(rows.order), dtype=np.int64)
    distances = np.full(len(rows.order), np.inf, dtype=np.float32)

    def update(block: slice, other_block: slice, block_distances: Distance) -> None:
        """Take the nearest rows of another block where they are nearer than those found before."""
        minimum = block_distances.min(axis=1)
        nearer = np.flatnonzero(minimum < distances[block])
        distances[block.start + nearer] = minimum[nearer]
        neighbors[block.start + nearer] = other_block.start + block_distances[nearer].argmin(axis=1)

    for class_rows, other_rows in combinations(rows.classes, 2):
        for block, other_block in product(_blocks(class_rows), _blocks(other_rows)):
            block_distances = rows.queries[block] @ rows.targets[other_block].T
            update(block, other_block, block_distances)
            update(other_block, block, block_distances.T)
    return neighbors, distances


def has_nearer_same_class(
    rows: SortedByClass, queries: Index, distances: Distance, count: int
) -> npt.NDArray[np.bool_]:
    """Test whether rows have `count` other rows of their class nearer than a distance.

    Same-class rows are compared block by block, and a row is left out once it has enough of them.

    Parameters
    ----------
    rows : SortedByClass
        All rows.
    queries : array of int
        Positions of the rows to test.
    distances : array of shape (n_rows,), float32
        Squared distance for each row.
    count : int
        Number of nearer rows.

    Returns
    -------
    array of bool, one per query
    """
    n_nearer = np.zeros(len(rows.order), dtype=np.int64)
    for class_rows in rows.classes:
        pending = queries[(queries >= class_rows.start) & (queries < class_rows.stop)]
        for block in _blocks(class_rows):
            for start in range(0, len(pending), BLOCK_ROWS):
                batch = pending[start : start + BLOCK_ROWS]
                block_distances = rows.queries[batch] @ rows.targets[block].T
                in_block = np.flatnonzero((batch >= block.start) & (batch < block.stop))
                block_distances[in_block, batch[in_block] - block.start] = np.inf  # a row is no neighbour of itself
                n_nearer[batch] += np.count_nonzero(block_distances < distances[batch, None], axis=1)
            pending = pending[n_nearer[pending] < count]
    enough: npt.NDArray[np.bool_] = n_nearer[queries] >= count
    return enough


def _blocks(rows: slice) -> list[slice]:
    return [slice(start, min(start + BLOCK_ROWS, rows.stop)) for start in range(rows.start, rows.stop, BLOCK_ROWS)]


class CachedNeighbors:
    """A neighbour search with scikit-learn's interface whose results are cached by the content of the rows.

    imbalanced-learn accepts such an object in place of an integer and clones it before use; a clone is the object itself,
    so that the cache is shared.

    Parameters
    ----------
    n_neighbors : int
        Neighbours to return, including the row itself; fewer where fewer rows are fitted.
    cache : FoldCache
        Stores the positions of at least `SEARCHED_NEIGHBORS` neighbours, which serve every smaller number.
    """

    def __init__(self, n_neighbors: int, cache: FoldCache) -> None:
        self.n_neighbors = n_neighbors
        self._cache = cache
        self._fit_X: Matrix | None = None
        self._fit_digest = b""

    def fit(self, X: Matrix, y: object = None) -> CachedNeighbors:  # noqa: ARG002 -- sklearn's signature
        """Set the rows to search in, shape (n_rows, n_features)."""
        self._fit_X, self._fit_digest = X, digest_arrays(X)
        return self

    def kneighbors(self, X: Matrix, return_distance: bool = False) -> Index:
        """Find the nearest fitted rows of each row.

        Parameters
        ----------
        X : array of shape (n_queries, n_features)
            Rows.
        return_distance : bool, default False
            Must be False: distances are not cached.

        Returns
        -------
        array of shape (n_queries, n_neighbors), int
            Positions of the fitted rows, nearest first.

        Raises
        ------
        ValueError
            If distances are requested, or before `fit`.
        """
        if return_distance or self._fit_X is None:
            raise ValueError("fit first, and ask for positions alone: distances are not kept")
        fit_X = self._fit_X
        count = min(max(SEARCHED_NEIGHBORS, self.n_neighbors), len(fit_X))
        key = ("neighbours", count, self._fit_digest, digest_arrays(X))
        return self._cache.get(key, lambda: nearest_rows(fit_X, X, count))[:, : self.n_neighbors]

    def kneighbors_graph(self, X: Matrix) -> Any:
        """Return the neighbours as a sparse matrix of ones, shape (n_queries, n_rows): imbalanced-learn requires it."""
        from scipy.sparse import csr_matrix

        neighbors = self.kneighbors(X)
        queries = np.repeat(np.arange(len(neighbors)), neighbors.shape[1])
        n_rows = 0 if self._fit_X is None else len(self._fit_X)
        return csr_matrix((np.ones(neighbors.size), (queries, neighbors.ravel())), shape=(len(X), n_rows))

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 -- sklearn's signature
        """Return no parameters."""
        return {}

    def set_params(self, **params: Any) -> CachedNeighbors:  # noqa: ARG002 -- cleaning sets `n_jobs`, which has no effect
        """Ignore parameters."""
        return self

    def __sklearn_clone__(self) -> CachedNeighbors:
        return self


def nearest_rows(fit_X: Matrix, X: Matrix, count: int) -> Index:
    """Find the `count` nearest rows of `fit_X`, by Euclidean distance, of each row of `X`: positions (n_queries, count)."""
    from sklearn.neighbors import NearestNeighbors

    neighbors: Index = NearestNeighbors(n_neighbors=count).fit(fit_X).kneighbors(X, return_distance=False)
    return neighbors


def digest_arrays(*arrays: npt.NDArray[Any]) -> bytes:
    """Compute a digest of the shape, dtype and content of arrays."""
    hasher = hashlib.blake2b(digest_size=16)
    for array in arrays:
        hasher.update(repr((array.shape, array.dtype.str)).encode())
        hasher.update(np.ascontiguousarray(array).data)
    return hasher.digest()
