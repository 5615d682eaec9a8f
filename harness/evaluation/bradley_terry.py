"""Pairwise wins of entries, split by split, and one rating per entry that sums them up.

Two entries are compared on each split that both have: the better score wins, equal scores are half a win for each. All
splits of a task together count 1. Ratings are those of Bradley and Terry (Biometrika 39, 1952): an entry wins with
probability 1/(1 + 10^((other − own)/400)), so that 400 points are ten wins to one, as in chess (Elo).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from harness.evaluation.cross_task import Array
from harness.evaluation.significance import CONFIDENCE

MEAN_RATING = 1000.0
POINTS_PER_LOGIT = 400 / math.log(10)
BOOTSTRAP_DRAWS = 500
MAX_STEPS = 60


def pairwise_wins(scores: Array) -> Array:
    """Compute the share of the splits in which the row's entry wins against the column's.

    Parameters
    ----------
    scores : ndarray of shape (entries, splits)
        Greater is better.

    Returns
    -------
    ndarray of shape (entries, entries)
        Shares, 0 on the diagonal.
    """
    own, other = scores[:, None, :], scores[None, :, :]
    wins = (own > other).mean(axis=2) + (own == other).mean(axis=2) / 2
    return np.asarray(wins * (1 - np.eye(len(scores))))


def ratings(wins: Array) -> Array:
    """Fit the rating of every entry.

    One more task is added on which all entries tie: so an entry that never loses keeps a finite rating, and two that were
    compared on n tasks win with (wins + ½)/(n + 1), Jeffreys' estimate.

    Parameters
    ----------
    wins : ndarray of shape (tasks, entries, entries)
        From `pairwise_wins`.

    Returns
    -------
    ndarray of shape (entries,)
        Ratings with mean 1000.

    References
    ----------
    Bradley & Terry (1952), Rank Analysis of Incomplete Block Designs, Biometrika 39.
    """
    return MEAN_RATING + POINTS_PER_LOGIT * _fit(wins.sum(axis=0) + _all_ties(wins.shape[1]))


def rating_intervals(wins: Array, seed: int) -> tuple[Array, Array]:
    """Compute 95 % intervals of the ratings.

    A Bayesian bootstrap over the tasks and the added tie, as tasks are what was sampled: the wins of one task are kept or
    dropped together. Its intervals are too short for few tasks, so they are stretched about the estimate by Student's t over
    the normal quantile, times √(n/(n−1)). In simulation they covered the truth in 91 to 96 of 100 runs with 5 to 45 tasks; the
    plain bootstrap did in 86 with 5 tasks, and in 31 to 40 with an entry that nearly always wins.

    Parameters
    ----------
    wins : ndarray of shape (tasks, entries, entries)
        From `pairwise_wins`; at least two tasks.
    seed : int
        Of the bootstrap.

    Returns
    -------
    lower, upper : ndarray of shape (entries,)
        The ends of the intervals.

    References
    ----------
    Rubin (1981), The Bayesian Bootstrap, Annals of Statistics 9.
    """
    n, k, _ = wins.shape
    weights = np.random.default_rng(seed).dirichlet(np.ones(n + 1), size=BOOTSTRAP_DRAWS)
    drawn_wins = np.tensordot(weights[:, :n], wins, axes=1) + weights[:, n, None, None] * _all_ties(k)
    drawn_ratings = MEAN_RATING + POINTS_PER_LOGIT * _fit(drawn_wins * (n + 1))
    tails = np.quantile(drawn_ratings, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    centre = ratings(wins)
    stretch = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) / stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt(n / (n - 1))
    lower, upper = np.minimum(tails[0], centre), np.maximum(tails[1], centre)
    return centre - stretch * (centre - lower), centre + stretch * (upper - centre)


def _all_ties(k: int) -> Array:
    """The wins of a task on which all entries tie."""
    return np.asarray((1 - np.eye(k)) / 2)


def _fit(wins: Array) -> Array:
    """Maximum-likelihood ratings in logits with mean 0, (..., entries), from wins (..., entries, entries): Newton's method."""
    k = wins.shape[-1]
    comparisons = wins + np.swapaxes(wins, -1, -2)
    logits = np.zeros(wins.shape[:-1])
    diagonal = np.arange(k)
    for _ in range(MAX_STEPS):
        probability = 1 / (1 + np.exp(logits[..., None, :] - logits[..., :, None]))
        gradient = wins.sum(axis=-1) - (comparisons * probability).sum(axis=-1)
        information = comparisons * probability * (1 - probability)
        hessian = 1 / k - information  # ratings are determined up to a constant; the 1/k fixes their sum
        hessian[..., diagonal, diagonal] += information.sum(axis=-1)
        step = np.clip(np.linalg.solve(hessian, gradient[..., None])[..., 0], -2, 2)
        logits += step
        if np.abs(step).max() < 1e-7:
            break
    return np.asarray(logits - logits.mean(axis=-1, keepdims=True))
