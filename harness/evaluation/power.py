"""Power of the corrected t test: the smallest detectable difference, and how many repeats would make a difference significant.

The mean difference over n splits has the variance s² (1/n + n_test/n_train) with n − 1 degrees of freedom (`significance`).
Where splits are correlated just as much as that says, its t statistic follows the noncentral t distribution exactly. More
repeats reduce 1/n but never n_test/n_train: a difference may be too small for any number of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from harness.evaluation.significance import CONFIDENCE, MIN_SPLITS

POWER = 0.8
MAX_REPEATS = 10_000  #: more is as good as never


@dataclass(frozen=True)
class PairedSpread:
    """How a paired difference varies: its standard deviation over n splits, n_test/n_train, the number of tests.

    `tests` divides the significance level, as the first and strictest step of Holm's procedure does.
    """

    deviation: float
    n: int
    ratio: float
    tests: int = 1

    @property
    def error(self) -> float:
        """The corrected standard error of the mean difference."""
        return self.deviation * math.sqrt(1 / self.n + self.ratio)

    @property
    def min_significant(self) -> float:
        """What a mean difference must exceed to be significant."""
        return self.error * _quantile(self.n, self.tests)


def power(difference: float, spread: PairedSpread) -> float:
    """Compute the probability that a true difference of this size is significant; NaN with fewer than three splits."""
    if spread.n < MIN_SPLITS:
        return math.nan
    if spread.error == 0:
        return float(difference != 0)
    limit, shift = _quantile(spread.n, spread.tests), abs(difference) / spread.error
    return _tail_probability(limit, spread.n - 1, shift)


def min_detectable_difference(spread: PairedSpread, target: float = POWER) -> float:
    """Compute the smallest true difference that is significant with probability `target`; NaN with fewer than three splits."""
    if spread.n < MIN_SPLITS:
        return math.nan
    return _detectable_shift(spread.n, spread.tests, target) * spread.error


def repeats_needed(difference: float, spread: PairedSpread, folds: int) -> int | None:
    """Compute how many repeats would make an observed difference significant.

    The difference and its standard deviation are assumed to stay what they are.

    Parameters
    ----------
    difference : float
        The observed mean difference.
    spread : PairedSpread
        How it varies over the splits.
    folds : int
        Splits of one repeat.

    Returns
    -------
    int or None
        None if no number of repeats, or none up to `MAX_REPEATS`, would.

    References
    ----------
    Nadeau & Bengio (2003), Inference for the Generalization Error, Machine Learning 52.
    """
    limit = spread.deviation * math.sqrt(spread.ratio) * float(stats.norm.isf(_tail(spread.tests)))
    if abs(difference) <= limit or math.isnan(difference) or spread.deviation == 0:
        return None

    def is_significant(repeats: int) -> bool:
        repeated = PairedSpread(spread.deviation, repeats * folds, spread.ratio, spread.tests)
        return abs(difference) > repeated.min_significant

    minimum = max(1, -(-MIN_SPLITS // folds))
    low, high = minimum - 1, minimum
    while not is_significant(high):
        if high > MAX_REPEATS:
            return None
        low, high = high, 2 * high
    while high - low > 1:  # the interval only becomes shorter with the number of splits
        middle = (low + high) // 2
        low, high = (low, middle) if is_significant(middle) else (middle, high)
    return high


@cache
def _detectable_shift(n: int, tests: int, target: float) -> float:
    """The detectable difference in standard errors."""
    limit = _quantile(n, tests)
    high = limit + 10.0
    while _tail_probability(limit, n - 1, high) < target:
        high *= 2
    return float(optimize.brentq(lambda shift: _tail_probability(limit, n - 1, shift) - target, 0.0, high))


def _tail(tests: int) -> float:
    return (1 - CONFIDENCE) / 2 / tests


def _quantile(n: int, tests: int) -> float:
    return float(stats.t.isf(_tail(tests), n - 1))


def _tail_probability(limit: float, degrees: int, shift: float) -> float:
    """The probability that a noncentral t is beyond ± limit.

    Averaged over the quantiles of the estimated standard deviation, given which the mean is normal: scipy's `nct` gives NaN
    far out in the tails, where the limit of many tests is.
    """
    deviations, weights = _deviation_quadrature(degrees)
    return float(weights @ (special.ndtr(shift - limit * deviations) + special.ndtr(-shift - limit * deviations)))


@cache
def _deviation_quadrature(degrees: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Estimated over true standard deviations, with the weights of Gauss and Legendre's rule."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    return np.sqrt(stats.chi2.ppf((nodes + 1) / 2, degrees) / degrees), weights / 2
