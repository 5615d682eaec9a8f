"""Resampling strategies: tables in one metric space for numbers and categories; texts and images as they are encoded."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, issparse

from harness.errors import EvenhandError
from harness.preprocessing.cache import FoldCache, digest_arrays
from harness.preprocessing.tabular import ColumnLayout, PreparedRows
from harness.registry.strategy import Strategy

Labels: TypeAlias = npt.NDArray[np.int64]
Points: TypeAlias = npt.NDArray[np.float64]


def resample_table_rows(  # noqa: PLR0913, PLR0917 -- four say what is resampled, three how
    strategy: Strategy,
    params: dict[str, Any],
    rows: PreparedRows,
    y: Labels,
    layout: ColumnLayout,
    seed: int,
    cache: FoldCache,
) -> tuple[PreparedRows, Labels]:
    """Resample the training rows of a table.

    Real rows that are kept are returned unchanged; a synthetic row has interpolated numbers and, for each category, the
    level with the highest weight.

    Parameters
    ----------
    strategy : Strategy
        A strategy of kind ``"resample"``.
    params : dict
        Parameters of the strategy.
    rows : PreparedRows
        Real training rows.
    y : array of shape (n_rows,), int
        Labels.
    layout : ColumnLayout
        The columns of `rows`.
    seed : int
        Seed of the sampler; it should depend on cell and fold and not on the trial, so that equal parameters are cached.
    cache : FoldCache
        Cache of the fold; the output does not depend on its content.

    Returns
    -------
    rows : PreparedRows
        The resampled rows.
    y : array of int
        Their labels.

    Raises
    ------
    Inapplicable
        If the strategy cannot act on these rows.
    """
    digest = digest_arrays(rows.numbers, rows.codes, y)

    def compute() -> tuple[PreparedRows, Labels]:
        points = cache.get(("space", digest), lambda: rows_to_metric_space(rows, layout))
        sampled_points, sampled_y, sampled_indices = _build_and_run_sampler(strategy, params, seed, points, y, cache)
        if sampled_indices is not None:
            return rows.take(sampled_indices), sampled_y
        return metric_space_to_rows(sampled_points, layout), sampled_y

    return cache.get(("resampled", strategy.name, tuple(sorted(params.items())), seed, digest), compute)


def resample_encoded_rows(
    strategy: Strategy, params: dict[str, Any], X: Any, y: Labels, seed: int, memo: tuple[FoldCache, Hashable]
) -> tuple[Any, Labels]:
    """Resample encoded texts or images.

    Parameters
    ----------
    strategy, params, y, seed
        As of `resample_table_rows`.
    X : array of shape (n_rows, …) or sparse matrix
        Encoded training rows; two-dimensional unless the strategy only selects existing rows.
    memo : tuple of (FoldCache, hashable)
        Cache of the fold, and the key of `X` in it.

    Returns
    -------
    X : array or sparse matrix
        The resampled rows in the type and precision of `X`.
    y : array of int
        Their labels.

    Raises
    ------
    Inapplicable
        If the strategy cannot act on these rows.
    EvenhandError
        If the strategy is declared to select existing rows but synthesised some.
    """
    memo_cache, X_key = memo

    def compute() -> tuple[Any, Labels]:
        if strategy.selects_existing_rows:
            row_numbers = np.arange(len(y), dtype=np.float64)[:, None]
            _, sampled_y, sampled_indices = _build_and_run_sampler(strategy, params, seed, row_numbers, y, memo_cache)
            if sampled_indices is None:
                raise EvenhandError(f"{strategy.name} is declared to choose rows, but made some")
            return X[sampled_indices], sampled_y
        # For a sparse *matrix* `*` is the matrix product, which imbalanced-learn's borderline-2 does not expect.
        points = csr_array(X) if issparse(X) else np.asarray(X, dtype=np.float64)
        sampled_points, sampled_y, sampled_indices = _build_and_run_sampler(
            strategy, params, seed, points, y, memo_cache
        )
        if sampled_indices is not None:
            return X[sampled_indices], sampled_y
        if issparse(X):
            return type(X)(sampled_points, dtype=X.dtype), sampled_y
        return sampled_points.astype(X.dtype), sampled_y

    return memo_cache.get(("resampled", X_key, strategy.name, tuple(sorted(params.items())), seed), compute)


def rows_to_metric_space(rows: PreparedRows, layout: ColumnLayout) -> Points:
    """Convert rows to points whose Euclidean distance counts numbers and categories.

    Returns
    -------
    array of shape (n_rows, n_numbers + n_levels)
        The standardised numbers, then a column per level of each category, which is 0 or the weight of
        `compute_level_weight`.

    References
    ----------
    Chawla, Bowyer, Hall and Kegelmeyer (2002), SMOTE: synthetic minority over-sampling technique (SMOTE-NC).
    """
    first_column = rows.numbers.shape[1]
    points = np.zeros((len(rows), first_column + sum(layout.levels)))
    points[:, :first_column] = rows.numbers
    row_positions, level_weight = np.arange(len(rows)), compute_level_weight(rows)
    for level_codes, n_levels in zip(rows.codes.T, layout.levels, strict=True):
        points[row_positions, first_column + level_codes] = level_weight
        first_column += n_levels
    return points


def metric_space_to_rows(points: Points, layout: ColumnLayout) -> PreparedRows:
    """Convert points to rows: the level of a category is the one with the highest weight, of equal ones the first."""
    first_column = n_numbers = len(layout.numbers)
    level_codes = np.empty((len(points), len(layout.levels)), dtype=np.int32)
    for j, n_levels in enumerate(layout.levels):
        level_codes[:, j] = points[:, first_column : first_column + n_levels].argmax(axis=1)
        first_column += n_levels
    return PreparedRows(np.ascontiguousarray(points[:, :n_numbers]), level_codes)


def compute_level_weight(rows: PreparedRows) -> float:
    """Compute the weight of a level in the metric space: half the median standard deviation of numbers that vary, or 1/2."""
    standard_deviations = rows.numbers.std(axis=0)
    standard_deviations = standard_deviations[standard_deviations > 0]
    return float(np.median(standard_deviations)) / 2 if len(standard_deviations) else 0.5


def _build_and_run_sampler(
    strategy: Strategy, params: dict[str, Any], seed: int, points: Any, y: Labels, fold_cache: FoldCache
) -> tuple[Any, Labels, Labels | None]:
    """Build the sampler of a strategy and run it."""
    from harness.preprocessing.samplers import run_sampler  # imports imbalanced-learn, which only resampling cells need

    assert strategy.build is not None  # noqa: S101 -- a strategy of this kind has a builder, its declaration checked that
    return run_sampler(strategy.build(seed, **params), points, y, fold_cache)
