"""Reliability of probabilities: rows of similar scores, their mean score and the observed frequency."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.evaluation.decision_measures import wilson_interval

Floats: TypeAlias = npt.NDArray[np.float64]
NORMAL_QUANTILE = 1.959963984540054  #: of 95 % intervals
BINS, MIN_BIN_ROWS = 10, 20


class CalibrationBin(NamedTuple):
    """Rows of similar scores: mean score, observed frequency with its Wilson interval of 95 %, number of rows."""

    predicted: float
    observed: float
    low: float
    high: float
    rows: int


def reliability_bins(
    positive: npt.NDArray[np.bool_], score: Floats, repeats: int = 1, weights: Floats | None = None
) -> tuple[CalibrationBin, ...]:
    """Bin scores by quantiles, and compare their means with observed frequencies.

    The bins are those of scikit-learn's `calibration_curve`, which does not return how many rows are in each.

    Parameters
    ----------
    positive : ndarray of bool of shape (n,)
        Whether the predicted event occurred.
    score : ndarray of shape (n,)
        Its predicted probability.
    repeats : int, default=1
        How many times each row occurs: Wilson's intervals are those of the distinct rows.
    weights : ndarray of shape (n,), optional
        Weights of the rows in the means. Wilson's intervals are then those of (Σw)²/Σw² rows (Kish 1965), no more than there
        are.

    Returns
    -------
    tuple of CalibrationBin
        At most `BINS`, fewer where there are few rows; without empty bins.

    References
    ----------
    Wilson (1927), Probable Inference, the Law of Succession, and Statistical Inference, JASA 22. Kish (1965), Survey Sampling.
    """
    row_weights = np.ones(len(score)) if weights is None else weights
    n_bins = max(1, min(BINS, len(score) // (MIN_BIN_ROWS * repeats)))
    inner_edges = np.percentile(score, np.linspace(0, 1, n_bins + 1) * 100)[
        1:-1
    ]  # bit for bit those of calibration_curve
    positions = np.searchsorted(inner_edges, score)
    bin_rows = np.bincount(positions, minlength=n_bins)
    weight_sums = np.bincount(positions, weights=row_weights, minlength=n_bins)
    squared_sums = np.bincount(positions, weights=row_weights**2, minlength=n_bins)
    score_sums = np.bincount(positions, weights=row_weights * score, minlength=n_bins)
    positive_sums = np.bincount(positions, weights=row_weights * positive, minlength=n_bins)
    bins = []
    for position in np.flatnonzero(weight_sums):
        observed_share = positive_sums[position] / weight_sums[position]
        effective_rows = weight_sums[position] ** 2 / squared_sums[position]
        distinct_rows = max(round(effective_rows / repeats), 1)
        interval_share = observed_share
        if weights is None:
            interval_share = round(observed_share * distinct_rows) / distinct_rows
        interval_low, interval_high = wilson_interval(interval_share, distinct_rows, NORMAL_QUANTILE)
        bins.append(
            CalibrationBin(
                predicted=round(float(score_sums[position] / weight_sums[position]), 6),
                observed=round(float(observed_share), 6),
                low=round(float(interval_low), 6),
                high=round(float(interval_high), 6),
                rows=int(bin_rows[position]),
            )
        )
    return tuple(bins)
