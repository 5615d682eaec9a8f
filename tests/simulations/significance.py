"""How often equal entries are called different, and how small a difference is found: simulations with known truth.

Every repetition draws labels and the scores of entries on outer folds, and judges all pairs as a report does. Entries are equal,
or one of them is better by a known amount. Training is stable (an entry's scores of a row are the same in all folds but for a
little noise) or unstable (noise, shift and scale of the scores are drawn anew in every fold, as if another configuration had
been trained). Run it by ``make simulations``; it prints a table in Markdown.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness.evaluation.samples import fourth_moments
from harness.evaluation.significance import CONFIDENCE, compare_all_with_best, count_draws, draw_null_statistics
from harness.evaluation.variance import PairVariance, ScoreSample, estimate_variance
from harness.metrics.classification import METRICS
from harness.metrics.metric import Metric, Predictions

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BY_NAME = {metric.name: metric for metric in METRICS}
POSITIVE_SHARE = 0.25
THRESHOLD = 0.35
BOUND = 0.06  #: of the family-wise error, for the upper 95 % confidence bound


@dataclass(frozen=True)
class Setting:
    """One line of the table: entries, folds, repeats, rows, and how stable training is."""

    entries: int
    folds: int
    repeats: int
    rows: int
    training: str
    metric: str = "roc_auc"
    signal: float = 1.2
    gain: float = 0.0  #: by which the first entry separates the classes better


TRAINING = ("stable", "unstable")
SETTINGS = [
    *(
        Setting(entries, folds, 1, 1000, training)
        for folds in (3, 5)
        for entries in (2, 12, 40)
        for training in TRAINING
    ),
    *(Setting(12, 10, 1, 1000, training) for training in TRAINING),
    *(Setting(12, 2, 5, 1000, training) for training in TRAINING),
    *(Setting(12, 5, 1, rows, training) for rows in (300, 10_000) for training in TRAINING),
    *(Setting(12, 5, 1, 1000, training, "average_precision") for training in TRAINING),
    *(Setting(12, 5, 1, 1000, training, "log_loss") for training in TRAINING),
    *(Setting(12, 5, 1, 1000, training, "f1") for training in TRAINING),
    Setting(12, 3, 1, 600, "stable", "roc_auc", signal=6.0),
]


@dataclass(frozen=True)
class Outcome:
    """What came out of a setting: in how many repetitions equal entries were called different, and of what size differences were."""

    setting: Setting
    repetitions: int
    false_claims: int
    best_excluded: int
    missed: int  #: simultaneous intervals of the first two entries that miss the true difference

    @property
    def error(self) -> float:
        """The family-wise error."""
        return self.false_claims / self.repetitions

    @property
    def upper_bound(self) -> float:
        """The upper 95 % confidence bound of the family-wise error (Clopper & Pearson)."""
        return float(stats.beta.ppf(0.95, self.false_claims + 1, self.repetitions - self.false_claims))


def assign_folds(y: Integers, folds: int, rng: np.random.Generator) -> Integers:
    """Assign rows to stratified folds."""
    assigned = np.empty(len(y), dtype=np.int64)
    for label in (0, 1):
        members = rng.permutation(np.flatnonzero(y == label))
        assigned[members] = np.resize(rng.permutation(folds), len(members))
    return assigned


def draw_sample(setting: Setting, seed: int) -> ScoreSample:
    """Draw the scores of equal entries on the outer folds of one benchmark, with the influence of its rows.

    Parameters
    ----------
    setting : Setting
        What is simulated.
    seed : int
        Seed of the repetition.

    Returns
    -------
    ScoreSample
        As it is read from a stored run.
    """
    rng = np.random.default_rng([seed, setting.entries, setting.folds, setting.repeats, setting.rows])
    metric = BY_NAME[setting.metric]
    y = (rng.permutation(setting.rows) < POSITIVE_SHARE * setting.rows).astype(np.int64)
    common = 0.8 * rng.normal(size=setting.rows) + setting.signal * (y - 0.5)
    logits = common + 0.6 * rng.normal(size=(setting.entries, setting.rows))
    logits[0] += setting.gain * (y - 0.5)
    splits = setting.repeats * setting.folds
    scores = np.empty((setting.entries, setting.repeats, setting.folds))
    totals = np.zeros((setting.entries, setting.rows))
    split_covariance = np.zeros((setting.entries, setting.entries))
    for repeat in range(setting.repeats):
        assigned = assign_folds(y, setting.folds, rng)
        for fold in range(setting.folds):
            test = np.flatnonzero(assigned == fold)
            trained = perturb(logits[:, test], setting.training, rng)
            scores[:, repeat, fold], influence = score_entries(metric, y[test], trained)
            totals[:, test] += influence
            split_covariance += influence @ influence.T
    totals /= splits
    groups = tuple(f"family {4 * entry // setting.entries}" for entry in range(setting.entries))
    resolution = setting.folds / (y.sum() if metric.metric_type != "probability" else setting.rows)
    fourth = fourth_moments(totals)
    return ScoreSample(scores, groups, totals @ totals.T, split_covariance / splits**2, fourth, float(resolution))


def perturb(logits: Floats, training: str, rng: np.random.Generator) -> Floats:
    """Add what training changes from fold to fold."""
    if training == "stable":
        return np.asarray(logits + 0.15 * rng.normal(size=logits.shape))
    entries = (len(logits), 1)
    noise = rng.uniform(0, 1.5, size=entries) * rng.normal(size=logits.shape)
    return np.asarray((logits + noise + 0.8 * rng.normal(size=entries)) * np.exp(0.4 * rng.normal(size=entries)))


def score_entries(metric: Metric, y: Integers, logits: Floats) -> tuple[Floats, Floats]:
    """Score the test rows of a fold for all entries, with the influence of every row on the mean, centred in every class.

    Parameters
    ----------
    metric : Metric
        The metric.
    y : ndarray of int of shape (n,)
        True classes, 0 or 1.
    logits : ndarray of shape (m, n)
        Scores of the rows by every entry.

    Returns
    -------
    scores : ndarray of shape (m,)
        Score of every entry.
    influence : ndarray of shape (m, n)
        Influence of every row divided by the number of rows.
    """
    if metric.name == "roc_auc":
        scores, influence = compute_auc_of_entries(y, logits)
    else:
        scores, influence = compute_metric_of_entries(metric, y, logits)
    for label in (0, 1):
        members = y == label
        correction = np.sqrt(members.sum() / (members.sum() - 1))
        class_influence = influence[:, members]
        influence[:, members] = correction * (class_influence - class_influence.mean(axis=1, keepdims=True))
    return scores, influence / len(y)


def compute_auc_of_entries(y: Integers, logits: Floats) -> tuple[Floats, Floats]:
    """Compute the area under the ROC curve and its influence for all entries at once, from scores without ties.

    One sort gives the placement values of all rows; the package's function takes thirty times as long for 40 entries.
    """
    row_order = np.argsort(logits, axis=1)
    positive_in_order = y[row_order]
    positives, negatives = int(y.sum()), int(len(y) - y.sum())
    positives_below = np.cumsum(positive_in_order, axis=1)
    negatives_below = np.cumsum(1 - positive_in_order, axis=1)
    placements_in_order = np.where(positive_in_order, negatives_below / negatives, 1 - positives_below / positives)
    placements = np.empty_like(logits)
    np.put_along_axis(placements, row_order, placements_in_order, axis=1)
    aucs = placements[:, y == 1].mean(axis=1)
    class_shares = np.where(y == 1, positives, negatives) / len(y)
    return aucs, (placements - aucs[:, None]) / class_shares


def compute_metric_of_entries(metric: Metric, y: Integers, logits: Floats) -> tuple[Floats, Floats]:
    """Compute any metric and its influence by the functions of the package, entry by entry."""
    assert metric.influence is not None
    scores, influence = np.empty(len(logits)), np.empty_like(logits)
    positive = 1 / (1 + np.exp(-(logits + np.log(POSITIVE_SHARE / (1 - POSITIVE_SHARE)))))
    for entry, probabilities in enumerate(positive):
        predictions = Predictions(y, np.column_stack([1 - probabilities, probabilities]), THRESHOLD)
        scores[entry] = metric.compute(predictions)
        influence[entry] = metric.influence(predictions, None)
    return scores, influence


def simulate(setting: Setting, repetitions: int, seed: int) -> Outcome:
    """Judge equal entries again and again.

    Parameters
    ----------
    setting : Setting
        What is simulated.
    repetitions : int
        How often.
    seed : int
        Seed of the first repetition; the others follow.

    Returns
    -------
    Outcome
        Counts of wrong claims.
    """
    sign = BY_NAME[setting.metric].sign
    false_claims = best_excluded = missed = 0
    for repetition in range(repetitions):
        sample = draw_sample(setting, seed + repetition)
        variance = estimate_variance(sample)
        if are_claims_impossible(sample, variance, sign, seed + repetition):
            continue
        best = int((sign * sample.means).argmax())
        compared, possible = compare_all_with_best(sample, variance, best, rope=0.0, sign=sign, seed=seed + repetition)
        differences = np.abs(sample.means[:, None] - sample.means[None, :])
        limits = compared.critical_value * variance.standard_errors
        false_claims += bool((differences > limits + 1e-12).any())
        missed += bool(differences[0, 1] > limits[0, 1] + 1e-12)
        best_excluded += not possible[0]
    return Outcome(setting, repetitions, false_claims, best_excluded, missed)


def are_claims_impossible(sample: ScoreSample, variance: PairVariance, sign: int, seed: int) -> bool:
    """Check whether the first draws already show that no entry will be called different, nor the first one excluded.

    A critical value is the 95 % quantile over all draws. Where more than 5 % of them have exceeded a statistic, the others need
    not be drawn: with 40 entries the first quarter of the draws suffices in most repetitions.
    """
    pairs = list(combinations(range(sample.size), 2))
    first_entries, second_entries = np.array(pairs).T
    differences = sample.means[first_entries] - sample.means[second_entries]
    errors = variance.standard_errors[first_entries, second_entries]
    observed = np.divide(differences, errors, out=np.zeros_like(errors), where=errors > 0)
    with_first = first_entries == 0
    sufficient_draws = (1 - CONFIDENCE) * count_draws(len(pairs)) + 2
    statistics = next(draw_null_statistics(variance, pairs, seed))
    differing = np.abs(statistics).max(axis=1) >= np.abs(observed).max()
    excluding = (-statistics[:, with_first]).max(axis=1) >= (-sign * observed[with_first]).max()
    return bool(min(differing.sum(), excluding.sum()) >= sufficient_draws)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=2000, help="runs per setting")
    parser.add_argument("--entries", type=int, choices=(2, 12, 40), help="the settings with so many entries alone")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(
        "| entries | folds | repeats | rows | training | metric | runs | family-wise error | upper bound | best excluded | coverage |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for setting in sorted(SETTINGS, key=lambda setting: setting.entries):  # 40 entries take ten times as long as 12
        if arguments.entries in (None, setting.entries):
            outcome = simulate(setting, arguments.repetitions, arguments.seed)
            print(table_line(outcome), flush=True)


def table_line(outcome: Outcome) -> str:
    """Write an outcome as a line of the table."""
    setting = outcome.setting
    signal = ", nearly perfect" if setting.signal > 5 else ""
    shares = (outcome.error, outcome.upper_bound, outcome.best_excluded / outcome.repetitions)
    percentages = " | ".join(f"{share:.2%}" for share in (*shares, 1 - outcome.missed / outcome.repetitions))
    return (
        f"| {setting.entries} | {setting.folds} | {setting.repeats} | {setting.rows:,} | {setting.training}{signal} | "
        f"{setting.metric} | {outcome.repetitions:,} | {percentages} |"
    )


if __name__ == "__main__":
    main()
