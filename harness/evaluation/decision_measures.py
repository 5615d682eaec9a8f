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


UNDEFINED = MeasureInterval(math.nan, math.nan, math.nan)


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
        total = float((self.denominator * counts).sum())
        return float((self.numerator * counts).sum()) / total if total else math.nan


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
    everything = np.ones((classes, classes))
    if classes > 2:
        measures = [DecisionMeasure("accuracy", np.eye(classes), everything)]
    else:
        hits = np.array([[0.0, 0.0], [0.0, 1.0]])
        predicted = np.array([[0.0, 1.0], [0.0, 1.0]])
        positives = np.array([[0.0, 0.0], [1.0, 1.0]])
        measures = [
            DecisionMeasure("precision", hits, predicted),
            DecisionMeasure("recall", hits, positives),
            DecisionMeasure("share", predicted, everything),
            DecisionMeasure("f1", 2 * hits, predicted + positives),
        ]
        if beta != 1:
            squared = beta**2
            measures.append(DecisionMeasure("f_beta", (1 + squared) * hits, predicted + squared * positives))
    if costs is not None:
        matrix = np.asarray(costs, dtype=float)
        bounds = (float(matrix.min()), float(matrix.max()))
        measures.append(DecisionMeasure("cost", matrix, everything, bounds))
    return {measure.name: measure for measure in measures}


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
    pooled = np.sum(split_counts, axis=0)
    value = measure.compute(pooled)
    low, high = measure.bounds
    if math.isnan(value) or high <= low:
        return MeasureInterval(value, value, value)
    folds = max(1, len(split_counts) // repeats)
    share = (value - low) / (high - low)
    distinct = float((measure.denominator * pooled).sum()) / repeats
    effective = distinct / OVERLAP_FACTOR**2
    variance = _squared_standard_error(measure, split_counts, value, repeats) / (high - low) ** 2
    if variance > 0:
        effective = min(distinct, share * (1 - share) / variance)
    quantile = float(special.stdtrit(ROW_DEGREES + folds - 1, (1 + CONFIDENCE) / 2))
    lowest, highest = wilson_interval(share, effective, quantile)
    return MeasureInterval(value, low + lowest * (high - low), low + highest * (high - low))


def _squared_standard_error(
    measure: DecisionMeasure, split_counts: Sequence[Counts], value: float, repeats: int
) -> float:
    """The squared standard error of the pooled measure, from rows and folds."""
    pooled = np.sum(split_counts, axis=0)
    residuals = measure.numerator - value * measure.denominator
    total = float((measure.denominator * pooled).sum())
    folds = max(1, len(split_counts) // repeats)
    of_rows = folds * repeats * float((pooled * residuals**2).sum()) / total**2
    known = [score for score in map(measure.compute, split_counts) if not math.isnan(score)]
    of_folds = float(np.var(known, ddof=1)) if len(known) > 1 else of_rows
    weighted = (ROW_DEGREES * of_rows + (folds - 1) * of_folds) / (ROW_DEGREES + folds - 1)
    return OVERLAP_FACTOR**2 * weighted / folds


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
    scale = 1 + quantile**2 / rows
    center = (share + quantile**2 / (2 * rows)) / scale
    half_width = quantile / scale * math.sqrt(share * (1 - share) / rows + quantile**2 / (4 * rows**2))
    return max(0.0, center - half_width), min(1.0, center + half_width)
