"""Mean ranks over tasks, and which entries they tell apart.

Friedman's test with Iman and Davenport's F: Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR
7 (2006). Pairs by Conover's test after Friedman's (Practical Nonparametric Statistics, 1999). It measures chance by the
ranks of all entries together, so that entries which always hold the same place make the others seem to differ: with five
equal entries above five hopeless ones it found a difference in 28 of 100 runs instead of 5 (simulated). A pair is
therefore told apart only where Wilcoxon's signed-rank test, which looks at nothing but the pair, agrees (Benavoli, Corani
& Mangili, Should We Really Use Post-Hoc Tests Based on Mean-Ranks?, JMLR 17, 2016). Both are adjusted by Holm over all pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness.evaluation.cross_task import Array
from harness.evaluation.significance import LEVEL, holm, signed_ranks


@dataclass(frozen=True)
class Friedman:
    """Whether ranks differ at all: χ² with correction for ties, and Iman and Davenport's F with its p value."""

    chi2: float
    f: float
    degrees: tuple[int, int]
    p: float


def ranks(means: Array) -> Array:
    """The rank of every entry on every task, from `means` (entries, tasks), more being better; ties share theirs."""
    return np.asarray(stats.rankdata(-means, axis=0))


def friedman(of_tasks: Array) -> Friedman:
    """The test from ranks (entries, tasks); at least two of both. Where all ranks are equal p is 1."""
    k, n = of_tasks.shape
    degrees = (k - 1, (k - 1) * (n - 1))
    spread = float((of_tasks**2).sum() - n * k * (k + 1) ** 2 / 4)
    if spread == 0:
        return Friedman(0.0, 0.0, degrees, 1.0)
    sums = of_tasks.sum(axis=1)
    chi2 = (k - 1) * float(((sums - n * (k + 1) / 2) ** 2).sum()) / spread
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 else math.inf
    return Friedman(chi2, f, degrees, float(stats.f.sf(f, *degrees)))


def conover(of_tasks: Array) -> Array:
    """Conover's p value of every pair, not adjusted, (entries, entries), from ranks (entries, tasks)."""
    if (of_tasks == of_tasks[:, :1]).all():  # every task says the same, so there is no spread to divide by
        return np.where(of_tasks[:, :1] == of_tasks[:, 0], 1.0, 0.0)
    from scikit_posthocs import posthoc_conover_friedman

    p_values = posthoc_conover_friedman(of_tasks.T).to_numpy(dtype=float)
    return np.asarray(np.nan_to_num(p_values, nan=1.0))


def wilcoxon(means: Array) -> Array:
    """The p value of Wilcoxon's signed-rank test of every pair, (entries, entries), from `means` (entries, tasks)."""
    k = len(means)
    p_values = np.ones((k, k))
    for i, j in zip(*np.triu_indices(k, 1), strict=True):
        p_values[i, j] = p_values[j, i] = signed_ranks(means[i] - means[j]).p
    return p_values


def adjusted(p_values: Array) -> Array:
    """Holm's adjustment of a symmetric matrix over its pairs; 1 on the diagonal."""
    first, second = np.triu_indices(len(p_values), 1)
    whole = np.ones_like(p_values)
    whole[first, second] = whole[second, first] = holm(p_values[first, second].tolist())
    return whole


def apart(means: Array) -> Array:
    """The p value at which every pair is told apart, (entries, entries), from `means` (entries, tasks).

    The larger of Conover's and Wilcoxon's, each adjusted; and none is below Friedman's own p value.
    """
    of_tasks = ranks(means)
    pairs = np.maximum(adjusted(conover(of_tasks)), adjusted(wilcoxon(means)))
    return np.asarray(np.where(np.eye(len(means), dtype=bool), 1.0, np.maximum(pairs, friedman(of_tasks).p)))


def tasks_needed(entries: int) -> int:
    """With how many tasks at least a pair of so many entries could be told apart at all: Wilcoxon's smallest p is 2/2ⁿ."""
    pairs = entries * (entries - 1) / 2
    return math.floor(math.log2(2 * pairs / (1 - LEVEL))) + 1


def spans(p_values: Array) -> list[tuple[int, int]]:
    """The longest runs (first, last) whose ends are not told apart, from p values of entries in the order of their ranks.

    Whoever shares no run is told apart; within a run an inner pair may be told apart all the same.
    """
    alike: npt.NDArray[np.bool_] = p_values >= 1 - LEVEL
    ends = [int(np.flatnonzero(row).max()) for row in alike]  # an entry is never apart from itself
    furthest, found = -1, []
    for at, end in enumerate(ends):
        if end > furthest and end > at:
            found.append((at, end))
        furthest = max(furthest, end)
    return found
