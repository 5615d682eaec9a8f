"""Mean ranks over tasks, and which entries are significantly different by them.

Friedman's test with Iman and Davenport's F: Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR
7 (2006). Pairs by Conover's test after Friedman's (Practical Nonparametric Statistics, 1999). It estimates the variance from
the ranks of all entries together, so that entries which always have the same rank make the others seem to differ: with five
equal entries above five hopeless ones it found a difference in 28 of 100 runs instead of 5 (simulated). A pair therefore only
counts as significantly different where Wilcoxon's signed-rank test, which uses nothing but the pair, agrees (Benavoli, Corani
& Mangili, Should We Really Use Post-Hoc Tests Based on Mean-Ranks?, JMLR 17, 2016). Both are adjusted by Holm over all pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness.evaluation.cross_task import Array
from harness.evaluation.significance import CONFIDENCE, holm, signed_rank_test


@dataclass(frozen=True)
class FriedmanTest:
    """Whether ranks differ at all: χ² with correction for ties, and Iman and Davenport's F with its p value."""

    chi2: float
    f: float
    degrees: tuple[int, int]
    p: float


def task_ranks(means: Array) -> Array:
    """Rank the entries on every task, from `means` (entries, tasks), greater being better; tied entries share their ranks."""
    return np.asarray(stats.rankdata(-means, axis=0))


def friedman_test(ranks: Array) -> FriedmanTest:
    """Test whether the mean ranks of entries differ.

    Parameters
    ----------
    ranks : ndarray of shape (entries, tasks)
        From `task_ranks`; at least two of both.

    Returns
    -------
    FriedmanTest
        `p` is 1 where all ranks are equal.

    References
    ----------
    Demšar (2006), Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7.
    """
    k, n = ranks.shape
    degrees = (k - 1, (k - 1) * (n - 1))
    variation = float((ranks**2).sum() - n * k * (k + 1) ** 2 / 4)
    if variation == 0:
        return FriedmanTest(0.0, 0.0, degrees, 1.0)
    sums = ranks.sum(axis=1)
    chi2 = (k - 1) * float(((sums - n * (k + 1) / 2) ** 2).sum()) / variation
    residual = n * (k - 1) - chi2
    f = (n - 1) * chi2 / residual if residual > 1e-9 else math.inf
    return FriedmanTest(chi2, f, degrees, float(stats.f.sf(f, *degrees)))


def conover_p_values(ranks: Array) -> Array:
    """Compute Conover's p value of every pair, not adjusted, (entries, entries), from ranks (entries, tasks)."""
    if (ranks == ranks[:, :1]).all():  # all tasks have the same ranks, so there is no variance to divide by
        return np.where(ranks[:, :1] == ranks[:, 0], 1.0, 0.0)
    from scikit_posthocs import posthoc_conover_friedman

    p_values = posthoc_conover_friedman(ranks.T).to_numpy(dtype=float)
    return np.asarray(np.nan_to_num(p_values, nan=1.0))


def wilcoxon_p_values(means: Array) -> Array:
    """Compute the p value of Wilcoxon's signed-rank test of every pair, (entries, entries), from `means` (entries, tasks)."""
    k = len(means)
    p_values = np.ones((k, k))
    for i, j in zip(*np.triu_indices(k, 1), strict=True):
        p_values[i, j] = p_values[j, i] = signed_rank_test(means[i] - means[j]).p
    return p_values


def adjust_pairs(p_values: Array) -> Array:
    """Adjust a symmetric matrix of p values over its pairs by Holm's procedure; 1 on the diagonal."""
    first, second = np.triu_indices(len(p_values), 1)
    adjusted = np.ones_like(p_values)
    adjusted[first, second] = adjusted[second, first] = holm(p_values[first, second].tolist())
    return adjusted


def pairwise_p_values(means: Array) -> Array:
    """Compute the p value of the difference of every pair of entries.

    Parameters
    ----------
    means : ndarray of shape (entries, tasks)
        Greater is better.

    Returns
    -------
    ndarray of shape (entries, entries)
        The larger of Conover's and Wilcoxon's p values, each adjusted by Holm, and never below Friedman's own; 1 on the
        diagonal.

    References
    ----------
    Conover (1999), Practical Nonparametric Statistics. Benavoli, Corani & Mangili (2016), Should We Really Use Post-Hoc
    Tests Based on Mean-Ranks?, JMLR 17.
    """
    ranks = task_ranks(means)
    pairs = np.maximum(adjust_pairs(conover_p_values(ranks)), adjust_pairs(wilcoxon_p_values(means)))
    return np.asarray(np.where(np.eye(len(means), dtype=bool), 1.0, np.maximum(pairs, friedman_test(ranks).p)))


def min_tasks(entries: int) -> int:
    """Compute how many tasks a pair of so many entries needs at least to be significant: Wilcoxon's smallest p is 2/2ⁿ."""
    pairs = entries * (entries - 1) / 2
    return math.floor(math.log2(2 * pairs / (1 - CONFIDENCE))) + 1


def tied_groups(p_values: Array) -> list[tuple[int, int]]:
    """Find the longest groups of entries whose ends are not significantly different, as in a critical-difference diagram.

    Parameters
    ----------
    p_values : ndarray of shape (entries, entries)
        From `pairwise_p_values`, the entries in the order of their ranks.

    Returns
    -------
    list of tuple of int
        First and last position of each group. Entries that share no group are significantly different; two entries inside
        a group may be so as well.
    """
    tied: npt.NDArray[np.bool_] = p_values >= 1 - CONFIDENCE
    furthest, groups = -1, []
    for start, row in enumerate(tied):
        end = int(np.flatnonzero(row).max())  # not empty: an entry is tied with itself
        if end > furthest and end > start:
            groups.append((start, end))
        furthest = max(furthest, end)
    return groups
