"""Quantiles and moments of rows with weights, equal to those of rows that are repeated as often as their weights say.

Without weights they are computed as NumPy does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

Floats: TypeAlias = npt.NDArray[np.float64]
Weights: TypeAlias = Floats | None


def compute_quantiles(column: Floats, levels: Any, weights: Weights = None) -> Floats:
    """Compute quantiles, interpolated linearly between neighbouring values.

    Parameters
    ----------
    column : array of shape (n_rows,)
        Values.
    levels : float or array of shape (m,)
        Levels from 0 to 1.
    weights : array of shape (n_rows,) or None, default None
        Weights above 0. With a mean below 1 they are first multiplied so that it is 1: a sum of 0.1 has no middle row.

    Returns
    -------
    array of shape (m,), or a number for one level
        The quantiles.
    """
    if weights is None:
        return np.asarray(np.quantile(column, levels))
    order = np.argsort(column, kind="stable")
    ordered, cumulative = column[order], _cumulative_rows(weights[order])
    positions = np.asarray(levels, dtype=float) * max(cumulative[-1] - 1, 0.0)
    below = np.floor(positions)
    low, high = (ordered[_positions_of_rows(cumulative, row)] for row in (below, below + 1))
    return np.asarray(low + (positions - below) * (high - low))


def compute_median(column: Floats, weights: Weights = None) -> float:
    """Compute the median."""
    if weights is None:
        return float(np.median(column))
    return float(compute_quantiles(column, 0.5, weights))


def compute_lower_median(column: Floats, weights: Weights = None) -> float:
    """Compute the lower of the two middle values, without a mean of both, which could be infinite."""
    if weights is None:
        middle = (len(column) - 1) // 2
        return float(np.partition(column, middle)[middle])
    order = np.argsort(column, kind="stable")
    cumulative = _cumulative_rows(weights[order])
    middle_row = np.floor(max(cumulative[-1] - 1, 0.0) / 2)
    return float(column[order][_positions_of_rows(cumulative, middle_row)])


def compute_moments(columns: Floats, weights: Weights = None) -> tuple[Floats, Floats]:
    """Compute the mean and the standard deviation of each column, shape (n_columns,) each."""
    if weights is None:
        return columns.mean(axis=0), columns.std(axis=0)
    shares = weights / weights.sum()
    means = shares @ columns
    return means, np.sqrt(shares @ (columns - means) ** 2)


def count_values(column: pd.Series, weights: Weights = None) -> pd.Series:
    """Count the rows of each level of a category, or add their weights: the most frequent first, levels without rows left out."""
    import pandas as pd

    if weights is None:
        counts = column.value_counts()  # by count; equal counts keep the order of the categories
        return counts[counts > 0]
    codes = column.cat.codes.to_numpy()
    known = codes >= 0
    sums = np.bincount(codes[known], weights=weights[known], minlength=len(column.cat.categories))
    order = np.argsort(-sums, kind="stable")
    return pd.Series(sums[order], index=column.cat.categories[order])[lambda counts: counts > 0]


def _cumulative_rows(weights: Floats) -> Floats:
    """How many rows there are up to each of the ordered ones."""
    return np.asarray(np.cumsum(weights) * max(1.0, len(weights) / float(weights.sum())))


def _positions_of_rows(cumulative: Floats, rows: Any) -> Any:
    """Positions of the distinct rows that repeated rows, counted from 0, are copies of; the last one beyond the end."""
    rounding = 1e-9 * cumulative[-1]
    return np.minimum(np.searchsorted(cumulative, np.asarray(rows) + rounding, side="right"), len(cumulative) - 1)
