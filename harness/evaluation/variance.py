"""How much the scores of entries vary: with the test rows, known from influence values, and with training, seen between folds.

The variance of a difference between two entries over the folds has two parts. The first comes from the test rows; it is known
well, from as many rows as there are. The second comes from training (another configuration, another random start); it is seen
only as the excess of the spread between folds over the first part, and K folds show it badly. Row variance alone is therefore
too small where training is unstable (equal entries differed significantly in 22 to 65 of 100 simulated runs), and the spread
between folds alone is too noisy to find anything with three or five folds.

Both are combined as moderated variances are (Smyth 2004): the spread between folds of a pair, with its K − 1 degrees of
freedom, is averaged with the row variance times the overdispersion, the ratio of the two over all pairs of the same families
and stages. That prior counts for up to 10 degrees of freedom, for fewer where few other pairs tell what the ratio is, and for
none where there are but two entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

Floats = npt.NDArray[np.float64]

MAX_PRIOR_DEGREES = 10.0
#: What all groups together say about the overdispersion of one of them counts for at most so many degrees of freedom.
MAX_COMMON_DEGREES = 30.0
#: What is known from the other pairs of a block counts half: training noise has longer tails than normal scores.
BLOCK_DISCOUNT = 0.5
#: Standard errors are stretched by it: folds share training rows, so that their scores are not independent.
ERROR_STRETCH = 1.2


@dataclass(frozen=True)
class ScoreSample:
    """The scores of m entries on the same outer splits, and the influence of the test rows on them.

    Parameters
    ----------
    scores : ndarray of shape (m, repeats, folds)
        Scores by one metric.
    groups : tuple of str
        The group of every entry, of length m: entries of one group are trained alike (family and stage).
    row_covariance : ndarray of shape (m, m)
        Covariance of the mean scores that comes from the test rows; the predictions of a row in several repeats are averaged
        first, so that repeats do not make it smaller.
    split_covariance : ndarray of shape (m, m)
        The same if the splits were independent. Equal to `row_covariance` with one repeat.
    fourth_moments : ndarray of shape (m, m)
        Sum over the rows (or blocks of rows) of the fourth power of the difference in influence of every pair: large where few
        rows make up the variance.
    resolution : float
        By how much one row can change the score of a split: no smaller spread between folds is believed.
    """

    scores: Floats
    groups: tuple[str, ...]
    row_covariance: Floats
    split_covariance: Floats
    fourth_moments: Floats
    resolution: float = 0.0

    @property
    def size(self) -> int:
        """The number of entries."""
        return int(self.scores.shape[0])

    @property
    def folds(self) -> int:
        """The number of folds of a repeat."""
        return int(self.scores.shape[2])

    @property
    def splits(self) -> int:
        """The number of outer splits, repeats × folds."""
        return int(self.scores.shape[1] * self.scores.shape[2])

    @cached_property
    def means(self) -> Floats:
        """The mean score of every entry, (m,)."""
        return np.asarray(self.scores.mean(axis=(1, 2)))

    @cached_property
    def fold_covariance(self) -> Floats:
        """Covariance of the scores between the folds of a repeat, (m, m), pooled over the repeats."""
        score_deviations = self.scores - self.scores.mean(axis=2, keepdims=True)
        flat_deviations = score_deviations.reshape(self.size, -1)
        return np.asarray(flat_deviations @ flat_deviations.T / (self.scores.shape[1] * (self.folds - 1)))

    def select(self, positions: npt.NDArray[np.int64]) -> ScoreSample:
        """The sample of some entries."""
        matrix = np.ix_(positions, positions)
        return ScoreSample(
            scores=self.scores[positions],
            groups=tuple(self.groups[position] for position in positions),
            row_covariance=self.row_covariance[matrix],
            split_covariance=self.split_covariance[matrix],
            fourth_moments=self.fourth_moments[matrix],
            resolution=self.resolution,
        )


@dataclass(frozen=True)
class PairVariance:
    """The variance of the differences between all pairs of m entries; every array has the shape (m, m).

    `standard_errors` are those of the mean differences, `degrees` the degrees of freedom behind them, of which
    `prior_weights` are the prior's; `overdispersion` is the ratio of the spread between folds to the row variance that the
    prior uses (at least 1), known with `prior_degrees` degrees of freedom and the same for all pairs of a block;
    `row_degrees` says how many degrees of freedom the row variance has. `covariance` is that of the mean scores with both
    parts.
    """

    standard_errors: Floats
    degrees: Floats
    prior_weights: Floats
    prior_degrees: Floats
    overdispersion: Floats
    blocks: npt.NDArray[np.int64]
    row_degrees: Floats
    covariance: Floats
    fold_degrees: float

    def select(self, positions: npt.NDArray[np.int64]) -> PairVariance:
        """The variance of the differences between some entries."""
        matrix = np.ix_(positions, positions)
        selected_fields = {}
        for variance_field in fields(self):
            if variance_field.name != "fold_degrees":
                selected_fields[variance_field.name] = getattr(self, variance_field.name)[matrix]
        return replace(self, **selected_fields)


def pair_difference_variances(covariance: Floats) -> Floats:
    """Compute the variance of the difference of every pair from a covariance matrix, (m, m)."""
    entry_variances = np.diag(covariance)
    return np.maximum(entry_variances[:, None] + entry_variances[None, :] - 2 * covariance, 0.0)


def estimate_variance(sample: ScoreSample) -> PairVariance:
    """Estimate the variance of all pairwise differences.

    Parameters
    ----------
    sample : ScoreSample
        The scores.

    Returns
    -------
    PairVariance
        Standard errors and degrees of freedom of every pair, and the covariance of the mean scores.

    References
    ----------
    Smyth (2004), Linear Models and Empirical Bayes Methods for Assessing Differential Expression in Microarray Experiments,
    Statistical Applications in Genetics and Molecular Biology 3. Nadeau & Bengio (2003), Inference for the Generalization Error,
    Machine Learning 52. Bayle, Bayle, Janson & Mackey (2020), Cross-validation Confidence Intervals for Test Error, NeurIPS.
    """
    variance_floor = (
        sample.resolution**2 / 4
    )  # the same step of one row in each of three splits is chance: a sign test gives 0.25
    row_variance = np.maximum(sample.splits * pair_difference_variances(sample.split_covariance), variance_floor)
    fold_variance = np.maximum(pair_difference_variances(sample.fold_covariance), variance_floor)
    fold_degrees = effective_fold_degrees(sample)
    prior = _estimate_prior(sample, row_variance, fold_variance, fold_degrees)
    degrees_of_freedom = prior.weights + fold_degrees
    pooled_variance = (
        prior.weights * prior.overdispersion * row_variance + fold_degrees * fold_variance
    ) / degrees_of_freedom
    with np.errstate(divide="ignore", invalid="ignore"):
        row_shrinkage = np.where(row_variance > 0, np.minimum(1.0, pooled_variance / row_variance), 0.0)
    row_part = (
        np.maximum(pair_difference_variances(sample.row_covariance), variance_floor / sample.splits) * row_shrinkage
    )
    training_part = np.maximum(pooled_variance - row_variance, 0.0) / sample.splits
    return PairVariance(
        standard_errors=ERROR_STRETCH * np.sqrt(row_part + training_part),
        degrees=degrees_of_freedom,
        prior_weights=prior.weights,
        prior_degrees=prior.degrees,
        overdispersion=prior.overdispersion,
        blocks=prior.blocks,
        row_degrees=_row_variance_degrees(sample),
        covariance=_mean_covariance(sample, training_part, variance_floor / sample.splits),
        fold_degrees=fold_degrees,
    )


def effective_fold_degrees(sample: ScoreSample) -> float:
    """Give the degrees of freedom of the spread between folds: repeats use the same rows and count half."""
    return float((sample.folds - 1) * (1 + sample.scores.shape[1]) / 2)


@dataclass(frozen=True)
class _PairBlock:
    """The pairs between two groups: their positions, their mean ratio of fold to row variance, its degrees of freedom."""

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    ratio: float
    degrees: float
    within_group: bool


@dataclass(frozen=True)
class _OverdispersionPrior:
    """The overdispersion of every pair, (m, m), how much it counts, what is known about it, and the number of its block."""

    overdispersion: Floats
    weights: Floats
    degrees: Floats
    blocks: npt.NDArray[np.int64]


def _estimate_prior(
    sample: ScoreSample, row_variance: Floats, fold_variance: Floats, fold_degrees: float
) -> _OverdispersionPrior:
    """Estimate the overdispersion block by block, and shrink blocks towards each other as far as they agree.

    What a block knows is the number of independent differences in it times the degrees of freedom of each; the pair itself is
    left out, as it counts by its own spread already.
    """
    pair_blocks = _group_pairs_into_blocks(sample, row_variance, fold_variance, fold_degrees)
    common_ratio, common_degrees = _common_prior(pair_blocks, len(set(sample.groups)))
    overdispersion, prior_weights, degrees_of_freedom = (
        np.ones_like(row_variance),
        np.zeros_like(row_variance),
        np.full_like(row_variance, fold_degrees),
    )
    block_numbers = np.zeros(row_variance.shape, dtype=np.int64)
    for block_number, pair_block in enumerate(pair_blocks):
        other_degrees = common_degrees + BLOCK_DISCOUNT * max(0.0, pair_block.degrees - fold_degrees)
        known_degrees = common_degrees + pair_block.degrees
        shrunken_ratio = (common_degrees * common_ratio + pair_block.degrees * pair_block.ratio) / known_degrees
        for entry_pairs in ((pair_block.first, pair_block.second), (pair_block.second, pair_block.first)):
            overdispersion[entry_pairs] = max(1.0, shrunken_ratio)
            prior_weights[entry_pairs] = min(MAX_PRIOR_DEGREES, other_degrees)
            degrees_of_freedom[entry_pairs], block_numbers[entry_pairs] = known_degrees, block_number
    return _OverdispersionPrior(overdispersion, prior_weights, degrees_of_freedom, block_numbers)


def _group_pairs_into_blocks(
    sample: ScoreSample, row_variance: Floats, fold_variance: Floats, fold_degrees: float
) -> list[_PairBlock]:
    training_excess = training_variances(fold_variance - row_variance)
    rows_alone = sample.splits * sample.split_covariance
    score_covariances = (rows_alone, rows_alone + np.diag(training_excess))
    names = sorted(set(sample.groups))
    entries_by_group = {name: np.flatnonzero(np.array(sample.groups) == name) for name in names}
    pair_blocks = []
    for position, first_name in enumerate(names):
        for second_name in names[position:]:
            first_entries, second_entries = (
                grid.ravel() for grid in np.meshgrid(entries_by_group[first_name], entries_by_group[second_name])
            )
            is_distinct = first_entries != second_entries
            first_entries, second_entries = first_entries[is_distinct], second_entries[is_distinct]
            if not len(first_entries):
                continue
            is_usable = row_variance[first_entries, second_entries] > 0
            variance_ratios = (
                fold_variance[first_entries, second_entries][is_usable]
                / row_variance[first_entries, second_entries][is_usable]
            )
            mean_ratio = float(variance_ratios.mean()) if len(variance_ratios) else 1.0
            block_entries = np.unique(np.concatenate([first_entries, second_entries]))
            degrees_of_freedom = fold_degrees * max(
                1.0, _count_independent_differences(score_covariances, block_entries)
            )
            pair_blocks.append(
                _PairBlock(first_entries, second_entries, mean_ratio, degrees_of_freedom, first_name == second_name)
            )
    return pair_blocks


def _common_prior(pair_blocks: Sequence[_PairBlock], group_count: int) -> tuple[float, float]:
    """The overdispersion that groups have in common, and how many degrees of freedom it is worth: few where groups differ.

    By the moments of the logarithms of the groups' ratios, as for moderated variances; with G groups it is worth (G − 2)/G of
    the estimate, and at most `MAX_COMMON_DEGREES`.
    """
    group_blocks = [pair_block for pair_block in pair_blocks if pair_block.within_group and pair_block.ratio > 0]
    if len(group_blocks) < 3:
        return 1.0, 0.0
    block_ratios, block_degrees = np.array([(pair_block.ratio, pair_block.degrees) for pair_block in group_blocks]).T
    log_ratios = np.log(block_ratios) - special.digamma(block_degrees / 2) + np.log(block_degrees / 2)
    log_ratio_excess = float(log_ratios.var(ddof=1) - special.polygamma(1, block_degrees / 2).mean())
    prior_degrees = MAX_COMMON_DEGREES
    if log_ratio_excess > special.polygamma(1, MAX_COMMON_DEGREES / 2):
        prior_degrees = float(
            optimize.brentq(lambda d: float(special.polygamma(1, d / 2)) - log_ratio_excess, 1e-3, MAX_COMMON_DEGREES)
        )
    pooled_ratio = float((block_degrees @ block_ratios) / block_degrees.sum())
    return pooled_ratio, prior_degrees * (group_count - 2) / group_count


def _count_independent_differences(covariances: Sequence[Floats], block_entries: npt.NDArray[np.int64]) -> float:
    """How many independent differences there are between the entries of a block: (trace Σ)²/trace Σ² of centred scores.

    The least number over the covariance of the rows alone and that with the training variance of every entry: where only two
    entries of four are unstable, two differences are independent.
    """
    difference_counts = []
    for covariance in covariances:
        centring_matrix = np.eye(len(block_entries)) - 1 / len(block_entries)
        centred_covariance = centring_matrix @ covariance[np.ix_(block_entries, block_entries)] @ centring_matrix
        covariance_trace, squared_total = np.trace(centred_covariance), (centred_covariance * centred_covariance).sum()
        difference_counts.append(
            float(covariance_trace * covariance_trace / squared_total) if squared_total > 0 else 0.0
        )
    return float(min(difference_counts))


def _row_variance_degrees(sample: ScoreSample) -> Floats:
    """The degrees of freedom of the row variance of every pair: 2 V²/Σu⁴, two per row where few rows make all of it."""
    squared_variances = pair_difference_variances(sample.row_covariance) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees_of_freedom = np.where(sample.fourth_moments > 0, 2 * squared_variances / sample.fourth_moments, np.inf)
    return np.maximum(degrees_of_freedom, 1.0)


def training_variances(excess: Floats) -> Floats:
    """Split the excess of every pair over the row variance into the training variances of its two entries, (m,).

    Least squares: the excess of a pair is the sum of two variances; none is below 0.
    """
    entry_count = len(excess)
    excess_by_entry = excess.sum(axis=1) - np.diag(excess)
    if entry_count <= 2:
        return np.asarray(np.maximum(excess_by_entry / 2, 0.0))
    total_variance = excess_by_entry.sum() / (2 * (entry_count - 1))
    return np.asarray(np.maximum((excess_by_entry - total_variance) / (entry_count - 2), 0.0))


def _mean_covariance(sample: ScoreSample, training_part: Floats, floor: float) -> Floats:
    """The covariance of the mean scores: that of the rows, and the training variance of every entry.

    Differences have at least the variance `floor`, so that there is chance among entries whose scores differ equally in all splits.
    """
    entry_variances = training_variances(training_part) + floor / 2
    return np.asarray(sample.row_covariance + np.diag(entry_variances))
