"""Ensembles fitted afterwards on stored probabilities: only their weights are fitted.

Members are weighted on inner out-of-fold rows of one outer split, which no member was fitted on; test rows are only averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from harness.metrics.logits import Floats, Labels, Proba, conditional_logit, log_proba, logistic, softmax
from harness.metrics.metric import Metric
from harness.metrics.steps import count_steps

Score: TypeAlias = Callable[[Labels, Floats], float]  #: of labels (n,) and probabilities, greater is better

GREEDY, STACKING = "greedy", "stacking"
ENSEMBLE_KINDS = (GREEDY, STACKING)
GREEDY_ROUNDS = 25
MAX_LIBRARY_MEMBERS = (
    25  #: only this many members, the best single ones, are candidates (Caruana, Munson & Niculescu-Mizil 2006)
)
STACKING_RIDGE = 10.0
MIN_MEMBER_PROBA = 1e-5  #: lower probabilities of a member are raised to this


@dataclass(frozen=True)
class FittedEnsemble:
    """The weight of each member, (M,), and for stacking what is added to the log-probabilities of the classes, (k,)."""

    kind: str
    weights: Floats
    shifts: Floats

    def __call__(self, members: Proba) -> Floats:
        """Compute probabilities (n, k) from those of the members (M, n, k)."""
        used_members = np.flatnonzero(self.weights)
        if self.kind == GREEDY:
            return np.tensordot(self.weights[used_members], members[used_members].astype(float), 1)
        return softmax(
            np.tensordot(self.weights[used_members], log_proba(members[used_members], MIN_MEMBER_PROBA), 1)
            + self.shifts
        )


def fit_ensemble(
    kind: str,
    members: Proba,
    y: Labels,
    score: Score,
    row_weights: Floats | None = None,
    positive_score: Score | None = None,
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
    positive_score : callable, optional
        With two classes: computes what `score` does from the labels and the probabilities (n,) of the positive class alone, in
        less time.

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
    library_members = np.sort(np.argsort(-single_scores, kind="stable")[:MAX_LIBRARY_MEMBERS])
    member_weights, class_shifts = np.zeros(len(members)), np.zeros(members.shape[2])
    if kind == GREEDY:
        candidate_proba = members[library_members]
        if positive_score is not None:
            score, candidate_proba = positive_score, np.ascontiguousarray(candidate_proba[:, :, 1])
        member_weights[library_members] = _select_greedily(candidate_proba, y, single_scores[library_members], score)
    else:
        member_weights[library_members], class_shifts = _fit_stacking_weights(members[library_members], y, row_weights)
    return FittedEnsemble(kind, member_weights, class_shifts)


def make_positive_score(metric: Metric) -> Score | None:
    """Make a score of labels and probabilities (n,) of the positive class of two; None for metrics that do not rank.

    It gives the value of ``metric.compute``, times the sign of the metric, for the same probabilities as float32.
    """
    steps_score = metric.steps_score
    if steps_score is None:
        return None

    def score(y: Labels, positive_proba: Floats) -> float:
        hits, rows = count_steps(y == 1, positive_proba.astype(np.float32))
        if hits[-1] in (0, rows[-1]):
            return float("nan")
        return metric.sign * steps_score(hits, rows)

    return score


def _select_greedily(member_proba: Proba, y: Labels, single_scores: Floats, score_proba: Score) -> Floats:
    """Ensemble selection with replacement: the best member, then ROUNDS − 1 times the one that improves the mean most.

    `member_proba` are the probabilities of all classes (M, n, k) or of the positive class (M, n), as `score_proba` takes them.
    Of equals the first is taken. The best of all means on the way is returned, so it is never worse than any member on these
    rows. Shares (M,), that add up to 1.
    """
    selected_members = [int(np.argmax(single_scores))]
    proba_total, best_score, best_length = (
        member_proba[selected_members[0]].astype(float),
        float(single_scores[selected_members[0]]),
        1,
    )
    for ensemble_size in range(2, GREEDY_ROUNDS + 1):
        scores = [
            _replace_nan_by_worst_score(score_proba(y, (proba_total + proba) / ensemble_size)) for proba in member_proba
        ]
        selected_members.append(int(np.argmax(scores)))
        proba_total = proba_total + member_proba[selected_members[-1]]
        if scores[selected_members[-1]] > best_score:
            best_score, best_length = scores[selected_members[-1]], ensemble_size
    return np.bincount(selected_members[:best_length], minlength=len(member_proba)) / best_length


def _fit_stacking_weights(member_proba: Proba, y: Labels, row_weights: Floats | None) -> tuple[Floats, Floats]:
    """Weights (M,) and shifts (k,), the first 0, of a regularised logistic regression on the members' log-probabilities.

    There is one weight for each member and a shift for each class; for two classes it is on their log-odds. Log-probabilities
    are scaled to a spread of 1 for the penalty, and the weights are scaled back.
    """
    log_probabilities, k = log_proba(member_proba, MIN_MEMBER_PROBA), member_proba.shape[2]
    centred_logs = log_probabilities - log_probabilities.mean(axis=2, keepdims=True)
    spreads = np.average((centred_logs**2).sum(axis=2), axis=1, weights=row_weights)
    member_scale = np.sqrt(spreads / (k - 1) + MIN_MEMBER_PROBA)
    class_indicators = np.broadcast_to(np.eye(k)[1:, None, :], (k - 1, len(y), k))
    features = np.concatenate([centred_logs / member_scale[:, None, None], class_indicators])
    ridge_penalties = np.concatenate([np.full(len(member_proba), STACKING_RIDGE), np.zeros(k - 1)])
    if k == 2:
        stacking_coefficients = logistic(
            features[..., 1] - features[..., 0], y.astype(float), ridge_penalties, row_weights
        )
    else:
        stacking_coefficients = conditional_logit(features, y, ridge_penalties, row_weights)
    return stacking_coefficients[: len(member_proba)] / member_scale, np.append(
        0.0, stacking_coefficients[len(member_proba) :]
    )


def _replace_nan_by_worst_score(score: float) -> float:
    return -np.inf if np.isnan(score) else score
