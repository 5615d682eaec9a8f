"""Measures of decisions that are ratios of counts (recall, precision, F score, share of rows, cost), with their intervals.

Such a measure is a weighted sum over the cells of a confusion matrix divided by another one. From that its value, its variance
over rows (by linearisation, a ratio estimator) and its interval follow in the same way for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from harness.evaluation.significance import CONFIDENCE
from harness.metrics.metric import CostMatrix

Counts = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]

#: Degrees of freedom that the variance over rows counts for beside the K − 1 of the variance between K folds.
ROW_DEGREES = 10
#: Factor of the standard error, because the folds share training rows.
OVERLAP_FACTOR = 1.2


@dataclass(frozen=True)
class MeasureInterval:
    """The value of a measure with its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


UNDEFINED_INTERVAL = MeasureInterval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class DecisionMeasure:
    """A ratio of two weighted sums over a confusion matrix (truth × prediction).

    Attributes
    ----------
    name : str
        Its column in tables.
    numerator, denominator : ndarray of shape (k, k)
        The weights of the cells.
    bounds : (float, float), default (0.0, 1.0)
        The smallest and the largest value that there can be; an interval never leaves them.
    """

    name: str
    numerator: Weights
    denominator: Weights
    bounds: tuple[float, float] = (0.0, 1.0)

    def compute(self, counts: Counts) -> float:
        """Compute the measure from counts (k, k); NaN where its denominator is 0."""
        denominator_total = float((self.denominator * counts).sum())
        return float((self.numerator * counts).sum()) / denominator_total if denominator_total else math.nan


def decision_measures(classes: int, costs: CostMatrix, beta: float = 1.0) -> dict[str, DecisionMeasure]:
    """List the measures of decisions of a task.

    Parameters
    ----------
    classes : int
        Number of classes. With more than two there are accuracy and cost only, with two all but accuracy.
    costs : tuple of tuple of float or None
        ``costs[true][predicted]``; without it there is no cost.
    beta : float, default 1.0
        Of a further F score; with 1 there is F1 only.

    Returns
    -------
    dict of str to DecisionMeasure
        By name: ``precision``, ``recall``, ``share`` (of the rows that are predicted positive), ``f1``, ``f_beta``, ``accuracy``,
        ``cost`` (per row).
    """
    all_counts = np.ones((classes, classes))
    if classes > 2:
        task_measures = [DecisionMeasure("accuracy", np.eye(classes), all_counts)]
    else:
        true_positive_mask = np.array([[0.0, 0.0], [0.0, 1.0]])
        predicted_positive_mask = np.array([[0.0, 1.0], [0.0, 1.0]])
        positive_mask = np.array([[0.0, 0.0], [1.0, 1.0]])
        task_measures = [
            DecisionMeasure("precision", true_positive_mask, predicted_positive_mask),
            DecisionMeasure("recall", true_positive_mask, positive_mask),
            DecisionMeasure("share", predicted_positive_mask, all_counts),
            DecisionMeasure("f1", 2 * true_positive_mask, predicted_positive_mask + positive_mask),
        ]
        if beta != 1:
            beta_squared = beta**2
            task_measures.append(
                DecisionMeasure(
                    "f_beta",
                    (1 + beta_squared) * true_positive_mask,
                    predicted_positive_mask + beta_squared * positive_mask,
                )
            )
    if costs is not None:
        matrix = np.asarray(costs, dtype=float)
        cost_bounds = (float(matrix.min()), float(matrix.max()))
        task_measures.append(DecisionMeasure("cost", matrix, all_counts, cost_bounds))
    return {measure.name: measure for measure in task_measures}


