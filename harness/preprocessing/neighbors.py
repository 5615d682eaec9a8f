"""Nearest neighbours found once per fold for the largest k, and handed to imbalanced-learn's samplers for every k."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
import numpy.typing as npt
from imblearn.under_sampling import EditedNearestNeighbours, TomekLinks

from harness.preprocessing.cache import FoldCache

Index = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]
Distance = npt.NDArray[np.float32]

#: Rows on either side of a block of distances: small enough for a processor's cache.
BLOCK = 512


class QuickTomekLinks(TomekLinks):  # type: ignore[misc]  # imbalanced-learn ships no types
    """Tomek links as imbalanced-learn defines them, found by `nearest_enemies`."""

    def _fit_resample(self, X: Matrix, y: Index) -> tuple[Matrix, Index]:
        crowd = Crowd.of(X, y)
        enemy, distance = nearest_enemies(crowd)
        linked = enemy[enemy] == np.arange(len(y))
        linked[linked] = ~friends_nearer(crowd, np.flatnonzero(linked), distance, 1)
        linked &= linked[enemy] & np.isin(y[crowd.order], list(self.sampling_strategy_))
        self.sample_indices_ = np.sort(crowd.order[~linked])
        return X[self.sample_indices_], y[self.sample_indices_]


class QuickEditedNearestNeighbours(EditedNearestNeighbours):  # type: ignore[misc]  # imbalanced-learn ships no types
    """Wilson's editing as imbalanced-learn defines it with `kind_sel="all"`, by `nearest_enemies`."""

    def _fit_resample(self, X: Matrix, y: Index) -> tuple[Matrix, Index]:
        crowd = Crowd.of(X, y)
        _, distance = nearest_enemies(crowd)
        removed = np.isin(y[crowd.order], list(self.sampling_strategy_))
        removed[removed] = ~friends_nearer(crowd, np.flatnonzero(removed), distance, self.n_neighbors)
        self.sample_indices_ = crowd.order[~removed]  # class by class, as imbalanced-learn orders them
        return X[self.sample_indices_], y[self.sample_indices_]


def quick(sampler: Any) -> Any:
    """The same cleaning step the quicker way; any other sampler as it is."""
    if type(sampler) is TomekLinks:
        return QuickTomekLinks(**sampler.get_params())
    if type(sampler) is EditedNearestNeighbours and sampler.kind_sel == "all" and isinstance(sampler.n_neighbors, int):
        return QuickEditedNearestNeighbours(**sampler.get_params())
    return sampler


@dataclass(frozen=True)
class Crowd:
    """Rows sorted by class, prepared so that one matrix product gives squared distances.

    `order` (n,) are the rows' positions before sorting; every other position here is one after it.
    """

    order: Index
    classes: tuple[slice, ...]
    left: npt.NDArray[np.float32]
    right: npt.NDArray[np.float32]

    @classmethod
    def of(cls, X: Matrix, y: Index) -> Crowd:
        """Sort the rows, centre them for precision, and append what turns a product into a squared distance."""
        order = np.argsort(y, kind="stable")
        centred = (X - X.mean(axis=0))[order]
        square, one = (centred**2).sum(axis=1, keepdims=True), np.ones((len(X), 1))
        edges = [0, *np.cumsum(np.unique(y, return_counts=True)[1]).tolist()]
        classes = tuple(slice(*edge) for edge in pairwise(edges))
        left, right = np.hstack([-2 * centred, square, one]), np.hstack([centred, one, square])
        return cls(order, classes, left.astype(np.float32), right.astype(np.float32))


def nearest_enemies(crowd: Crowd) -> tuple[Index, Distance]:
    """The nearest row of another class of every row: its position and its squared distance."""
    enemy, distance = np.zeros(len(crowd.order), dtype=np.int64), np.full(len(crowd.order), np.inf, dtype=np.float32)
    for one, other in combinations(crowd.classes, 2):
        for rows, others in product(_blocks(one), _blocks(other)):
            between = crowd.left[rows] @ crowd.right[others].T
            for mine, theirs, table in ((rows, others, between), (others, rows, between.T)):
                nearest = table.min(axis=1)
                nearer = np.flatnonzero(nearest < distance[mine])
                distance[mine.start + nearer] = nearest[nearer]
                enemy[mine.start + nearer] = theirs.start + table[nearer].argmin(axis=1)
    return enemy, distance


def friends_nearer(crowd: Crowd, rows: Index, distance: Distance, count: int) -> npt.NDArray[np.bool_]:
    """Whether each of `rows` has at least `count` other rows of its class nearer than its squared `distance`.

    Friends are gone through block by block, and a row that has enough of them is asked no more.
    """
    found = np.zeros(len(crowd.order), dtype=np.int64)
    for one in crowd.classes:
        asked = rows[(rows >= one.start) & (rows < one.stop)]
        for friends in _blocks(one):
            for start in range(0, len(asked), BLOCK):
                some = asked[start : start + BLOCK]
                between = crowd.left[some] @ crowd.right[friends].T
                itself = np.flatnonzero((some >= friends.start) & (some < friends.stop))
                between[itself, some[itself] - friends.start] = np.inf
                found[some] += np.count_nonzero(between < distance[some, None], axis=1)
            asked = asked[found[asked] < count]
    enough: npt.NDArray[np.bool_] = found[rows] >= count
    return enough


def _blocks(rows: slice) -> list[slice]:
    return [slice(start, min(start + BLOCK, rows.stop)) for start in range(rows.start, rows.stop, BLOCK)]


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
