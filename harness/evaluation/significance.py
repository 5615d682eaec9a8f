"""What the outer splits can and cannot tell: corrected intervals, paired tests, Holm; and tasks: signed ranks.

Outer splits share training rows, so their scores are no independent sample, and the usual standard error is too small.
The variance of a mean over n splits is taken as s² (1/n + n_test/n_train) here, with n − 1 degrees of freedom: Nadeau &
Bengio, Inference for the Generalization Error, Machine Learning 52 (2003); for repeated cross-validation Bouckaert &
Frank (2004). With `ratio` = n_test/n_train = 0 these are the textbook formulas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special, stats

LEVEL = 0.95
ROUNDING = 1e-12  # a difference no larger is one of computing: figures are of the order of 1
FEWEST_SPLITS = 3  # with two, one degree of freedom: an interval of 12.7 standard errors says nothing


@dataclass(frozen=True)
class Estimate:
    """A mean over splits, half the width of its 95 % interval and the two-sided p value of "it is zero".

    `half` and `p` are NaN where the splits do not allow them.
    """

    mean: float
    half: float
    p: float
    n: int


def estimate(
    values: Sequence[float] | npt.NDArray[np.float64], ratio: float, *, claims: bool = True, grain: float = 0.0
) -> Estimate:
    """The mean of one figure per split, or of one paired difference per split, with its corrected interval.

    `ratio` is n_test/n_train of the splits. Without `claims`, or with fewer than three splits, there is a mean only.
    `grain` is by how much one row can change a figure: the spread is never taken to be less than that of rounding to
    such steps (grain²/12), or entries that differ by one row in each of three splits would differ beyond all doubt. What
    is the same in every split is measured by that alone; without a grain there is nothing to measure chance by then, and
    p is 1. It is 1 as well where the mean is no more than rounding: entries that say the same never differ.
    """
    figures = np.asarray(values, dtype=float)
    n = len(figures)
    if not n or np.isnan(figures).any():
        return Estimate(math.nan, math.nan, math.nan, n)
    mean = float(figures.mean())
    if not claims or n < FEWEST_SPLITS:
        return Estimate(mean, math.nan, math.nan, n)
    error = math.sqrt(max(float(figures.var(ddof=1)), grain**2 / 12) * (1 / n + ratio))
    half = _reach(n) * error
    if error <= ROUNDING * abs(mean) or abs(mean) <= ROUNDING:
        return Estimate(mean, half, 1.0, n)
    return Estimate(mean, half, float(2 * special.stdtr(n - 1, -abs(mean) / error)), n)


@cache
def _reach(n: int) -> float:
    """How many standard errors of n figures an interval reaches to either side."""
    return float(stats.t.ppf((1 + LEVEL) / 2, n - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values (1979), in the order given; NaN stays NaN and counts for nothing."""
    adjusted = [math.nan] * len(p_values)
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    largest = 0.0
    for position, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - position)))
        adjusted[i] = largest
    return adjusted


@dataclass(frozen=True)
class SignedRanks:
    """Wilcoxon's signed-rank test of `n` differences that are not zero: the sum of their signed ranks, the two-sided p value."""

    sum: float
    p: float
    n: int


def signed_ranks(differences: Sequence[float] | npt.NDArray[np.float64]) -> SignedRanks:
    """Whether differences lie around zero (Wilcoxon 1945), exact also where they tie; those that are zero or NaN are left out.

    The sum says which way they lie: it is above zero where the positive ones weigh more, and that may not be the way of
    their mean. Without any difference p is 1.
    """
    values = np.asarray(differences, dtype=float)
    values = values[~np.isnan(values) & (values != 0)]
    doubled = np.rint(2 * stats.rankdata(np.abs(values))).astype(np.int64)  # whole numbers also with ties
    above, below = int(doubled[values > 0].sum()), int(doubled[values < 0].sum())
    chances = _sums(tuple(sorted(doubled.tolist())))
    p = min(1.0, 2 * float(chances[: min(above, below) + 1].sum()))
    return SignedRanks((above - below) / 2, p, len(values))


@lru_cache(maxsize=64)
def _sums(doubled: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """How probable every sum of positive ranks (doubled) is where each has either sign by chance."""
    chances = np.zeros(sum(doubled) + 1)
    chances[0] = 1.0
    for rank in doubled:
        shifted = np.concatenate([np.zeros(rank), chances[:-rank]])
        chances = (chances + shifted) / 2
    return chances


def told_apart(figures: npt.NDArray[np.float64], ratio: float, grain: float = 0.0) -> npt.NDArray[np.bool_]:
    """Which of m entries differ, from their figures (m, n) in the same n splits: a symmetric matrix (m, m).

    `ratio` and `grain` are those of `estimate`.

    Paired, corrected t tests with Holm's adjustment over *all* pairs. The best entry is only known after looking, so
    comparing the others with it and adjusting over m − 1 tests would find differences among 30 equal entries in 12 to
    23 of 100 runs instead of 5 (simulated).
    """
    m, n = figures.shape
    apart = np.zeros((m, m), dtype=bool)
    if n < FEWEST_SPLITS:
        return apart
    first, second = np.triu_indices(m, 1)
    differences = figures[first] - figures[second]
    mean = np.abs(differences.mean(axis=1))
    error = np.sqrt(np.maximum(differences.var(axis=1, ddof=1), grain**2 / 12) * (1 / n + ratio))
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = np.where((error <= ROUNDING * mean) | (mean <= ROUNDING), 1.0, 2 * stats.t.sf(mean / error, n - 1))
    apart[first, second] = np.asarray(holm(p_values.tolist())) < 1 - LEVEL
    return apart | apart.T
