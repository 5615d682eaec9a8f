"""Comparisons within a task: which splits allow them, what is practically equal, and the questions that are judged together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from harness.evaluation.evaluate import BASELINE
from harness.evaluation.samples import MIN_CLASS_ROWS, TaskSample, are_predictions_readable
from harness.evaluation.scores import Entry, ScoreRows, Scores, SplitKey
from harness.evaluation.significance import (
    Comparison,
    Comparisons,
    compare_all_with_best,
    compare_pairs,
    probabilities_of_being_best,
)
from harness.evaluation.variance import PairVariance, ScoreSample, estimate_variance
from harness.metrics.metric import Metric
from harness.seeding import seed_of

MIN_SPLITS = 3  #: with two there is one degree of freedom: the interval would be 12.7 standard errors wide on each side
#: Regions of practical equivalence by type of metric, times the span of the metric.
ROPES = {"ranking": 0.01, "decision": 0.02}
RELATIVE_ROPE = 0.01  #: of the baseline's score, for losses and costs


@dataclass(frozen=True)
class SampleWithVariance:
    """A sample of a task with the variance of its differences, and what is needed to judge them."""

    task: str
    task_sample: TaskSample
    variance: PairVariance
    rope: float

    @property
    def sample(self) -> ScoreSample:
        """The scores."""
        return self.task_sample.sample

    def compare_pairs(self, question: str, pairs: Sequence[tuple[Entry, Entry]]) -> Comparisons:
        """Judge pairs of entries that answer one question together.

        Parameters
        ----------
        question : str
            Names the question; the draws are seeded by task, metric and question.
        pairs : sequence of (Entry, Entry)
            Entries of the sample.

        Returns
        -------
        Comparisons
            In the order of `pairs`.
        """
        entries, metric = self.task_sample.entries, self.task_sample.metric
        position_pairs = [
            (entries.index(first_entry), entries.index(second_entry)) for first_entry, second_entry in pairs
        ]
        seed = self.derive_seed(question)
        return compare_pairs(self.sample, self.variance, position_pairs, rope=self.rope, sign=metric.sign, seed=seed)

    def derive_seed(self, question: str) -> int:
        """Derive the seed of the draws for a question."""
        return seed_of(self.task, self.task_sample.metric.name, self.task_sample.threshold_kind, question)


def read_task_sample(
    scores: Scores, task: str, rows: Mapping[Entry, ScoreRows], metric: Metric, threshold_kind: str
) -> SampleWithVariance | None:
    """Read how the scores of entries vary.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    task : str
        Name of the task.
    rows : mapping of Entry to ScoreRows
        Entries with the same splits; those whose predictions are not stored are left out.
    metric : Metric
        The metric.
    threshold_kind : str
        The kind of threshold of `rows`.

    Returns
    -------
    SampleWithVariance or None
        None where the splits allow no test, see `no_test_reason`, or fewer than two entries are left.
    """
    requested_entries = []
    for entry, entry_rows in rows.items():
        is_known = not math.isnan(entry_rows.mean(metric.name))
        if is_known and (scores.samples is None or are_predictions_readable(scores, entry_rows)):
            requested_entries.append(entry)
    if len(requested_entries) < 2 or no_test_reason(scores, task, rows[requested_entries[0]]):
        return None
    if scores.samples is None:
        sample = _sample_of_scores_alone(scores, task, rows, metric, threshold_kind).select(requested_entries)
    else:
        every_entry = _entries_with_same_splits(scores, task, metric, threshold_kind, rows[requested_entries[0]].splits)
        sample = scores.samples.read_sample(scores, task, every_entry, metric, threshold_kind).select(requested_entries)
    rope = practical_equivalence(scores, task, metric, threshold_kind)
    return SampleWithVariance(task, sample, estimate_variance(sample.sample), rope)


def _entries_with_same_splits(
    scores: Scores, task: str, metric: Metric, threshold_kind: str, splits: tuple[SplitKey, ...]
) -> dict[Entry, ScoreRows]:
    """All entries of a task that have these splits and stored predictions: one sample serves every question."""
    entries = {}
    for (entry_task, entry, entry_threshold_kind), rows in sorted(scores.by_entry.items(), key=itemgetter(0)):
        is_candidate = (entry_task, entry_threshold_kind, rows.splits) == (task, threshold_kind, splits)
        if is_candidate and not math.isnan(rows.mean(metric.name)) and are_predictions_readable(scores, rows):
            entries[entry] = rows
    return entries


def _sample_of_scores_alone(
    scores: Scores, task: str, rows: Mapping[Entry, ScoreRows], metric: Metric, threshold_kind: str
) -> TaskSample:
    """A sample of scores alone: only their spread between the splits is known."""
    entries = tuple(rows)
    first_rows = rows[entries[0]]
    repeats = len({repeat for repeat, _ in first_rows.splits})
    columns = np.array([rows[entry][metric.name] for entry in entries])
    unknown_covariance = np.zeros((len(entries), len(entries)))
    groups = tuple(f"{entry.family}/{entry.stage}" for entry in entries)
    score_resolution = scores.score_resolution(task, metric, first_rows)
    shaped_scores = columns.reshape(len(entries), repeats, -1)
    return TaskSample(
        entries,
        ScoreSample(
            shaped_scores, groups, unknown_covariance, unknown_covariance, unknown_covariance, score_resolution
        ),
        metric,
        threshold_kind,
    )


def no_test_reason(scores: Scores, task: str, rows: ScoreRows) -> str:
    """Say why the splits of a task allow no claim about differences.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    task : str
        Name of the task.
    rows : ScoreRows
        The scores of any entry on the splits.

    Returns
    -------
    str
        Empty where they do.
    """
    if not can_test_differences(scores, task):
        return "the splits follow time, so they are no repetitions of one experiment"
    if len(rows) < MIN_SPLITS:
        return "with fewer than three splits there is nothing to measure chance by"
    rarest = 1 / float(np.max(rows["rare_row_share"]))
    if rarest < MIN_CLASS_ROWS - 0.5:
        return (
            f"a test fold has only {rarest:.0f} rows of the rarest class, and claims need {MIN_CLASS_ROWS}: use fewer folds or "
            "more rows"
        )
    return ""


def can_test_differences(scores: Scores, task: str) -> bool:
    """Check whether the splits of a task allow intervals at all: forward-chained ones do not."""
    return not scores.run["tasks"][task].get("forward", False)


def practical_equivalence(scores: Scores, task: str, metric: Metric, threshold_kind: str) -> float:
    """Give the region of practical equivalence of a metric: differences up to this size are practically none.

    Parameters
    ----------
    scores : Scores
        The scores of the run; its `rope` applies to the objective.
    task : str
        Name of the task.
    metric : Metric
        The metric.
    threshold_kind : str
        The kind of threshold at which the baseline is scored.

    Returns
    -------
    float
        0.01 for ranking and 0.02 for decisions, times the span of the metric; 1 % of the baseline's score for losses and costs.
    """
    if scores.rope is not None and metric.name == scores.objective(task).name:
        return scores.rope
    if metric.metric_type != "probability" and not metric.needs_costs:
        return ROPES[metric.metric_type] * metric.span
    baseline = scores.score_rows_of_entry(task, Entry(BASELINE, "none", "tuned"), threshold_kind)
    baseline_score = abs(baseline.mean(metric.name))
    if math.isnan(baseline_score):
        return RELATIVE_ROPE * min(metric.span, 1.0)
    return RELATIVE_ROPE * baseline_score


@dataclass(frozen=True)
class RankingVerdicts:
    """What is known of the entries of a ranking, by entry.

    `comparisons` are those of the others with the best one, judged over all pairs, as the best one is known only after looking;
    that of the baseline is judged among the comparisons of all entries with the baseline, which is fixed beforehand.
    `with_baseline` are these, baseline minus entry; `above_baseline` says whether the best entry is better than the baseline, None
    without one.
    """

    comparisons: Mapping[Entry, Comparison] = field(default_factory=dict)
    possible_best: Mapping[Entry, bool] = field(default_factory=dict)
    best_probabilities: Mapping[Entry, float] = field(default_factory=dict)
    with_baseline: Mapping[Entry, Comparison] = field(default_factory=dict)
    above_baseline: bool | None = None


def random_ranking_gain(scores: Scores, metric: Metric, baseline_rows: ScoreRows) -> float:
    """Compute how much more than the baseline a random order of the rows scores on average.

    The baseline gives all rows the same probability, so that its average precision is the share of positive rows. A random
    order scores more on few rows: 0.31 instead of 0.28 on 100 rows.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    metric : Metric
        The metric of the ranking.
    baseline_rows : ScoreRows
        The scores of the baseline.

    Returns
    -------
    float
        The mean over the splits; 0 for metrics other than average precision.

    References
    ----------
    Bestgen (2015), Exact Expected Average Precision of the Random Baseline for System Evaluation, Prague Bulletin of Mathematical
    Linguistics 103.
    """
    if metric.name != "average_precision":
        return 0.0
    class_gains = []
    for key in baseline_rows.score_keys:
        if key not in scores.metric_values:
            continue
        class_counts = scores.metric_values[key].confusion.sum(axis=1).astype(float)
        rows = float(class_counts.sum())
        harmonic_mean_rank = float((1 / np.arange(1, rows + 1)).sum()) / rows
        for positive_rows in class_counts[1:] if len(class_counts) == 2 else class_counts:
            expected_precision = (positive_rows - 1) / (rows - 1) * (1 - harmonic_mean_rank) + harmonic_mean_rank
            class_gains.append(expected_precision - positive_rows / rows)
    return float(np.mean(class_gains)) if class_gains else 0.0


def compare_ranking_with_best(
    judged: SampleWithVariance, candidates: Sequence[Entry], baseline_gain: float = 0.0
) -> RankingVerdicts:
    """Judge the entries of a ranking against the best one, and the best one against the baseline.

    Parameters
    ----------
    judged : SampleWithVariance
        The sample of the task's objective.
    candidates : sequence of Entry
        The entries that have a rank, best first.
    baseline_gain : float, default=0.0
        From `random_ranking_gain`: added to the baseline where entries are compared with it.

    Returns
    -------
    RankingVerdicts
        The verdicts; those about the best entry only among the candidates.
    """
    entries, metric_sign = judged.task_sample.entries, judged.task_sample.metric.sign
    ranked_entries = [entry for entry in candidates if entry in entries]
    if not ranked_entries:
        return RankingVerdicts()
    best_entry = ranked_entries[0]
    position, seed = entries.index(best_entry), judged.derive_seed("all pairs")
    pair_comparisons, may_be_best = compare_all_with_best(
        judged.sample, judged.variance, position, rope=judged.rope, sign=metric_sign, seed=seed
    )
    comparisons = {entries[comparison.first]: comparison for comparison in pair_comparisons.pairs}
    with_baseline = _compare_with_baseline(judged, ranked_entries, baseline_gain)
    above_baseline = None
    if best_entry in with_baseline:
        baseline = entries[with_baseline[best_entry].first]
        comparisons[baseline] = with_baseline[best_entry]
        above_baseline = with_baseline[best_entry].verdict == "worse"
    probabilities = probabilities_of_being_best(
        *_select_entries(judged, ranked_entries), sign=metric_sign, seed=judged.derive_seed("best")
    )
    return RankingVerdicts(
        comparisons,
        {entry: bool(may_be_best[entries.index(entry)]) for entry in ranked_entries},
        dict(zip(ranked_entries, probabilities.tolist(), strict=True)),
        with_baseline,
        above_baseline,
    )


def _compare_with_baseline(
    judged_sample: SampleWithVariance, ranked_entries: Sequence[Entry], baseline_gain: float
) -> dict[Entry, Comparison]:
    """The comparisons of the baseline with all other entries, by entry; empty without a baseline."""
    for baseline in ranked_entries:
        if baseline.family == BASELINE:
            other_entries = [entry for entry in ranked_entries if entry != baseline]
            position = judged_sample.task_sample.entries.index(baseline)
            chance_scores = judged_sample.sample.scores.copy()
            chance_scores[position] += baseline_gain
            sample = replace(judged_sample.task_sample, sample=replace(judged_sample.sample, scores=chance_scores))
            baseline_pairs = [(baseline, entry) for entry in other_entries]
            pair_comparisons = (
                replace(judged_sample, task_sample=sample).compare_pairs("baseline", baseline_pairs).pairs
            )
            return dict(zip(other_entries, pair_comparisons, strict=True))
    return {}


def _select_entries(judged_sample: SampleWithVariance, entries: Sequence[Entry]) -> tuple[ScoreSample, PairVariance]:
    """The sample and the variance of some entries."""
    positions = np.array([judged_sample.task_sample.entries.index(entry) for entry in entries])
    return judged_sample.sample.select(positions), judged_sample.variance.select(positions)


def find_metric_bounds(metric: Metric, means: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Give the least and the greatest score of a metric; infinite where there is none, or where scores are beyond it."""
    lower_bound, upper_bound = 0.0, metric.span
    if metric.name == "mcc":
        lower_bound = -1.0
    if metric.metric_type == "probability" or metric.needs_costs:
        upper_bound = math.inf
    if means.min() < lower_bound or means.max() > upper_bound:
        return -math.inf, math.inf
    return lower_bound, upper_bound
