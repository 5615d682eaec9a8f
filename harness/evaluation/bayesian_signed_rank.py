"""Is a difference worth having? The Bayesian signed-rank test with a region of practical equivalence.

Benavoli, Corani, Demšar & Zaffalon, Time for a Change, JMLR 18 (2017): the posterior probability that the difference which
is typical of such tasks lies above the region, within it or below it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from harness.evaluation.cross_task import Array

ROPE = 0.01
PRIOR = 0.5  #: weight of the prior's one pseudo-task, on which both are equal; a task weighs 1
DRAWS = 10_000


class Posterior(NamedTuple):
    """The probabilities that the first is better, that the two are practically equal, that the second is better."""

    first: float
    equal: float
    second: float


def weights(tasks: int, seed: int) -> Array:
    """Draws from the posterior of how much every task weighs, (draws, 1 + tasks); the prior's pseudo-task comes first."""
    return np.random.default_rng(seed).dirichlet([PRIOR, *[1.0] * tasks], size=DRAWS)


def signed_rank(differences: Array, drawn: Array, rope: float = ROPE) -> Posterior:
    """How a pair compares, from one difference (first − second) per task and draws of `weights`; `rope` is above 0."""
    padded = np.concatenate([[0.0], differences])
    sums = padded[:, None] + padded[None, :]  # Walsh averages, twice
    above, below = _over(sums, 2 * rope), _over(-sums, 2 * rope)
    first, second = (((drawn @ side) * drawn).sum(axis=1) for side in (above, below))
    most = np.argmax(np.column_stack([first, 1 - first - second, second]), axis=1)
    shares = np.bincount(most, minlength=3) / len(most)
    return Posterior(*map(float, shares))


def _over(sums: Array, limit: float) -> Array:
    return np.asarray((sums > limit) + 0.5 * (sums == limit), dtype=float)
