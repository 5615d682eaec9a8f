"""Verdicts on differences between entries from simultaneous intervals, the set of entries that may be the best, P(best).

All comparisons that answer one question are judged together: their intervals cover all true differences of the question with
95 %. The critical value is that of the largest standardised difference (max-T) among entries that are all equal, with the
estimated correlation, drawn from normal scores per fold (a parametric bootstrap). The drawn statistics are divided by a drawn
standard error, so that the degrees of freedom of every pair count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from harness.evaluation.variance import (
    MAX_PRIOR_DEGREES,
    STRETCH,
    Floats,
    PairVariance,
    ScoreSample,
    effective_fold_degrees,
    pair_difference_variances,
)

Verdict: TypeAlias = Literal["better", "worse", "practically equal", "undecided"]
Pairs: TypeAlias = Sequence[tuple[int, int]]

CONFIDENCE = 0.95
DRAWS = 2000
MANY_PAIRS = 300  #: from which on half as many draws are made: 780 pairs take 0.15 s
MAX_DRAWN_NUMBERS = 1_000_000  #: at a time, 8 MB
ROUNDING = 1e-12
TINY = 1e-300  #: above 0, so that nothing is divided by 0


@dataclass(frozen=True)
class Comparison:
    """The difference first − second of a pair with its simultaneous interval.

    `p` is adjusted for all comparisons of the question; `verdict` says what the first is compared with the second.
    """

    first: int
    second: int
    difference: float
    standard_error: float
    low: float
    high: float
    p: float
    verdict: Verdict


@dataclass(frozen=True)
class Comparisons:
    """All comparisons of one question, and the critical value in standard errors that they share."""

    critical_value: float
    pairs: tuple[Comparison, ...]


def compare_pairs(
    sample: ScoreSample, variance: PairVariance, pairs: Pairs, *, rope: float, sign: int, seed: int
) -> Comparisons:
    """Judge pairs of entries together.

    Parameters
    ----------
    sample : ScoreSample
        The scores.
    variance : PairVariance
        From `estimate_variance`.
    pairs : sequence of (int, int)
        Positions of the entries.
    rope : float
        Differences up to this size are practically none.
    sign : {1, -1}
        1 if greater scores are better.
    seed : int
        Of the draws.

    Returns
    -------
    Comparisons
        In the order of `pairs`.

    References
    ----------
    Westfall & Young (1993), Resampling-Based Multiple Testing. Hothorn, Bretz & Westfall (2008), Simultaneous Inference in
    General Parametric Models, Biometrical Journal 50.
    """
    if not pairs:
        return Comparisons(math.nan, ())
    largest = np.concatenate([np.abs(block).max(axis=1) for block in _draw_null_statistics(variance, pairs, seed)])
    return _judge_pairs(sample, variance, pairs, np.sort(largest), (rope, sign))


def _judge_pairs(
    sample: ScoreSample, variance: PairVariance, pairs: Pairs, largest: Floats, scale: tuple[float, int]
) -> Comparisons:
    """Judge pairs by the sorted largest statistics that chance gives; `scale` is the region of equivalence and the sign."""
    critical_value = float(np.quantile(largest, CONFIDENCE))
    judged = []
    for first, second in pairs:
        difference = float(sample.means[first] - sample.means[second])
        error = float(variance.standard_errors[first, second])
        p = 1.0
        if abs(difference) > ROUNDING:
            statistic = abs(difference) / error if error > 0 else math.inf
            at_least = len(largest) - int(np.searchsorted(largest, statistic))
            p = (1 + at_least) / (1 + len(largest))
        low, high = difference - critical_value * error, difference + critical_value * error
        verdict = read_verdict_from_interval(low, high, rope=scale[0], sign=scale[1])
        judged.append(Comparison(first, second, difference, error, low, high, p, verdict))
    return Comparisons(critical_value, tuple(judged))


def read_verdict_from_interval(low: float, high: float, *, rope: float, sign: int) -> Verdict:
    """Read a verdict from an interval of a difference.

    Parameters
    ----------
    low, high : float
        Ends of the interval.
    rope : float
        Differences up to this size are practically none.
    sign : {1, -1}
        1 if greater scores are better.

    Returns
    -------
    str
        `practically equal` where the interval lies within the region, else `better` or `worse` where it excludes 0, else
        `undecided`.
    """
    if -rope <= low and high <= rope:
        return "practically equal"
    if low > ROUNDING:
        return "better" if sign > 0 else "worse"
    if high < -ROUNDING:
        return "worse" if sign > 0 else "better"
    return "undecided"


def compare_all_with_best(
    sample: ScoreSample, variance: PairVariance, best: int, *, rope: float, sign: int, seed: int
) -> tuple[Comparisons, npt.NDArray[np.bool_]]:
    """Compare all entries with the best one, judged over all pairs, and find those that may be the best.

    An entry is excluded from the 95 % set where another one is better by more than the largest of the standardised differences
    to all others explains. Being in the set does not mean being equal to the best.

    Parameters
    ----------
    sample, variance, rope, sign, seed
        As for `compare_pairs`.
    best : int
        Position of the entry with the best score.

    Returns
    -------
    Comparisons
        Of every other entry with the best one.
    ndarray of bool of shape (m,)
        Whether each entry may be the best.

    References
    ----------
    Hsu (1996), Multiple Comparisons. Mogstad, Romano, Shaikh & Wilhelm (2024), Inference for Ranks, Review of Economic Studies 91.
    """
    pairs = list(combinations(range(sample.size), 2))
    first, second = np.array(pairs).T
    largest, excess = [], []
    for block in _draw_null_statistics(variance, pairs, seed):
        largest.append(np.abs(block).max(axis=1))
        by_pair = np.full((len(block), sample.size, sample.size), -np.inf)
        by_pair[:, first, second], by_pair[:, second, first] = block, -block
        excess.append(by_pair.max(axis=1))  # of any other entry over each
    limits = np.quantile(np.concatenate(excess), CONFIDENCE, axis=0)
    differences = sign * (sample.means[:, None] - sample.means[None, :])
    statistics = np.divide(
        differences, variance.standard_errors, out=np.zeros_like(differences), where=np.abs(differences) > ROUNDING
    )
    others = [(entry, best) for entry in range(sample.size) if entry != best]
    compared = _judge_pairs(sample, variance, others, np.sort(np.concatenate(largest)), (rope, sign))
    return compared, statistics.max(axis=0) <= limits


def probabilities_of_being_best(sample: ScoreSample, variance: PairVariance, *, sign: int, seed: int) -> Floats:
    """Compute the probability of every entry to be the best, given the scores and their covariance.

    Parameters
    ----------
    sample, variance, sign, seed
        As for `compare_pairs`.

    Returns
    -------
    ndarray of shape (m,)
        Adds up to 1; equal scores share their draws.
    """
    rng = np.random.default_rng(seed)
    noise = STRETCH * rng.standard_normal((DRAWS, sample.size)) @ _covariance_factor(variance.covariance).T
    degrees = float(np.median(variance.degrees))
    noise /= np.sqrt(rng.chisquare(degrees, size=(DRAWS, 1)) / degrees)
    drawn = sign * sample.means + noise
    is_best = drawn >= drawn.max(axis=1, keepdims=True) - ROUNDING
    return np.asarray((is_best / is_best.sum(axis=1, keepdims=True)).mean(axis=0))


def score_intervals(sample: ScoreSample, variance: PairVariance, bounds: tuple[float, float]) -> tuple[Floats, Floats]:
    """Compute a 95 % interval for the mean score of every entry, which never leaves the range of the metric.

    Parameters
    ----------
    sample, variance
        As for `compare_pairs`.
    bounds : tuple of float
        Least and greatest score; infinite where there is none.

    Returns
    -------
    low, high : ndarray of shape (m,)
        Computed on the logit scale between two bounds, on the log scale above one.
    """
    prior, folds = MAX_PRIOR_DEGREES, effective_fold_degrees(sample)
    floor = sample.resolution**2 / 4
    row = np.maximum(sample.splits * np.diag(sample.split_covariance), floor)
    training = np.maximum(np.diag(variance.covariance) - np.diag(sample.row_covariance), 0.0) * sample.splits
    spread = (prior * (row + training) + folds * np.diag(sample.fold_covariance)) / (prior + folds)
    row_part = np.maximum(np.diag(sample.row_covariance), floor / sample.splits) * np.minimum(
        1.0, spread / np.maximum(row, TINY)
    )
    errors = STRETCH * np.sqrt(row_part + np.maximum(spread - row, 0.0) / sample.splits)
    half_widths = special.stdtrit(prior + folds, (1 + CONFIDENCE) / 2) * errors
    return bound_interval_to_range(sample.means, half_widths, bounds)


def bound_interval_to_range(centres: Floats, half_widths: Floats, bounds: tuple[float, float]) -> tuple[Floats, Floats]:
    """Bend symmetric intervals so that they stay within the range of a metric.

    Parameters
    ----------
    centres, half_widths : ndarray
        The symmetric intervals.
    bounds : tuple of float
        Least and greatest possible number; infinite where there is none.

    Returns
    -------
    low, high : ndarray
        A centre at a bound has that bound as one end.
    """
    lower, upper = bounds
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if math.isfinite(lower) and math.isfinite(upper):
            share = (centres - lower) / (upper - lower)
            logits = np.log(share / (1 - share))
            widths = half_widths / (upper - lower) / (share * (1 - share))
            low = lower + (upper - lower) / (1 + np.exp(-(logits - widths)))
            high = lower + (upper - lower) / (1 + np.exp(-(logits + widths)))
            inner = (share > 0) & (share < 1)
        elif math.isfinite(lower):
            factor = np.exp(half_widths / (centres - lower))
            low, high = lower + (centres - lower) / factor, lower + (centres - lower) * factor
            inner = centres > lower
        else:
            return centres - half_widths, centres + half_widths
    at_bound = ~inner
    low = np.where(at_bound, np.maximum(centres - half_widths, lower), low)
    high = np.where(at_bound, np.minimum(centres + half_widths, upper), high)
    return np.asarray(low), np.asarray(high)


def _draw_null_statistics(variance: PairVariance, pairs: Pairs, seed: int) -> list[Floats]:
    """Standardised differences of the pairs among equal entries, (draws, pairs), in blocks of draws."""
    first, second = np.array(pairs).T
    factor = _covariance_factor(variance.covariance)
    spread = np.sqrt(pair_difference_variances(variance.covariance)[first, second])
    spread = np.where(spread > 0, spread, 1.0)
    weights, row_degrees = variance.prior_weights[first, second], variance.row_degrees[first, second]
    fold_degrees, prior_degrees = variance.fold_degrees, variance.prior_degrees[first, second]
    _, blocks_of_pairs, block_numbers = np.unique(
        variance.blocks[first, second], return_index=True, return_inverse=True
    )
    folds = max(2, round(fold_degrees) + 1)
    rng = np.random.default_rng(seed)
    total = DRAWS if len(pairs) <= MANY_PAIRS else DRAWS // 2
    size = max(1, min(total, MAX_DRAWN_NUMBERS // (len(pairs) * folds)))
    blocks = []
    for start in range(0, total, size):
        draws = min(size, total - start)
        normal = rng.standard_normal((draws, folds, len(factor))) @ factor.T
        differences = (normal[:, :, first] - normal[:, :, second]) / spread
        fold_variance = differences.var(axis=1, ddof=1)
        overdispersion = _draw_variance_ratios(rng, prior_degrees[blocks_of_pairs], draws)[:, block_numbers]
        prior_variance = overdispersion * _draw_variance_ratios(rng, row_degrees, draws)
        pooled = (weights * prior_variance + fold_degrees * fold_variance) / (weights + fold_degrees)
        statistics = differences.mean(axis=1) * math.sqrt(folds)
        blocks.append(np.divide(statistics, np.sqrt(pooled), out=np.zeros_like(statistics), where=pooled > 0))
    return blocks


def _draw_variance_ratios(rng: np.random.Generator, degrees: Floats, draws: int) -> Floats:
    """Estimated over true variances, (draws, pairs), by the cube of a normal variable (Wilson & Hilferty 1931)."""
    spread = 2 / (9 * np.minimum(degrees, 1e6))
    normal = rng.standard_normal((draws, len(degrees)), dtype=np.float32)
    return np.asarray(np.maximum(1 - spread + normal * np.sqrt(spread), 0.05) ** 3, dtype=float)


def _covariance_factor(covariance: Floats) -> Floats:
    """A matrix whose product with its transpose is the covariance, also where that is singular."""
    eigenvalues, eigenvectors = np.linalg.eigh(covariance)
    return np.asarray(eigenvectors * np.sqrt(np.maximum(eigenvalues, 0.0)))