def measure_interval(measure: DecisionMeasure, split_counts: Sequence[Counts], repeats: int = 1) -> MeasureInterval:
    """Compute a measure over the rows of all splits together, with a 95 % interval that stays within its bounds.

    The variance is a weighted mean of that over rows and of that between splits, multiplied by 1.2² because the splits share
    training rows; the interval is Wilson's for the number of independent rows that gives this variance [1]_, with the quantile
    of a t distribution. Rows count once, however often they were repeated.

    Parameters
    ----------
    measure : DecisionMeasure
        The measure.
    split_counts : sequence of ndarray of shape (k, k)
        The confusion matrix of each split.
    repeats : int, default 1
        How many times every row is among the splits.

    Returns
    -------
    MeasureInterval
        NaN where the measure is not defined.

    References
    ----------
    .. [1] Kott & Carr (1997), Developing an Estimation Strategy for a Pesticide Data Program, Journal of Official Statistics
       13: Wilson's interval with an effective sample size.
    """
    pooled_counts = np.sum(split_counts, axis=0)
    pooled_measure = measure.compute(pooled_counts)
    lower_bound, upper_bound = measure.bounds
    if math.isnan(pooled_measure) or upper_bound <= lower_bound:
        return MeasureInterval(pooled_measure, pooled_measure, pooled_measure)
    folds = max(1, len(split_counts) // repeats)
    share_of_range = (pooled_measure - lower_bound) / (upper_bound - lower_bound)
    distinct_rows = float((measure.denominator * pooled_counts).sum()) / repeats
    effective_rows = distinct_rows / OVERLAP_FACTOR**2
    variance = (
        _squared_standard_error(measure, split_counts, pooled_measure, repeats) / (upper_bound - lower_bound) ** 2
    )
    if variance > 0:
        effective_rows = min(distinct_rows, share_of_range * (1 - share_of_range) / variance)
    quantile = float(special.stdtrit(ROW_DEGREES + folds - 1, (1 + CONFIDENCE) / 2))
    lowest_share, highest_share = wilson_interval(share_of_range, effective_rows, quantile)
    return MeasureInterval(
        pooled_measure,
        lower_bound + lowest_share * (upper_bound - lower_bound),
        lower_bound + highest_share * (upper_bound - lower_bound),
    )


def _squared_standard_error(
    measure: DecisionMeasure, split_counts: Sequence[Counts], pooled_measure: float, repeats: int
) -> float:
    """The squared standard error of the pooled measure, from rows and folds."""
    pooled_counts = np.sum(split_counts, axis=0)
    residuals = measure.numerator - pooled_measure * measure.denominator
    denominator_total = float((measure.denominator * pooled_counts).sum())
    folds = max(1, len(split_counts) // repeats)
    row_variance = folds * repeats * float((pooled_counts * residuals**2).sum()) / denominator_total**2
    known_measures = [score for score in map(measure.compute, split_counts) if not math.isnan(score)]
    fold_variance = float(np.var(known_measures, ddof=1)) if len(known_measures) > 1 else row_variance
    weighted_variance = (ROW_DEGREES * row_variance + (folds - 1) * fold_variance) / (ROW_DEGREES + folds - 1)
    return OVERLAP_FACTOR**2 * weighted_variance / folds


def wilson_interval(share: float, rows: float, quantile: float) -> tuple[float, float]:
    """Compute Wilson's interval of a share.

    Parameters
    ----------
    share : float
        The share, between 0 and 1.
    rows : float
        Among how many rows; it need not be a whole number.
    quantile : float
        Of the distribution of the standardised share: 1.96 for 95 % of a normal distribution.

    Returns
    -------
    low, high : float
        Between 0 and 1.

    References
    ----------
    Wilson (1927), Probable Inference, the Law of Succession, and Statistical Inference, JASA 22.
    """
    interval_scale = 1 + quantile**2 / rows
    center = (share + quantile**2 / (2 * rows)) / interval_scale
    half_width = quantile / interval_scale * math.sqrt(share * (1 - share) / rows + quantile**2 / (4 * rows**2))
    return max(0.0, center - half_width), min(1.0, center + half_width)
