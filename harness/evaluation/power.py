"""What a run could have found: the smallest difference it would have told apart, and how many repeats would settle a tie.

The mean difference over n splits has the variance s² (1/n + n_test/n_train) with n − 1 degrees of freedom (`statistics`).
Where splits are correlated just as much as that says, its t statistic follows the noncentral t distribution exactly. More
repeats take 1/n away and never n_test/n_train: a difference may be too small for any number of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from harness.evaluation.significance import FEWEST_SPLITS, LEVEL

POWER = 0.8
MOST_REPEATS = 10_000  #: what takes more is as good as never


@dataclass(frozen=True)
class Spread:
    """How a paired difference varies: its standard deviation over n splits, their n_test/n_train, how many tests share the 5 %.

    `tests` divides the level, as Holm's first and strictest step does.
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
    def half(self) -> float:
        """What a mean difference must exceed to be told apart."""
        return self.error * _quantile(self.n, self.tests)


def power(difference: float, spread: Spread) -> float:
    """How often a true difference of this size is told apart, 0 to 1; NaN with fewer than three splits."""
    if spread.n < FEWEST_SPLITS:
        return math.nan
    if spread.error == 0:
        return float(difference != 0)
    limit, shift = _quantile(spread.n, spread.tests), abs(difference) / spread.error
    return _beyond(limit, spread.n - 1, shift)


def detectable(spread: Spread, wanted: float = POWER) -> float:
    """The smallest true difference that is told apart in the wanted share of runs; NaN with fewer than three splits."""
    if spread.n < FEWEST_SPLITS:
        return math.nan
    return _shift(spread.n, spread.tests, wanted) * spread.error


def repeats_needed(difference: float, spread: Spread, folds: int) -> int | None:
    """How many repeats of so many folds set a difference like the one seen beyond its interval; None: none ever would.

    Difference and standard deviation are taken to stay what they are.
    """
    ever = spread.deviation * math.sqrt(spread.ratio) * float(stats.norm.isf(_tail(spread.tests)))
    if abs(difference) <= ever or math.isnan(difference) or spread.deviation == 0:
        return None

    def settled(repeats: int) -> bool:
        return abs(difference) > Spread(spread.deviation, repeats * folds, spread.ratio, spread.tests).half

    least = max(1, -(-FEWEST_SPLITS // folds))
    low, high = least - 1, least
    while not settled(high):
        if high > MOST_REPEATS:
            return None
        low, high = high, 2 * high
    while high - low > 1:  # the half-width only falls with the number of splits
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return high


@cache
def _shift(n: int, tests: int, wanted: float) -> float:
    """The detectable difference in standard errors."""
    limit = _quantile(n, tests)
    high = limit + 10.0
    while _beyond(limit, n - 1, high) < wanted:
        high *= 2
    return float(optimize.brentq(lambda shift: _beyond(limit, n - 1, shift) - wanted, 0.0, high))


def _tail(tests: int) -> float:
    return (1 - LEVEL) / 2 / tests


def _quantile(n: int, tests: int) -> float:
    return float(stats.t.isf(_tail(tests), n - 1))


def _beyond(limit: float, freedom: int, shift: float) -> float:
    """The chance that a noncentral t lies beyond ± limit.

    Averaged over the quantiles of the estimated standard deviation, given which the mean is normal: scipy's `nct` gives NaN
    far out in the tails, where a limit that many tests share lies.
    """
    scaled, weights = _deviations(freedom)
    return float(weights @ (special.ndtr(shift - limit * scaled) + special.ndtr(-shift - limit * scaled)))


@cache
def _deviations(freedom: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Values of an estimated standard deviation over the true one, with the weights of Gauss and Legendre's rule."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    return np.sqrt(stats.chi2.ppf((nodes + 1) / 2, freedom) / freedom), weights / 2
