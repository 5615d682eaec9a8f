"""Permutation losses: what a metric loses when the values of columns are shuffled among the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.metrics.metric import Metric, Predictions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

REPEATS = 5  #: times that a column is shuffled


def permutation_losses(  # noqa: PLR0913, PLR0917 -- a model, rows with labels and weights, what is shuffled
    predict_proba: Callable[[pd.DataFrame], npt.ArrayLike],
    X: pd.DataFrame,
    y: npt.NDArray[np.int64],
    metric: Metric,
    units: Sequence[tuple[str, ...]],
    seed: int,
    weights: npt.NDArray[np.float64] | None = None,
) -> list[float]:
    """Measure how far a metric falls when the values of columns are shuffled among the rows.

    Parameters
    ----------
    predict_proba : callable
        Gives the probabilities (n, k) of rows.
    X : DataFrame of n rows
        The rows.
    y : ndarray of int of shape (n,)
        Their classes.
    metric : Metric
        Computed from classes and probabilities, decisions at 0.5.
    units : sequence of tuple of str
        Columns that are shuffled together.
    seed : int
        Seed of the shuffling.
    weights : ndarray of shape (n,), optional
        Weights of the rows.

    Returns
    -------
    list of float
        The mean fall over five repeats, in units of the metric; positive is worse for metrics of which greater is better.

    References
    ----------
    Breiman (2001), Random forests.
    """
    import numpy as np

    rng, rows = np.random.default_rng(seed), np.arange(len(y))
    baseline_score = metric.compute(Predictions(y, np.asarray(predict_proba(X)), weights=weights))
    # The same permutations for every unit: their noise cancels in comparisons.
    shuffled_rows = np.concatenate([rng.permutation(rows) for _ in range(REPEATS)])
    original_rows = np.tile(rows, REPEATS)
    repeated_rows = X.iloc[original_rows].reset_index(drop=True)
    losses = []
    for columns in units:
        for name in columns:
            repeated_rows[name] = X[name].array.take(shuffled_rows)
        metric_falls = []
        for proba in np.split(np.asarray(predict_proba(repeated_rows)), REPEATS):
            metric_falls.append(baseline_score - metric.compute(Predictions(y, proba, weights=weights)))
        losses.append(float(np.mean(metric_falls)))
        for name in columns:
            repeated_rows[name] = X[name].array.take(original_rows)
    return losses
