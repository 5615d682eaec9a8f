"""Transformations of numbers, fitted on real training rows only: scalers of a column, truncated SVD of wide rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.preprocessing.weighted import compute_quantiles

Floats: TypeAlias = npt.NDArray[np.float64]

N_QUANTILES = 101  #: stored of each number: enough for the shape of a distribution, too few to reveal rows
N_PIECES = 8  #: ranges into which the piecewise linear encoding divides a number


@dataclass(frozen=True)
class QuantileMap:
    """A monotone map of a number to standard normal scores, interpolated between quantiles of the training rows."""

    quantiles: Floats
    scores: Floats
    width = 1

    def __call__(self, column: Floats) -> Floats:
        """Return the scores of a column (n_rows,) in shape (n_rows, 1)."""
        return np.interp(column, self.quantiles, self.scores)[:, None]


@dataclass(frozen=True)
class RobustScale:
    """A number minus its median, divided by its interquartile range and smoothly clipped to ±3.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024), Better by default, NeurIPS.
    """

    median: float
    scale: float
    width = 1

    def __call__(self, column: Floats) -> Floats:
        """Return the scaled column (n_rows,) in shape (n_rows, 1)."""
        x = (column - self.median) / self.scale
        return (x / np.sqrt(1 + (x / 3) ** 2))[:, None]


@dataclass(frozen=True)
class PiecewiseLinear:
    """A number, robustly scaled, followed by its position from 0 to 1 within each of several ranges.

    A linear layer on these columns is piecewise linear in the number, with a kink at each edge. The edges are quantiles.

    References
    ----------
    Gorishniy, Rubachev and Babenko (2022), On embeddings for numerical features in tabular deep learning, NeurIPS.
    """

    robust: RobustScale
    edges: Floats

    @property
    def width(self) -> int:
        """Number of columns: the number itself and its ranges."""
        return len(self.edges)

    def __call__(self, column: Floats) -> Floats:
        """Return the columns of a number (n_rows,) in shape (n_rows, width)."""
        positions = (column[:, None] - self.edges[:-1]) / np.diff(self.edges)
        return np.hstack([self.robust(column), positions.clip(0, 1)])


Scaler: TypeAlias = QuantileMap | RobustScale | PiecewiseLinear


def _fit_quantile_map(column: Floats, weights: Floats | None = None) -> QuantileMap:
    """Fit normal scores of the quantiles; a number that equals several quantiles gets the mean of their levels."""
    from scipy.special import ndtri

    levels = np.linspace(0, 1, N_QUANTILES)
    quantiles, positions = np.unique(compute_quantiles(column, levels, weights), return_inverse=True)
    mean_levels = np.bincount(positions, weights=levels) / np.bincount(positions)
    half_quantile_step = 0.5 / N_QUANTILES  # the ends are half a step from 0 and 1, so that scores are finite
    return QuantileMap(quantiles, ndtri(np.clip(mean_levels, half_quantile_step, 1 - half_quantile_step)))


def _fit_robust_scale(column: Floats, weights: Floats | None = None) -> RobustScale:
    """Fit median and interquartile range; half the range where the quartiles are equal, 1 for a constant column."""
    lower_quartile, median, upper_quartile = compute_quantiles(column, [0.25, 0.5, 0.75], weights)
    scale = upper_quartile - lower_quartile or (column.max() - column.min()) / 2
    return RobustScale(float(median), float(scale) or 1.0)


def _fit_piecewise_linear(column: Floats, weights: Floats | None = None) -> PiecewiseLinear:
    """Fit ranges between quantiles; a column of one or two distinct numbers has none."""
    edges = np.unique(compute_quantiles(column, np.linspace(0, 1, N_PIECES + 1), weights))
    if len(edges) <= 2:
        edges = edges[:1]
    return PiecewiseLinear(_fit_robust_scale(column, weights), edges)


#: Name of a scaling → function that fits it to a column, given the weights of the rows.
FIT_SCALER: dict[str, Callable[[Floats, Floats | None], Scaler]] = {
    "quantile": _fit_quantile_map,
    "robust": _fit_robust_scale,
    "piecewise": _fit_piecewise_linear,
}


@dataclass(frozen=True)
class TruncatedSvd:
    """Projection onto the leading right singular vectors, standardised on the training rows.

    Attributes
    ----------
    components : array of shape (n_features, n_components), float32
        Singular vectors as columns.
    mean, scale : array of shape (n_components,), float32
        Mean and standard deviation of the projected training rows.
    """

    components: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]

    def transform(self, X: Any) -> npt.NDArray[np.float32]:
        """Project an array or sparse matrix of shape (n_rows, n_features) to shape (n_rows, n_components), float32."""
        return np.asarray((X @ self.components - self.mean) / self.scale, dtype=np.float32)


def fit_truncated_svd(X: Any, n_components: int, seed: int) -> TruncatedSvd:
    """Find the leading singular vectors of training rows, without centring, which would make sparse rows dense.

    Parameters
    ----------
    X : array or sparse matrix of shape (n_rows, n_features)
        Training rows.
    n_components : int
        Maximum number of vectors; fewer are found where the matrix is smaller.
    seed : int
        Seed of the randomised algorithm.

    Returns
    -------
    TruncatedSvd
        The projection.

    References
    ----------
    Halko, Martinsson and Tropp (2011), Finding structure with randomness, SIAM Review 53.
    """
    from sklearn.utils.extmath import randomized_svd

    n_components = max(1, min(n_components, min(X.shape) - 1))
    _, _, singular_vectors = randomized_svd(X, n_components, n_iter=3, random_state=seed % 2**32)
    projected_rows = X @ singular_vectors.T
    scale = np.maximum(projected_rows.std(axis=0), 1e-6)
    return TruncatedSvd(
        singular_vectors.T.astype(np.float32), projected_rows.mean(axis=0).astype(np.float32), scale.astype(np.float32)
    )
