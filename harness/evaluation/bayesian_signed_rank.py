"""The Bayesian signed-rank test with a region of practical equivalence (ROPE), over tasks.

Benavoli, Corani, Demšar & Zaffalon, Time for a Change, JMLR 18 (2017): the posterior probability that the difference which
is typical of such tasks is above the region, within it or below it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from harness.evaluation.cross_task import Array

ROPE = 0.01
PRIOR_WEIGHT = 0.5  #: of the prior's one pseudo-task, on which both are equal; a task has weight 1
POSTERIOR_DRAWS = 10_000


class Posterior(NamedTuple):
    """The probabilities that the first is better, that the two are practically equal, that the second is better."""

    first: float
    equal: float
    second: float


def draw_task_weights(tasks: int, seed: int) -> Array:
    """Draw the weights of the tasks from their posterior, (draws, 1 + tasks); the prior's pseudo-task comes first."""
    return np.random.default_rng(seed).dirichlet([PRIOR_WEIGHT, *[1.0] * tasks], size=POSTERIOR_DRAWS)


def signed_rank_posterior(differences: Array, task_weights: Array, rope: float = ROPE) -> Posterior:
    """Compare a pair of entries over tasks.

    Parameters
    ----------
    differences : ndarray of shape (tasks,)
        First minus second, one per task.
    task_weights : ndarray of shape (draws, 1 + tasks)
        From `draw_task_weights`.
    rope : float, default=0.01
        Differences up to this size are practically none; above 0.

    Returns
    -------
    Posterior
        Three probabilities that add up to 1.

    References
    ----------
    Benavoli, Corani, Demšar & Zaffalon (2017), Time for a Change, JMLR 18.
    """
    padded = np.concatenate([[0.0], differences])
    walsh_sums = padded[:, None] + padded[None, :]  # twice the Walsh averages
    above, below = _exceeds(walsh_sums, 2 * rope), _exceeds(-walsh_sums, 2 * rope)
    first, second = (((task_weights @ side) * task_weights).sum(axis=1) for side in (above, below))
    likeliest = np.argmax(np.column_stack([first, 1 - first - second, second]), axis=1)
    shares = np.bincount(likeliest, minlength=3) / len(likeliest)
    return Posterior(*map(float, shares))


def _exceeds(sums: Array, limit: float) -> Array:
    """1 where a sum is above the limit, ½ where it is equal."""
    return np.asarray((sums > limit) + 0.5 * (sums == limit), dtype=float)
