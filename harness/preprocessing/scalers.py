"""Scalers of a numeric column, fitted on real training rows only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

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


def _fit_quantile_map(column: Floats) -> QuantileMap:
    """Fit normal scores of the quantiles; a number that equals several quantiles gets the mean of their levels."""
    from scipy.special import ndtri

    levels = np.linspace(0, 1, N_QUANTILES)
    quantiles, positions = np.unique(np.quantile(column, levels), return_inverse=True)
    mean_levels = np.bincount(positions, weights=levels) / np.bincount(positions)
    margin = 0.5 / N_QUANTILES  # the ends are half a step from 0 and 1, so that scores are finite
    return QuantileMap(quantiles, ndtri(np.clip(mean_levels, margin, 1 - margin)))


def _fit_robust_scale(column: Floats) -> RobustScale:
    """Fit median and interquartile range; half the range where the quartiles are equal, 1 for a constant column."""
    low, median, high = np.quantile(column, [0.25, 0.5, 0.75])
    scale = high - low or (column.max() - column.min()) / 2
    return RobustScale(float(median), float(scale) or 1.0)


def _fit_piecewise_linear(column: Floats) -> PiecewiseLinear:
    """Fit ranges between quantiles; a column of one or two distinct numbers has none."""
    edges = np.unique(np.quantile(column, np.linspace(0, 1, N_PIECES + 1)))
    if len(edges) <= 2:
        edges = edges[:1]
    return PiecewiseLinear(_fit_robust_scale(column), edges)


#: Name of a scaling → function that fits it to a column.
FIT_SCALER: dict[str, Callable[[Floats], Scaler]] = {
    "quantile": _fit_quantile_map,
    "robust": _fit_robust_scale,
    "piecewise": _fit_piecewise_linear,
}
