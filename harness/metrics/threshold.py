"""Chooses the probability from which a row is called positive."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

HALF = 0.5
ABOVE_ALL = 1.0 + 1e-6  # more than any probability, in float32 too


def best_threshold(
    y: npt.NDArray[np.int64], proba: npt.NDArray[np.floating], costs: tuple[tuple[float, ...], ...] | None = None
) -> float:
    """The threshold that serves these rows best; a row is then called positive where its probability is `>=` it.

    `y` (n,) holds 0 and 1, `proba` the probabilities, (n, 2) or (n,) of the positive class; rows with NaN are left out.
    Without `costs` it maximises the F1 of the positive class (Lipton, Elkan & Naryanaswamy 2014), with
    `costs[true][predicted]` it minimises what the decisions cost (Elkan 2001). Every cut between neighbouring
    probabilities is tried, calling all or (with costs) none positive included, and the middle between the two
    neighbours is returned, 0 and 1 being the neighbours at the ends. Of equally good cuts the one nearest 0.5 is
    taken, then the lowest. Where there are no rows, or without costs no positive ones, it is 0.5.
    """
    import numpy as np

    positive = proba[:, 1] if proba.ndim == 2 else proba
    seen = ~np.isnan(positive)
    y, positive = y[seen], positive[seen]
    if not len(y) or (costs is None and not (y == 1).any()):
        return HALF
    values, rank = np.unique(positive, return_inverse=True)
    # Counts among the rows at or above each distinct probability; the last entry is the cut above all of them.
    called = np.append(np.bincount(rank)[::-1].cumsum()[::-1], 0)
    hits = np.append(np.bincount(rank, weights=y == 1)[::-1].cumsum()[::-1], 0.0)
    loss = _loss(hits, called, len(y), float((y == 1).sum()), costs)
    cuts = _cuts(values)
    best = np.flatnonzero(loss <= loss.min() + 1e-12 * abs(loss.min()))
    return float(cuts[best[np.argmin(np.abs(cuts[best] - HALF))]])


def _loss(
    hits: npt.NDArray[np.float64],
    called: npt.NDArray[np.int64],
    rows: int,
    positives: float,
    costs: tuple[tuple[float, ...], ...] | None,
) -> npt.NDArray[np.float64]:
    """What is to be made small, for every cut: minus F1, or the total cost."""
    if costs is None:
        f1: npt.NDArray[np.float64] = 2 * hits / (called + positives)
        return -f1
    false_alarms, missed = called - hits, positives - hits
    left_alone = rows - positives - false_alarms
    (right_negative, wrong_positive), (wrong_negative, right_positive) = costs
    total: npt.NDArray[np.float64] = (
        hits * right_positive + false_alarms * wrong_positive + missed * wrong_negative + left_alone * right_negative
    )
    return total


def _cuts(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The middle below each of the sorted distinct `values`, and one above the last: shape (n + 1,).

    Rounded to the precision of the probabilities, where a middle may fall on its lower neighbour: then the upper one.
    """
    import numpy as np

    lower = np.concatenate([[0], values]).astype(values.dtype)
    upper = np.concatenate([values, [1]]).astype(values.dtype)
    middle = ((lower.astype(float) + upper) / 2).astype(values.dtype)
    cuts = np.where(middle > lower, middle, upper).astype(float)
    cuts[0] = float(middle[0])  # everything is positive: the least value may be 0 itself
    if values[-1] >= 1:
        cuts[-1] = ABOVE_ALL
    return cuts
