"""imbalanced-learn's samplers: faster cleaning, cached neighbours, and the meaning of what they raise and return.

Importing this module imports imbalanced-learn, which only cells that resample need.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise, product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE
from imblearn.under_sampling import EditedNearestNeighbours, TomekLinks
from scipy.sparse import issparse

from harness.errors import Inapplicable
from harness.preprocessing.cache import FoldCache, digest_arrays

Index: TypeAlias = npt.NDArray[np.int64]
Matrix: TypeAlias = npt.NDArray[np.float64]
Distance: TypeAlias = npt.NDArray[np.float32]

#: Rows on either side of a block of distances: small enough for the cache of a processor.
BLOCK_ROWS = 512
#: Neighbours that are searched at once, including the row itself: the largest `k_neighbors` of the declared spaces, plus 1.
SEARCHED_NEIGHBORS = 16
#: Messages by which samplers refuse rows that do not suit them. Whatever else they raise is an error like any other.
REFUSAL_MESSAGES = (
    "Not any neigbours belong to the majority",  # ADASYN, spelt so
    "No samples will be generated",  # ADASYN
    "No clusters found with sufficient samples",  # KMeansSMOTE
    "Expected n_neighbors <= n_samples_fit",  # scikit-learn's neighbours, of too few rows
    "The specified ratio required to remove samples",  # a ratio that the rows exceed already
    "needs to have more than 1 class",
)


def run_sampler(sampler: Any, points: Any, y: Index, cache: FoldCache) -> tuple[Any, Index, Index | None]:
    """Run a sampler, accelerated where its type is known.

    Parameters
    ----------
    sampler : object
        Any object with imbalanced-learn's ``fit_resample(X, y)``.
    points : array or sparse matrix of shape (n_rows, n_features)
        Rows to resample.
    y : array of shape (n_rows,), int
        Labels.
    cache : FoldCache
        Cache for the neighbours of the rows.

    Returns
    -------
    points : array or sparse matrix
        The resampled rows.
    y : array of int
        Their labels.
    indices : array of int or None
        Position in the input of each resampled row; None if any of them is new or changed.

    Raises
    ------
    Inapplicable
        If these rows do not suit the sampler. Any other error of the sampler is raised unchanged.
    """
    counts = np.bincount(y)
    min_count = int(counts[counts > 0].min())
    sampler, nested_oversamplers = _accelerate_cleaning_samplers(sampler, is_dense=not issparse(points))
    for nested_oversampler in nested_oversamplers:
        _limit_neighbor_counts(nested_oversampler, points, min_count, cache)
    if nested_oversamplers and min_count < 2:
        message = "the rarest class has one training row, which has no neighbour of its class"
        raise Inapplicable(message, always=True, code="single_row_of_class")
    try:
        sampled_points, sampled_y = sampler.fit_resample(points, y)
    except (ValueError, RuntimeError) as error:
        message = " ".join(str(error).split())
        if any(refusal_message in message for refusal_message in REFUSAL_MESSAGES):
            raise Inapplicable(message, code="refused_by_sampler") from error
        raise
    sampled_counts = np.bincount(sampled_y, minlength=len(counts))
    if ((sampled_counts == 0) & (counts > 0)).any():
        raise Inapplicable("cleaning left no training row of one class", code="no_row_left")
    if nested_oversamplers and min_count < counts.max() and (sampled_counts == counts).all():
        message = "no row could be made: none of a rare class lies near another class"
        raise Inapplicable(message, code="no_row_made")
    return sampled_points, sampled_y, _selected_indices(sampler, points, sampled_points)


def _selected_indices(sampler: Any, points: Any, sampled_points: Any) -> Index | None:
    """Positions of the sampled points if all are unchanged points; a sampler may select points and change them too."""
    sample_indices: Index | None = getattr(sampler, "sample_indices_", None)
    if sample_indices is None or len(sample_indices) != sampled_points.shape[0]:
        return None
    selected_points = points[sample_indices]
    is_equal = (
        (selected_points != sampled_points).nnz == 0
        if issparse(selected_points)
        else np.array_equal(selected_points, sampled_points)
    )
    return sample_indices if is_equal else None


def _accelerate_cleaning_samplers(sampler: Any, is_dense: bool) -> tuple[Any, list[Any]]:
    """Use fast cleaning in a sampler and its steps where points are dense; also return the oversamplers among them."""
    if not hasattr(sampler, "get_params"):
        return sampler, []
    steps = {name: step for name, step in sampler.get_params().items() if hasattr(step, "fit_resample")}
    if is_dense:
        steps = dict(zip(steps, map(use_fast_cleaning, steps.values()), strict=True))
        sampler = use_fast_cleaning(sampler).set_params(**steps)
    return sampler, [step for step in (sampler, *steps.values()) if type(step) in (ADASYN, SMOTE, BorderlineSMOTE)]


def _limit_neighbor_counts(oversampler: Any, points: Any, min_count: int, fold_cache: FoldCache) -> None:
    """Lower the numbers of neighbours to what there are, and cache the neighbours where points are dense."""
    for name, k in oversampler.get_params().items():
        if not name.endswith("_neighbors") or not isinstance(k, int):
            continue
        # `m_neighbors` are searched among all rows, the others (ADASYN's too) among the rows of one class.
        available_neighbors = points.shape[0] - 1 if name == "m_neighbors" else max(1, min_count - 1)
        neighbors: Any = min(k, available_neighbors)
        if not issparse(points):
            neighbors = CachedNeighbors(neighbors + 1, fold_cache)
        oversampler.set_params(**{name: neighbors})


class FastTomekLinks(TomekLinks):  # type: ignore[misc]  # imbalanced-learn ships no types
    """Tomek links as imbalanced-learn defines them, found by `nearest_other_class`.

    Two rows of different classes are linked if each is the nearest row of the other one, of any class.
    """

    def _fit_resample(self, X: Matrix, y: Index) -> tuple[Matrix, Index]:
        rows = SortedByClass.from_rows(X, y)
        neighbors, distances = nearest_other_class(rows)
        is_linked = neighbors[neighbors] == np.arange(len(y))
        is_linked[is_linked] = ~has_nearer_same_class(rows, np.flatnonzero(is_linked), distances, 1)
        is_linked &= is_linked[neighbors] & np.isin(y[rows.order], list(self.sampling_strategy_))
        self.sample_indices_ = np.sort(rows.order[~is_linked])
        return X[self.sample_indices_], y[self.sample_indices_]


class FastEditedNearestNeighbours(EditedNearestNeighbours):  # type: ignore[misc]  # imbalanced-learn ships no types
    """Wilson's editing as imbalanced-learn defines it with `kind_sel="all"`, by `nearest_other_class`.

    A row is removed unless its `n_neighbors` nearest rows are all of its class.
    """

    def _fit_resample(self, X: Matrix, y: Index) -> tuple[Matrix, Index]:
        rows = SortedByClass.from_rows(X, y)
        _, distances = nearest_other_class(rows)
        is_removable = np.isin(y[rows.order], list(self.sampling_strategy_))
        is_removable[is_removable] = ~has_nearer_same_class(
            rows, np.flatnonzero(is_removable), distances, self.n_neighbors
        )
        self.sample_indices_ = rows.order[~is_removable]  # class by class, as imbalanced-learn orders them
        return X[self.sample_indices_], y[self.sample_indices_]


def use_fast_cleaning(sampler: Any) -> Any:
    """Replace a cleaning sampler by its faster equivalent, with equal parameters; return any other sampler unchanged."""
    if type(sampler) is TomekLinks:
        return FastTomekLinks(**sampler.get_params())
    if type(sampler) is EditedNearestNeighbours and sampler.kind_sel == "all" and isinstance(sampler.n_neighbors, int):
        return FastEditedNearestNeighbours(**sampler.get_params())
    return sampler


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
        class_order = np.argsort(y, kind="stable")
        centred_rows = (X - X.mean(axis=0))[class_order]
        squared_norms, ones = (centred_rows**2).sum(axis=1, keepdims=True), np.ones((len(X), 1))
        edges = [0, *np.cumsum(np.unique(y, return_counts=True)[1]).tolist()]
        query_factors, targets = (
            np.hstack([-2 * centred_rows, squared_norms, ones]),
            np.hstack([centred_rows, ones, squared_norms]),
        )
        classes = tuple(slice(first_row, next_class_row) for first_row, next_class_row in pairwise(edges))
        return cls(class_order, classes, query_factors.astype(np.float32), targets.astype(np.float32))


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

    def update(query_block: slice, other_block: slice, block_distances: Distance) -> None:
        """Take the nearest rows of another block where they are nearer than those found before."""
        block_minimum = block_distances.min(axis=1)
        nearer_rows = np.flatnonzero(block_minimum < distances[query_block])
        distances[query_block.start + nearer_rows] = block_minimum[nearer_rows]
        neighbors[query_block.start + nearer_rows] = other_block.start + block_distances[nearer_rows].argmin(axis=1)

    for class_rows, other_rows in combinations(rows.classes, 2):
        for query_block, other_block in product(_split_into_blocks(class_rows), _split_into_blocks(other_rows)):
            block_distances = rows.queries[query_block] @ rows.targets[other_block].T
            update(query_block, other_block, block_distances)
            update(other_block, query_block, block_distances.T)
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
        pending_queries = queries[(queries >= class_rows.start) & (queries < class_rows.stop)]
        for row_block in _split_into_blocks(class_rows):
            for first_row in range(0, len(pending_queries), BLOCK_ROWS):
                batch = pending_queries[first_row : first_row + BLOCK_ROWS]
                block_distances = rows.queries[batch] @ rows.targets[row_block].T
                queries_in_block = np.flatnonzero((batch >= row_block.start) & (batch < row_block.stop))
                block_distances[queries_in_block, batch[queries_in_block] - row_block.start] = (
                    np.inf
                )  # a row is no neighbour of itself
                n_nearer[batch] += np.count_nonzero(block_distances < distances[batch, None], axis=1)
            pending_queries = pending_queries[n_nearer[pending_queries] < count]
    has_enough_neighbors: npt.NDArray[np.bool_] = n_nearer[queries] >= count
    return has_enough_neighbors


def _split_into_blocks(rows: slice) -> list[slice]:
    return [
        slice(first_row, min(first_row + BLOCK_ROWS, rows.stop))
        for first_row in range(rows.start, rows.stop, BLOCK_ROWS)
    ]


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
        query_rows = np.repeat(np.arange(len(neighbors)), neighbors.shape[1])
        n_rows = 0 if self._fit_X is None else len(self._fit_X)
        return csr_matrix((np.ones(neighbors.size), (query_rows, neighbors.ravel())), shape=(len(X), n_rows))

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
