"""Influence values: how much each row moves a metric, to first order.

A metric is a function of the distribution of the rows. The influence value of a row is the derivative of the metric with respect
to the share of that row, so that the values of n rows have the mean 0 and the variance of the metric is their mean square over
n. They are what deleting the row changes, times n, to first order (the infinitesimal jackknife: Efron, The Jackknife, the
Bootstrap and Other Resampling Plans, 1982). For the area under the ROC curve they are the placement values of DeLong, DeLong &
Clarke-Pearson, Comparing the Areas under Two or More Correlated Receiver Operating Characteristic Curves, Biometrics 44 (1988).
Decisions are taken at a fixed threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from harness.metrics.metric import Predictions

    Floats: TypeAlias = npt.NDArray[np.float64]
    Bools: TypeAlias = npt.NDArray[np.bool_]
    #: Influence values (n,) of the rows of predictions with weights (n,), or with those of the predictions, else all 1.
    Influence: TypeAlias = Callable[[Predictions, Floats | None], Floats]
    OneVsRestInfluence: TypeAlias = Callable[[Bools, Floats, Floats], Floats]

COUNT_STEP = 0.01  #: rows by which counts are changed for a central difference


def influence_of_mean(losses: Callable[[Predictions], Floats]) -> Influence:
    """Make the influence function of a mean over the rows.

    Parameters
    ----------
    losses : callable
        Gives the terms of the mean, (n,).

    Returns
    -------
    callable
        ``influence(predictions, weights)`` returns an array of shape (n,).
    """

    def influence(predictions: Predictions, weights: Floats | None) -> Floats:
        row_losses, row_weights = losses(predictions), _weights_with_mean_one(predictions, weights)
        mean_loss = float(row_weights @ row_losses) / len(row_losses)
        return row_weights * (row_losses - mean_loss)

    return influence


def influence_of_counts(metric: Callable[[Floats], float]) -> Influence:
    """Make the influence function of a metric that is computed from the confusion matrix alone.

    Parameters
    ----------
    metric : callable
        Computes the metric from counts of shape (k, k), truth × prediction, which need not be integers. It must not depend on
        the number of rows if all counts are multiplied by the same number.

    Returns
    -------
    callable
        ``influence(predictions, weights)`` returns an array of shape (n,).
    """

    def influence(predictions: Predictions, weights: Floats | None) -> Floats:
        import numpy as np

        row_weights, k = _weights_with_mean_one(predictions, weights), predictions.proba.shape[1]
        row_outcomes = predictions.y * k + predictions.labels
        outcome_counts = np.bincount(row_outcomes, weights=row_weights, minlength=k * k).astype(float)
        derivatives = np.zeros(k * k)
        for count_position in np.flatnonzero(outcome_counts):
            step = np.zeros(k * k)
            step[count_position] = COUNT_STEP * min(1.0, outcome_counts[count_position])
            metric_above, metric_below = (
                metric((outcome_counts + count_change).reshape(k, k)) for count_change in (step, -step)
            )
            derivatives[count_position] = (metric_above - metric_below) / (2 * step[count_position])
        return np.asarray(len(row_outcomes) * row_weights * derivatives[row_outcomes])

    return influence


def influence_of_ranking(one_vs_rest: OneVsRestInfluence) -> Influence:
    """Make the influence function of a ranking metric: of the positive class, or of the mean over several classes.

    Parameters
    ----------
    one_vs_rest : callable
        Computes the influence values of one class from whether each row is of the class, its score and its weight.

    Returns
    -------
    callable
        ``influence(predictions, weights)`` returns an array of shape (n,).
    """

    def influence(predictions: Predictions, weights: Floats | None) -> Floats:
        import numpy as np

        row_weights, classes = _weights_with_mean_one(predictions, weights), predictions.proba.shape[1]
        labels = [1] if predictions.binary else list(range(classes))
        total_influence = np.zeros(len(predictions.y))
        for class_label in labels:
            scores = predictions.proba[:, class_label].astype(float)
            total_influence += one_vs_rest(predictions.y == class_label, scores, row_weights)
        return total_influence / len(labels)

    return influence


def roc_auc_influence(positive: Bools, scores: Floats, weights: Floats) -> Floats:
    """Compute the influence of every row on the area under the ROC curve.

    Parameters
    ----------
    positive : ndarray of bool of shape (n,)
        Whether a row is of the class.
    scores : ndarray of shape (n,)
        Larger for rows that are more likely of the class.
    weights : ndarray of shape (n,)
        Weights of the rows, with the mean 1.

    Returns
    -------
    ndarray of shape (n,)
        NaN where one of the two classes has no rows.
    """
    import numpy as np

    placements = np.empty(len(scores))
    for is_on_side in (positive, ~positive):
        score_order = np.argsort(scores[~is_on_side], kind="stable")
        sorted_scores, cumulative_weights = (
            scores[~is_on_side][score_order],
            np.append(0.0, np.cumsum(weights[~is_on_side][score_order])),
        )
        weight_below = cumulative_weights[np.searchsorted(sorted_scores, scores[is_on_side], "left")]
        weight_not_above = cumulative_weights[np.searchsorted(sorted_scores, scores[is_on_side], "right")]
        with np.errstate(invalid="ignore"):
            placements[is_on_side] = (weight_below + weight_not_above) / 2 / cumulative_weights[-1]
    placements[~positive] = 1 - placements[~positive]
    influence = np.empty(len(scores))
    for is_on_side in (positive, ~positive):
        weight_share = weights[is_on_side].sum() / len(scores)
        auc = (
            float(weights[is_on_side] @ placements[is_on_side]) / (weight_share * len(scores))
            if weight_share
            else np.nan
        )
        influence[is_on_side] = weights[is_on_side] * (placements[is_on_side] - auc) / weight_share
    return influence


def average_precision_influence(positive: Bools, scores: Floats, weights: Floats) -> Floats:
    """Compute the influence of every row on average precision.

    Average precision is the mean, over the positive rows, of the precision among the rows that are scored at least as high. A
    positive row adds its own term and raises the precision at all thresholds at or below its score; a negative row lowers it
    there.

    Parameters
    ----------
    positive, scores, weights
        As for `roc_auc_influence`.

    Returns
    -------
    ndarray of shape (n,)
        NaN where the class has no rows.
    """
    import numpy as np

    distinct_scores, score_levels = np.unique(-scores, return_inverse=True)  # from the highest score down
    hits_at_level = np.bincount(score_levels, weights=weights * positive, minlength=len(distinct_scores))
    rows_at_level = np.bincount(score_levels, weights=weights, minlength=len(distinct_scores))
    cumulative_hits, cumulative_rows = np.cumsum(hits_at_level), np.cumsum(rows_at_level)
    if cumulative_hits[-1] <= 0:
        return np.full(len(scores), np.nan)
    cumulative_rows = np.maximum(cumulative_rows, np.finfo(float).tiny)  # rows of weight 0 at the top
    precision_at_level = cumulative_hits / cumulative_rows
    average_precision = float(hits_at_level @ precision_at_level) / cumulative_hits[-1]
    # What a further positive, or negative, row at a level adds to the precision at this and all lower levels.
    gain_at_level = np.cumsum((hits_at_level * (cumulative_rows - cumulative_hits) / cumulative_rows**2)[::-1])[::-1]
    loss = np.cumsum((hits_at_level * cumulative_hits / cumulative_rows**2)[::-1])[::-1]
    positive_influence = (precision_at_level - average_precision + gain_at_level)[score_levels]
    return np.asarray(
        len(scores) * weights * np.where(positive, positive_influence, -loss[score_levels]) / cumulative_hits[-1]
    )


def group_jackknife_influence(
    metric: Callable[[Predictions], float], predictions: Predictions, groups: npt.NDArray[np.int64]
) -> Floats:
    """Approximate the influence on any metric by deleting the rows group by group.

    Parameters
    ----------
    metric : callable
        Computes the metric.
    predictions : Predictions
        The predictions.
    groups : ndarray of int of shape (n,)
        The group of every row, 0 to g − 1.

    Returns
    -------
    ndarray of shape (n,)
        The same for all rows of a group; NaN where the metric is not defined without some group.

    References
    ----------
    Shao & Wu (1989), A General Theory for Jackknife Variance Estimation, Annals of Statistics 17.
    """
    import numpy as np

    from harness.metrics.metric import Predictions as PredictionValues

    full_metric, influence = metric(predictions), np.empty(len(groups))
    for group in range(int(groups.max()) + 1):
        members = groups == group
        remaining_rows = ~members
        remaining_predictions = PredictionValues(
            predictions.y[remaining_rows],
            predictions.proba[remaining_rows],
            predictions.threshold,
            predictions.costs,
            None if predictions.weights is None else predictions.weights[remaining_rows],
        )
        metric_change = full_metric - metric(remaining_predictions)
        influence[members] = metric_change * remaining_rows.sum() / max(int(members.sum()), 1)
    return influence


def _weights_with_mean_one(predictions: Predictions, weights: Floats | None) -> Floats:
    """Weights with the mean 1: those that are given, or those of the predictions."""
    import numpy as np

    if weights is None:
        weights = predictions.weights
    if weights is None:
        return np.ones(len(predictions.y))
    return np.asarray(weights, dtype=float) * (len(weights) / float(np.sum(weights)))
