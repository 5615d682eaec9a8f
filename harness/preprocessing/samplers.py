"""imbalanced-learn's samplers: faster cleaning, cached neighbours, and the meaning of what they raise and return.

Importing this module imports imbalanced-learn, which only cells that resample need.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE
from imblearn.under_sampling import EditedNearestNeighbours, TomekLinks
from scipy.sparse import issparse

from harness.errors import Inapplicable
from harness.preprocessing.cache import FoldCache
from harness.preprocessing.neighbors import (
    CachedNeighbors,
    Index,
    Matrix,
    SortedByClass,
    has_nearer_same_class,
    nearest_other_class,
)

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
    sampler, oversamplers = _accelerate_cleaning(sampler, is_dense=not issparse(points))
    for oversampler in oversamplers:
        _limit_neighbors(oversampler, points, min_count, cache)
    if oversamplers and min_count < 2:
        reason = "the rarest class has one training row, which has no neighbour of its class"
        raise Inapplicable(reason, always=True)
    try:
        sampled, sampled_y = sampler.fit_resample(points, y)
    except (ValueError, RuntimeError) as error:
        message = " ".join(str(error).split())
        if any(refusal in message for refusal in REFUSAL_MESSAGES):
            raise Inapplicable(message) from error
        raise
    sampled_counts = np.bincount(sampled_y, minlength=len(counts))
    if ((sampled_counts == 0) & (counts > 0)).any():
        raise Inapplicable("cleaning left no training row of one class")
    if oversamplers and min_count < counts.max() and (sampled_counts == counts).all():
        raise Inapplicable("no row could be made: none of a rare class lies near another class")
    return sampled, sampled_y, _selected_indices(sampler, points, sampled)


def _selected_indices(sampler: Any, points: Any, sampled: Any) -> Index | None:
    """Positions of the sampled points if all are unchanged points; a sampler may select points and change them too."""
    indices: Index | None = getattr(sampler, "sample_indices_", None)
    if indices is None or len(indices) != sampled.shape[0]:
        return None
    selected = points[indices]
    is_equal = (selected != sampled).nnz == 0 if issparse(selected) else np.array_equal(selected, sampled)
    return indices if is_equal else None


def _accelerate_cleaning(sampler: Any, is_dense: bool) -> tuple[Any, list[Any]]:
    """Use fast cleaning in a sampler and its steps where points are dense; also return the oversamplers among them."""
    if not hasattr(sampler, "get_params"):
        return sampler, []
    steps = {name: step for name, step in sampler.get_params().items() if hasattr(step, "fit_resample")}
    if is_dense:
        steps = dict(zip(steps, map(use_fast_cleaning, steps.values()), strict=True))
        sampler = use_fast_cleaning(sampler).set_params(**steps)
    return sampler, [step for step in (sampler, *steps.values()) if type(step) in (ADASYN, SMOTE, BorderlineSMOTE)]


def _limit_neighbors(oversampler: Any, points: Any, min_count: int, cache: FoldCache) -> None:
    """Lower the numbers of neighbours to what there are, and cache the neighbours where points are dense."""
    for name, k in oversampler.get_params().items():
        if not name.endswith("_neighbors") or not isinstance(k, int):
            continue
        # `m_neighbors` are searched among all rows, the others (ADASYN's too) among the rows of one class.
        available = points.shape[0] - 1 if name == "m_neighbors" else max(1, min_count - 1)
        neighbors: Any = min(k, available)
        if not issparse(points):
            neighbors = CachedNeighbors(neighbors + 1, cache)
        oversampler.set_params(**{name: neighbors})


class FastTomekLinks(TomekLinks):  # type: ignore[misc]  # imbalanced-learn ships no types
    """Tomek links as imbalanced-learn defines them, found by `nearest_other_class`.

    Two rows of different classes are linked if each is the nearest row of the other one, of any class.
    """

    def _fit_resample(self, X: Matrix, y: Index) -> tuple[Matrix, Index]:
        rows = SortedByClass.from_rows(X, y)
        neighbors, distances = nearest_other_class(rows)
        linked = neighbors[neighbors] == np.arange(len(y))
        linked[linked] = ~has_nearer_same_class(rows, np.flatnonzero(linked), distances, 1)
        linked &= linked[neighbors] & np.isin(y[rows.order], list(self.sampling_strategy_))
        self.sample_indices_ = np.sort(rows.order[~linked])
        return X[self.sample_indices_], y[self.sample_indices_]


class FastEditedNearestNeighbours(EditedNearestNeighbours):  # type: ignore[misc]  # imbalanced-learn ships no types
    """Wilson's editing as imbalanced-learn defines it with `kind_sel="all"`, by `nearest_other_class`.

    A row is removed unless its `n_neighbors` nearest rows are all of its class.
    """

    def _fit_resample(self, X: Matrix, y: Index) -> tuple[Matrix, Index]:
        rows = SortedByClass.from_rows(X, y)
        _, distances = nearest_other_class(rows)
        removed = np.isin(y[rows.order], list(self.sampling_strategy_))
        removed[removed] = ~has_nearer_same_class(rows, np.flatnonzero(removed), distances, self.n_neighbors)
        self.sample_indices_ = rows.order[~removed]  # class by class, as imbalanced-learn orders them
        return X[self.sample_indices_], y[self.sample_indices_]


def use_fast_cleaning(sampler: Any) -> Any:
    """Replace a cleaning sampler by its faster equivalent, with equal parameters; return any other sampler unchanged."""
    if type(sampler) is TomekLinks:
        return FastTomekLinks(**sampler.get_params())
    if type(sampler) is EditedNearestNeighbours and sampler.kind_sel == "all" and isinstance(sampler.n_neighbors, int):
        return FastEditedNearestNeighbours(**sampler.get_params())
    return sampler
