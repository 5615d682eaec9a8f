"""Ensembles fitted afterwards on stored probabilities: only their weights are fitted.

Members are weighted on inner out-of-fold rows of one outer split, which no member was fitted on; test rows are only averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from harness.metrics.logits import Floats, Labels, Proba, conditional_logit, log_proba, logistic, softmax

Score: TypeAlias = Callable[[Labels, Floats], float]  #: of labels (n,) and probabilities (n, k), greater is better

GREEDY, STACKING = "greedy", "stacking"
ENSEMBLE_KINDS = (GREEDY, STACKING)
ROUNDS = 25
LIBRARY = 25  #: only this many members, the best single ones, are candidates (Caruana, Munson & Niculescu-Mizil 2006)
RIDGE = 10.0
MIN_MEMBER_PROBA = 1e-5  #: lower probabilities of a member are raised to this


@dataclass(frozen=True)
class FittedEnsemble:
    """The weight of each member, (M,), and for stacking what is added to the log-probabilities of the classes, (k,)."""

    kind: str
    weights: Floats
    shifts: Floats

    def __call__(self, members: Proba) -> Floats:
        """Compute probabilities (n, k) from those of the members (M, n, k)."""
        used = np.flatnonzero(self.weights)
        if self.kind == GREEDY:
            return np.tensordot(self.weights[used], members[used].astype(float), 1)
        return softmax(np.tensordot(self.weights[used], log_proba(members[used], MIN_MEMBER_PROBA), 1) + self.shifts)


def fit_ensemble(
    kind: str, members: Proba, y: Labels, score: Score, row_weights: Floats | None = None
) -> FittedEnsemble:
    """Fit the weights of an ensemble.

    Parameters
    ----------
    kind : {"greedy", "stacking"}
        ``greedy`` is ensemble selection with replacement [1]_ from a library of the best members [2]_; ``stacking`` is a
        regularised logistic regression on the members' log-probabilities [3]_.
    members : ndarray of shape (M, n, k)
        Probabilities of the members.
    y : ndarray of shape (n,)
        Labels.
    score : callable
        Scores labels and probabilities; greater is better, NaN is worst.
    row_weights : ndarray of shape (n,), optional
        Weights of the rows, for ``stacking``; `score` knows its own.

    Returns
    -------
    FittedEnsemble
        With a weight for each member, 0 for those that are not used.

    References
    ----------
    .. [1] Caruana, Niculescu-Mizil, Crew & Ksikes (2004), Ensemble Selection from Libraries of Models, ICML.
    .. [2] Caruana, Munson & Niculescu-Mizil (2006), Getting the Most Out of Ensemble Selection, ICDM.
    .. [3] Wolpert (1992), Stacked Generalization, Neural Networks 5.
    """
    single_scores = np.array([_replace_nan_by_worst_score(score(y, proba)) for proba in members])
    library = np.sort(np.argsort(-single_scores, kind="stable")[:LIBRARY])
    weights, shifts = np.zeros(len(members)), np.zeros(members.shape[2])
    if kind == GREEDY:
        weights[library] = _select_greedily(members[library], y, single_scores[library], score)
    else:
        weights[library], shifts = _fit_stacking_weights(members[library], y, row_weights)
    return FittedEnsemble(kind, weights, shifts)


def _select_greedily(members: Proba, y: Labels, single_scores: Floats, score: Score) -> Floats:
    """Ensemble selection with replacement: the best member, then ROUNDS − 1 times the one that improves the mean most.

    Of equals the first is taken. The best of all means on the way is returned, so it is never worse than any member on these
    rows. Shares (M,), that add up to 1.
    """
    selected = [int(np.argmax(single_scores))]
    total, best, length = members[selected[0]].astype(float), float(single_scores[selected[0]]), 1
    for size in range(2, ROUNDS + 1):
        scores = [_replace_nan_by_worst_score(score(y, (total + proba) / size)) for proba in members]
        selected.append(int(np.argmax(scores)))
        total = total + members[selected[-1]]
        if scores[selected[-1]] > best:
            best, length = scores[selected[-1]], size
    return np.bincount(selected[:length], minlength=len(members)) / length


def _fit_stacking_weights(members: Proba, y: Labels, row_weights: Floats | None) -> tuple[Floats, Floats]:
    """Weights (M,) and shifts (k,), the first 0, of a regularised logistic regression on the members' log-probabilities.

    There is one weight for each member and a shift for each class; for two classes it is on their log-odds. Log-probabilities
    are scaled to a spread of 1 for the penalty, and the weights are scaled back.
    """
    logs, k = log_proba(members, MIN_MEMBER_PROBA), members.shape[2]
    centred = logs - logs.mean(axis=2, keepdims=True)
    spreads = np.average((centred**2).sum(axis=2), axis=1, weights=row_weights)
    scale = np.sqrt(spreads / (k - 1) + MIN_MEMBER_PROBA)
    indicators = np.broadcast_to(np.eye(k)[1:, None, :], (k - 1, len(y), k))
    features = np.concatenate([centred / scale[:, None, None], indicators])
    ridge = np.concatenate([np.full(len(members), RIDGE), np.zeros(k - 1)])
    if k == 2:
        coefficients = logistic(features[..., 1] - features[..., 0], y.astype(float), ridge, row_weights)
    else:
        coefficients = conditional_logit(features, y, ridge, row_weights)
    return coefficients[: len(members)] / scale, np.append(0.0, coefficients[len(members) :])


def _replace_nan_by_worst_score(score: float) -> float:
    return -np.inf if np.isnan(score) else score
