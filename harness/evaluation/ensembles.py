"""Ensembles made afterwards, of probabilities that are stored: nothing is fitted again but the weights.

Members are weighted on inner out-of-fold rows of one outer split, which no member had learnt from; test rows are only
averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from harness.metrics.logits import Floats, Labels, Proba, logistic, logs_of, pool, softmax

Score: TypeAlias = Callable[[Labels, Floats], float]  #: of labels (n,) and probabilities (n, k), more is better

GREEDY, STACKING = "greedy", "stacking"
KINDS = (GREEDY, STACKING)
ROUNDS = 25
LIBRARY = 25  #: only so many members, the best ones alone, compete for a place (Caruana, Munson & Niculescu-Mizil 2006)
RIDGE = 10.0
LEAST = 1e-5  #: a member that says never or always is believed so far


@dataclass(frozen=True)
class Combination:
    """How much each member counts, (M,), and for stacking what is added to the log-probabilities of the classes, (k,)."""

    kind: str
    weights: Floats
    shifts: Floats

    def __call__(self, members: Proba) -> Floats:
        """Probabilities (n, k) from those of the members (M, n, k)."""
        used = np.flatnonzero(self.weights)
        if self.kind == GREEDY:
            return np.tensordot(self.weights[used], members[used].astype(float), 1)
        return softmax(np.tensordot(self.weights[used], logs_of(members[used], LEAST), 1) + self.shifts)


def combine(kind: str, members: Proba, y: Labels, score: Score) -> Combination:
    """Weigh members by their probabilities (M, n, k) of rows with labels (n,)."""
    alone = np.array([_known(score(y, one)) for one in members])
    library = np.sort(np.argsort(-alone, kind="stable")[:LIBRARY])
    if kind == GREEDY:
        found, shifts = _greedy(members[library], y, alone[library], score), np.zeros(members.shape[2])
    else:
        found, shifts = _stacked(members[library], y)
    weights = np.zeros(len(members))
    weights[library] = found
    return Combination(kind, weights, shifts)


def _greedy(members: Proba, y: Labels, alone: Floats, score: Score) -> Floats:
    """Ensemble selection with replacement (Caruana et al. 2004): the best member, then ROUNDS − 1 times the one that adds
    most to the mean; of equals the earlier. The best of all means on the way is kept, so it is never worse than any member
    on these rows. Shares (M,), that add up to 1.
    """
    picks = [int(np.argmax(alone))]
    total, best, length = members[picks[0]].astype(float), float(alone[picks[0]]), 1
    for size in range(2, ROUNDS + 1):
        scores = [_known(score(y, (total + one) / size)) for one in members]
        picks.append(int(np.argmax(scores)))
        total = total + members[picks[-1]]
        if scores[picks[-1]] > best:
            best, length = scores[picks[-1]], size
    return np.bincount(picks[:length], minlength=len(members)) / length


def _stacked(members: Proba, y: Labels) -> tuple[Floats, Floats]:
    """A logistic regression on the members' log-probabilities, one weight for each and a shift for each class (for two
    classes: on their log-odds), regularised; weights (M,) and shifts (k,), of which the first is 0.

    Log-probabilities are scaled to a spread of 1 for the penalty, and the weights turned back.
    """
    logs, k = logs_of(members, LEAST), members.shape[2]
    centred = logs - logs.mean(axis=2, keepdims=True)
    scale = np.sqrt((centred**2).sum(axis=2).mean(axis=1) / (k - 1) + LEAST)
    shifts = np.broadcast_to(np.eye(k)[1:, None, :], (k - 1, len(y), k))
    features = np.concatenate([centred / scale[:, None, None], shifts])
    ridge = np.concatenate([np.full(len(members), RIDGE), np.zeros(k - 1)])
    apart = features[..., 1] - features[..., 0]
    found = logistic(apart, y.astype(float), ridge) if k == 2 else pool(features, y, ridge)
    return found[: len(members)] / scale, np.append(0.0, found[len(members) :])


def _known(score: float) -> float:
    return -np.inf if np.isnan(score) else score
