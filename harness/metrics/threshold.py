"""Choose the probability from which a row is predicted positive."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from harness.metrics.metric import CostMatrix

    Floats = npt.NDArray[np.float64]

DEFAULT_CUT = 0.5
ABOVE_ALL = 1.0 + 1e-6  # more than any probability, in float32 too


def best_threshold(y: npt.NDArray[np.int64], proba: npt.NDArray[np.floating], costs: CostMatrix = None) -> float:
    """Choose the decision threshold that is best on these rows.

    Every cut between neighbouring probabilities is tried, including those that predict all rows or (with costs) none as
    positive. The middle between the two neighbours is returned, 0 and 1 being the neighbours at the ends.

    Parameters
    ----------
    y : ndarray of shape (n,)
        0 and 1.
    proba : ndarray of shape (n, 2) or (n,)
        Probabilities, or those of the positive class. Rows with NaN are left out.
    costs : tuple of tuple of float, optional
        ``costs[true][predicted]``. Without it the F1 of the positive class is maximised [1]_, with it the cost of the
        decisions is minimised [2]_.

    Returns
    -------
    float
        A row is predicted positive if its probability is ``>=`` this threshold. Of equally good cuts it is the one nearest
        0.5, then the lowest; 0.5 without rows or, without `costs`, without positive rows.

    References
    ----------
    .. [1] Lipton, Elkan & Naryanaswamy (2014), Optimal Thresholding of Classifiers to Maximize F1 Measure, ECML PKDD.
    .. [2] Elkan (2001), The Foundations of Cost-Sensitive Learning, IJCAI.
    """
    import numpy as np

    positive = proba[:, 1] if proba.ndim == 2 else proba
    known = ~np.isnan(positive)
    y, positive = y[known], positive[known]
    if not len(y) or (costs is None and not (y == 1).any()):
        return DEFAULT_CUT
    distinct, rank = np.unique(positive, return_inverse=True)
    # Counts among the rows at or above each distinct probability; the last entry is the cut above all of them.
    predicted = np.append(np.bincount(rank)[::-1].cumsum()[::-1], 0)
    hits = np.append(np.bincount(rank, weights=y == 1)[::-1].cumsum()[::-1], 0.0)
    loss = _loss(hits, predicted, len(y), float((y == 1).sum()), costs)
    cuts = _cuts(distinct)
    best = np.flatnonzero(loss <= loss.min() + 1e-12 * abs(loss.min()))
    return float(cuts[best[np.argmin(np.abs(cuts[best] - DEFAULT_CUT))]])


def _loss(hits: Floats, predicted: npt.NDArray[np.int64], rows: int, positives: float, costs: CostMatrix) -> Floats:
    """The loss of every cut: minus F1, or the total cost."""
    if costs is None:
        f1: Floats = 2 * hits / (predicted + positives)
        return -f1
    false_positives, false_negatives = predicted - hits, positives - hits
    true_negatives = rows - positives - false_positives
    (cost_tn, cost_fp), (cost_fn, cost_tp) = costs
    costs_of_positives: Floats = hits * cost_tp + false_positives * cost_fp
    return costs_of_positives + false_negatives * cost_fn + true_negatives * cost_tn


def _cuts(distinct: npt.NDArray[np.floating]) -> Floats:
    """The middle below each of the sorted distinct probabilities, and one above the last: shape (n + 1,).

    Rounded to the precision of the probabilities, where a middle may equal its lower neighbour: then it is the upper one.
    """
    import numpy as np

    lower = np.concatenate([[0], distinct]).astype(distinct.dtype)
    upper = np.concatenate([distinct, [1]]).astype(distinct.dtype)
    middle = ((lower.astype(float) + upper) / 2).astype(distinct.dtype)
    cuts = np.where(middle > lower, middle, upper).astype(float)
    cuts[0] = float(middle[0])  # everything is positive: the least probability may be 0 itself
    if distinct[-1] >= 1:
        cuts[-1] = ABOVE_ALL
    return cuts
