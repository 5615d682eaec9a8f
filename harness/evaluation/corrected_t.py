"""Corrected intervals and paired tests over outer splits, Holm's adjustment, and the signed-rank test over tasks.

For what has no stored predictions, such as ensembles and recalibrated entries, and for comparing two runs; entries of a run are
judged by `significance`.

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
import pandas as pd
from scipy import special

CONFIDENCE = 0.95
ROUNDING = 1e-12  # a difference no larger is a rounding error: scores are of the order of 1
MIN_SPLITS = 3  # with two, one degree of freedom: the interval would be 12.7 standard errors wide on each side


@dataclass(frozen=True)
class Estimate:
    """A mean over n splits, half the width of its 95 % interval and the two-sided p value of "the mean is zero".

    `ci_half_width` and `p` are NaN where the splits do not allow them. `interval` has the ends of the interval where it is not
    symmetric.
    """

    mean: float
    ci_half_width: float
    p: float
    n: int
    interval: tuple[float, float] | None = None

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.ci_half_width if self.interval is None else self.interval[0]

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.ci_half_width if self.interval is None else self.interval[1]


def estimate_mean_with_interval(
    scores: Sequence[float] | npt.NDArray[np.float64], ratio: float, *, can_test: bool = True, resolution: float = 0.0
) -> Estimate:
    """Estimate the mean of one score, or of one paired difference, per split, with its corrected interval.

    Parameters
    ----------
    scores : array-like of shape (n,)
        One score or difference per split.
    ratio : float
        n_test/n_train of the splits.
    can_test : bool, default=True
        Without it, or with fewer than three splits, only the mean is computed.
    resolution : float, default=0.0
        By how much one row can change a score. The variance is never taken to be less than that of rounding to such steps,
        resolution²/12; otherwise entries that differ by one row in each of three splits would be significantly different.

    Returns
    -------
    Estimate
        All NaN if a score is. `p` is 1 where all scores are equal and there is no resolution, and where the mean is no more
        than a rounding error: entries with equal predictions are never significantly different.

    References
    ----------
    Nadeau & Bengio (2003), Inference for the Generalization Error, Machine Learning 52.
    """
    scores = np.asarray(scores, dtype=float)
    n = len(scores)
    if not n or np.isnan(scores).any():
        return Estimate(math.nan, math.nan, math.nan, n)
    mean = float(scores.mean())
    if not can_test or n < MIN_SPLITS:
        return Estimate(mean, math.nan, math.nan, n)
    error = math.sqrt(max(float(scores.var(ddof=1)), resolution**2 / 12) * (1 / n + ratio))
    half_width = _half_width_in_standard_errors(n) * error
    if error <= ROUNDING * abs(mean) or abs(mean) <= ROUNDING:
        return Estimate(mean, half_width, 1.0, n)
    return Estimate(mean, half_width, float(2 * special.stdtr(n - 1, -abs(mean) / error)), n)


@cache
def _half_width_in_standard_errors(n: int) -> float:
    """The half-width of an interval over n splits, in standard errors."""
    return float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values by Holm's step-down procedure.

    Parameters
    ----------
    p_values : sequence of float
        NaN stays NaN and does not count as a test.

    Returns
    -------
    list of float
        Adjusted p values in the same order.

    References
    ----------
    Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6.
    """
    adjusted_p_values = [math.nan] * len(p_values)
    sorted_p_values = sorted((p, position) for position, p in enumerate(p_values) if not math.isnan(p))
    largest_adjusted = 0.0
    for rank, (p, position) in enumerate(sorted_p_values):
        largest_adjusted = max(largest_adjusted, min(1.0, p * (len(sorted_p_values) - rank)))
        adjusted_p_values[position] = largest_adjusted
    return adjusted_p_values


def significant_direction(difference: Estimate, adjusted_p: float, *, greater_is_better: bool) -> int:
    """Give 1 where a difference is significantly better than zero, −1 where it is significantly worse, 0 otherwise."""
    if math.isnan(adjusted_p) or adjusted_p >= 1 - CONFIDENCE:
        return 0
    return 1 if (difference.mean > 0) == greater_is_better else -1


@dataclass(frozen=True)
class SignedRankTest:
    """Wilcoxon's signed-rank test of `n` non-zero differences: the sum of their signed ranks, the two-sided p value."""

    sum: float
    p: float
    n: int


def signed_rank_test(differences: Sequence[float] | npt.NDArray[np.float64]) -> SignedRankTest:
    """Test whether differences are symmetric about zero, exactly, also with tied ranks.

    Parameters
    ----------
    differences : array-like of shape (n,)
        Those that are zero or NaN are left out.

    Returns
    -------
    SignedRankTest
        The sum is positive where the positive differences have the larger ranks; its sign may differ from that of their
        mean. `p` is 1 without any difference.

    References
    ----------
    Wilcoxon (1945), Individual Comparisons by Ranking Methods, Biometrics Bulletin 1.
    """
    nonzero_differences = np.asarray(differences, dtype=float)
    nonzero_differences = nonzero_differences[~np.isnan(nonzero_differences) & (nonzero_differences != 0)]
    doubled_ranks = np.rint(2 * pd.Series(np.abs(nonzero_differences)).rank().to_numpy()).astype(
        np.int64
    )  # integers also with ties
    positive_rank_sum, negative_rank_sum = (
        int(doubled_ranks[nonzero_differences > 0].sum()),
        int(doubled_ranks[nonzero_differences < 0].sum()),
    )
    sum_distribution = _rank_sum_distribution(tuple(sorted(doubled_ranks.tolist())))
    p = min(1.0, 2 * float(sum_distribution[: min(positive_rank_sum, negative_rank_sum) + 1].sum()))
    return SignedRankTest((positive_rank_sum - negative_rank_sum) / 2, p, len(nonzero_differences))


@lru_cache(maxsize=64)
def _rank_sum_distribution(doubled_ranks: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """The probability of every sum of positive ranks (doubled) if each sign is equally likely."""
    probabilities = np.zeros(sum(doubled_ranks) + 1)
    probabilities[0] = 1.0
    for rank in doubled_ranks:
        shifted_probabilities = np.concatenate([np.zeros(rank), probabilities[:-rank]])
        probabilities = (probabilities + shifted_probabilities) / 2
    return probabilities
