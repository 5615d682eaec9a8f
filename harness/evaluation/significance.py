"""Verdicts on differences between entries from simultaneous intervals, the set of entries that may be the best, P(best).

All comparisons that answer one question are judged together: their intervals cover all true differences of the question with
95 %. The critical value is that of the largest standardised difference (max-T) among entries that are all equal, with the
estimated correlation, drawn from normal scores per fold (a parametric bootstrap). The drawn statistics are divided by a drawn
standard error, so that the degrees of freedom of every pair count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from harness.evaluation.variance import (
    ERROR_STRETCH,
    MAX_PRIOR_DEGREES,
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
TINY_DIVISOR = 1e-300  #: above 0, so that nothing is divided by 0


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
    largest_statistics = np.concatenate(
        [np.abs(statistic_block).max(axis=1) for statistic_block in draw_null_statistics(variance, pairs, seed)]
    )
    return _judge_pairs(sample, variance, pairs, np.sort(largest_statistics), (rope, sign))


def _judge_pairs(
    sample: ScoreSample,
    variance: PairVariance,
    entry_pairs: Pairs,
    largest_statistics: Floats,
    rope_and_sign: tuple[float, int],
) -> Comparisons:
    """Judge pairs by the sorted largest statistics that chance gives; `rope_and_sign` is the region of equivalence and the sign."""
    critical_value = float(np.quantile(largest_statistics, CONFIDENCE))
    judged_pairs = []
    for first_entry, second_entry in entry_pairs:
        difference = float(sample.means[first_entry] - sample.means[second_entry])
        error = float(variance.standard_errors[first_entry, second_entry])
        p = 1.0
        if abs(difference) > ROUNDING:
            test_statistic = abs(difference) / error if error > 0 else math.inf
            exceedance_count = len(largest_statistics) - int(np.searchsorted(largest_statistics, test_statistic))
            p = (1 + exceedance_count) / (1 + len(largest_statistics))
        interval_low, interval_high = difference - critical_value * error, difference + critical_value * error
        pair_verdict = read_verdict_from_interval(
            interval_low, interval_high, rope=rope_and_sign[0], sign=rope_and_sign[1]
        )
        judged_pairs.append(
            Comparison(first_entry, second_entry, difference, error, interval_low, interval_high, p, pair_verdict)
        )
    return Comparisons(critical_value, tuple(judged_pairs))


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
    entry_pairs = list(combinations(range(sample.size), 2))
    first_entries, second_entries = np.array(entry_pairs).T
    largest_statistics, excess_statistics = [], []
    for statistic_block in draw_null_statistics(variance, entry_pairs, seed):
        largest_statistics.append(np.abs(statistic_block).max(axis=1))
        statistics_by_pair = np.full((len(statistic_block), sample.size, sample.size), -np.inf)
        statistics_by_pair[:, first_entries, second_entries], statistics_by_pair[:, second_entries, first_entries] = (
            statistic_block,
            -statistic_block,
        )
        excess_statistics.append(statistics_by_pair.max(axis=1))  # of any other entry over each
    excess_limits = np.quantile(np.concatenate(excess_statistics), CONFIDENCE, axis=0)
    differences = sign * (sample.means[:, None] - sample.means[None, :])
    pair_statistics = np.divide(
        differences, variance.standard_errors, out=np.zeros_like(differences), where=np.abs(differences) > ROUNDING
    )
    pairs_with_best = [(entry, best) for entry in range(sample.size) if entry != best]
    pair_comparisons = _judge_pairs(
        sample, variance, pairs_with_best, np.sort(np.concatenate(largest_statistics)), (rope, sign)
    )
    return pair_comparisons, pair_statistics.max(axis=0) <= excess_limits


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
    score_noise = ERROR_STRETCH * rng.standard_normal((DRAWS, sample.size)) @ _covariance_factor(variance.covariance).T
    degrees_of_freedom = float(np.median(variance.degrees))
    score_noise /= np.sqrt(rng.chisquare(degrees_of_freedom, size=(DRAWS, 1)) / degrees_of_freedom)
    drawn_scores = sign * sample.means + score_noise
    is_best = drawn_scores >= drawn_scores.max(axis=1, keepdims=True) - ROUNDING
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
    prior_degrees, fold_degrees = MAX_PRIOR_DEGREES, effective_fold_degrees(sample)
    variance_floor = sample.resolution**2 / 4
    row_variance = np.maximum(sample.splits * np.diag(sample.split_covariance), variance_floor)
    training_variance = np.maximum(np.diag(variance.covariance) - np.diag(sample.row_covariance), 0.0) * sample.splits
    pooled_variance = (
        prior_degrees * (row_variance + training_variance) + fold_degrees * np.diag(sample.fold_covariance)
    ) / (prior_degrees + fold_degrees)
    mean_row_variance = np.maximum(np.diag(sample.row_covariance), variance_floor / sample.splits) * np.minimum(
        1.0, pooled_variance / np.maximum(row_variance, TINY_DIVISOR)
    )
    standard_errors = ERROR_STRETCH * np.sqrt(
        mean_row_variance + np.maximum(pooled_variance - row_variance, 0.0) / sample.splits
    )
    half_widths = special.stdtrit(prior_degrees + fold_degrees, (1 + CONFIDENCE) / 2) * standard_errors
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
    lower_bound, upper_bound = bounds
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if math.isfinite(lower_bound) and math.isfinite(upper_bound):
            range_share = (centres - lower_bound) / (upper_bound - lower_bound)
            logits = np.log(range_share / (1 - range_share))
            logit_widths = half_widths / (upper_bound - lower_bound) / (range_share * (1 - range_share))
            interval_low = lower_bound + (upper_bound - lower_bound) / (1 + np.exp(-(logits - logit_widths)))
            interval_high = lower_bound + (upper_bound - lower_bound) / (1 + np.exp(-(logits + logit_widths)))
            is_inside = (range_share > 0) & (range_share < 1)
        elif math.isfinite(lower_bound):
            width_factor = np.exp(half_widths / (centres - lower_bound))
            interval_low, interval_high = (
                lower_bound + (centres - lower_bound) / width_factor,
                lower_bound + (centres - lower_bound) * width_factor,
            )
            is_inside = centres > lower_bound
        else:
            return centres - half_widths, centres + half_widths
    at_bound = ~is_inside
    interval_low = np.where(at_bound, np.maximum(centres - half_widths, lower_bound), interval_low)
    interval_high = np.where(at_bound, np.minimum(centres + half_widths, upper_bound), interval_high)
    return np.asarray(interval_low), np.asarray(interval_high)


def draw_null_statistics(variance: PairVariance, entry_pairs: Pairs, seed: int) -> Iterator[Floats]:
    """Draw the standardised differences of the pairs among equal entries.

    Parameters
    ----------
    variance : PairVariance
        From `estimate_variance`.
    entry_pairs : sequence of (int, int)
        Positions of the entries.
    seed : int
        Of the draws.

    Yields
    ------
    ndarray of shape (draws, pairs)
        Blocks of draws, `count_draws` of them in all.
    """
    first_entries, second_entries = np.array(entry_pairs).T
    covariance_factor = _covariance_factor(variance.covariance)
    difference_deviations = np.sqrt(pair_difference_variances(variance.covariance)[first_entries, second_entries])
    difference_deviations = np.where(difference_deviations > 0, difference_deviations, 1.0)
    prior_weights, row_degrees = (
        variance.prior_weights[first_entries, second_entries],
        variance.row_degrees[first_entries, second_entries],
    )
    fold_degrees, prior_degrees = variance.fold_degrees, variance.prior_degrees[first_entries, second_entries]
    _, blocks_of_pairs, block_numbers = np.unique(
        variance.blocks[first_entries, second_entries], return_index=True, return_inverse=True
    )
    folds = max(2, round(fold_degrees) + 1)
    rng = np.random.default_rng(seed)
    total_draws = count_draws(len(entry_pairs))
    block_draws = max(1, min(total_draws, MAX_DRAWN_NUMBERS // (len(entry_pairs) * folds)))
    for first_draw in range(0, total_draws, block_draws):
        draw_count = min(block_draws, total_draws - first_draw)
        normal_draws = rng.standard_normal((draw_count, folds, len(covariance_factor))) @ covariance_factor.T
        mean_differences, fold_variance = _pair_moments(normal_draws, first_entries, second_entries)
        fold_variance = fold_variance / difference_deviations**2
        overdispersion = _draw_variance_ratios(rng, prior_degrees[blocks_of_pairs], draw_count)[:, block_numbers]
        prior_variance = overdispersion * _draw_variance_ratios(rng, row_degrees, draw_count)
        pooled_variance = (prior_weights * prior_variance + fold_degrees * fold_variance) / (
            prior_weights + fold_degrees
        )
        pair_statistics = mean_differences / difference_deviations * math.sqrt(folds)
        yield np.divide(
            pair_statistics, np.sqrt(pooled_variance), out=np.zeros_like(pair_statistics), where=pooled_variance > 0
        )


def count_draws(pair_count: int) -> int:
    """Give the number of draws for so many pairs."""
    return DRAWS if pair_count <= MANY_PAIRS else DRAWS // 2


def _pair_moments(
    drawn_scores: Floats, first_entries: npt.NDArray[np.int64], second_entries: npt.NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Mean over the folds, and variance between them, of the drawn differences of the pairs, (draws, pairs) each.

    Draws are the last axis while they are computed: with 40 entries that takes a quarter of the time.
    """
    scores_by_entry = np.ascontiguousarray(drawn_scores.transpose(2, 1, 0))
    entry_means = scores_by_entry.mean(axis=1)
    scores_by_entry -= entry_means[:, None]
    deviations = scores_by_entry[first_entries]
    deviations -= scores_by_entry[second_entries]
    fold_variance = np.einsum("pfd,pfd->dp", deviations, deviations) / (drawn_scores.shape[1] - 1)
    return (entry_means[first_entries] - entry_means[second_entries]).T, fold_variance


def _draw_variance_ratios(rng: np.random.Generator, degrees_of_freedom: Floats, draw_count: int) -> Floats:
    """Estimated over true variances, (draws, pairs), by the cube of a normal variable (Wilson & Hilferty 1931)."""
    cube_root_variance = 2 / (9 * np.minimum(degrees_of_freedom, 1e6))
    normal_draws = rng.standard_normal((draw_count, len(degrees_of_freedom)), dtype=np.float32)
    return np.asarray(
        np.maximum(1 - cube_root_variance + normal_draws * np.sqrt(cube_root_variance), 0.05) ** 3, dtype=float
    )


def _covariance_factor(covariance: Floats) -> Floats:
    """A matrix whose product with its transpose is the covariance, also where that is singular."""
    eigenvalues, eigenvectors = np.linalg.eigh(covariance)
    return np.asarray(eigenvectors * np.sqrt(np.maximum(eigenvalues, 0.0)))
