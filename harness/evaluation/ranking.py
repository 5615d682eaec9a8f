"""The ranking of a task: the order of its entries, and which are significantly different from the best one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
import numpy.typing as npt

from harness.evaluation import evaluate
from harness.evaluation.corrected_t import Estimate, estimate_mean_with_interval
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD
from harness.evaluation.scores import (
    ANY_NAME,
    COMBINED_STAGES,
    Entry,
    ScoreRows,
    Scores,
    SplitKey,
    entries_not_run,
    entry_statuses,
)
from harness.evaluation.significance import Comparison, bound_interval_to_range, score_intervals
from harness.evaluation.task_comparisons import (
    RankingVerdicts,
    SampleWithVariance,
    can_test_differences,
    compare_ranking_with_best,
    find_metric_bounds,
    no_test_reason,
    random_ranking_gain,
    read_task_sample,
)
from harness.metrics.metric import Metric

BASELINE = evaluate.BASELINE


@dataclass(frozen=True)
class RankedEntry:
    """One line of a ranking.

    `complete` says whether the entry has scores in all splits that count; `comparison` is that with the best entry, None for
    the best one and where nothing is tested. Entries that inner scores choose or combine have a line and no rank.
    `also_default` says that the search chose the default configuration in every split: one entry under two names.
    `may_be_best` says whether the entry is in the 95 % set of those that may be the best, `best_probability` how probable it
    is to be the best; both are None where that is not known.
    """

    entry: Entry
    score: Estimate
    status: str
    complete: bool
    rank: int | None
    comparison: Comparison | None
    rows: ScoreRows
    also_default: bool = False
    may_be_best: bool | None = None
    best_probability: float | None = None
    not_run: bool = False  #: whether no cell of it has been run yet

    @property
    def tied(self) -> bool | None:
        """Whether it is not significantly different from the best one; None where nothing is tested."""
        if self.comparison is None:
            return None
        return self.comparison.verdict in ("practically equal", "undecided")

    @property
    def is_excluded(self) -> bool:
        """Whether it is undecided against the best one, and yet not in the set of those that may be the best."""
        return self.may_be_best is False and self.comparison is not None and self.comparison.verdict == "undecided"

    @property
    def name(self) -> str:
        """The name of the line in tables."""
        return self.entry.name + (" = default" if self.also_default else "")


@dataclass(frozen=True, eq=False)  # equal only to itself, so that what is computed from it can be kept under it
class Ranking:
    """The entries of a task, best first; those without all splits after them, those without any last.

    `no_test_reason` says why differences are not tested; it is empty where they are. `above_baseline` says whether the best
    entry is significantly different from the majority baseline, None where that is not known.
    """

    task: str
    metric: Metric
    threshold_kind: str
    threshold_text: str  #: the threshold of decisions, for sentences; empty with several classes, where there is none
    splits: int
    entries: tuple[RankedEntry, ...]
    no_test_reason: str
    above_baseline: bool | None
    with_baseline: Mapping[Entry, Comparison] = field(
        default_factory=dict
    )  #: baseline minus entry, for every ranked entry
    rope: float = math.nan  #: differences up to this size are practically none
    judged: SampleWithVariance | None = field(default=None, repr=False)

    @property
    def digits(self) -> int:
        """How many decimals its scores need."""
        entry_means = [
            ranked_entry.score.mean
            for ranked_entry in self.entries
            if ranked_entry.complete and ranked_entry.entry.family != BASELINE
        ]
        return choose_decimals(entry_means, greater_is_better=self.metric.greater_is_better)

    @property
    def best(self) -> RankedEntry | None:
        """The entry with rank 1. Chosen and ensembled entries have no rank: they are no configurations."""
        return next((ranked_entry for ranked_entry in self.entries if ranked_entry.rank == 1), None)

    @property
    def rivals(self) -> list[RankedEntry]:
        """The ranked entries other than the best one and the baseline, best first."""
        rival_entries = []
        for ranked_entry in self.entries:
            if ranked_entry.rank is not None and ranked_entry.rank > 1 and ranked_entry.entry.family != BASELINE:
                rival_entries.append(ranked_entry)
        return rival_entries

    @property
    def baseline(self) -> RankedEntry | None:
        """The line of the majority baseline."""
        return self.find_line(BASELINE, "none")

    def find_line(self, family: str, strategy: str, stage: str = "tuned") -> RankedEntry | None:
        """Find the line of one entry, without recalibration."""
        return self._find_line_of_entry(Entry(family, strategy, stage))

    def family_entry(self, family: str) -> RankedEntry | None:
        """Find the line of a family: with the strategy that inner scores chose in each split, so test rows were not used.

        For a family without such a choice it is its first tuned entry; the strategy `searched`, which is no candidate for
        the choice, counts where there is no other. None where no tuned entry has any score.
        """
        chosen_line = self.find_line(family, ANY_NAME, "chosen")
        if chosen_line is not None:
            return chosen_line
        tuned_entries = []
        for ranked_entry in self.entries:
            if ranked_entry.entry.family == family and ranked_entry.entry.stage == "tuned" and len(ranked_entry.rows):
                tuned_entries.append(ranked_entry)
        tuned_entries.sort(key=lambda ranked_entry: ranked_entry.entry.strategy == "searched")  # a stable sort
        return tuned_entries[0] if tuned_entries else None

    def resolve_entry(self, entry: Entry) -> RankedEntry | None:
        """Find the line of an entry; for a default that is equal to the tuned entry it is that of the tuned one."""
        return self._find_line_of_entry(entry) or self.find_line(entry.family, entry.strategy)

    def _find_line_of_entry(self, entry: Entry) -> RankedEntry | None:
        return next((ranked_entry for ranked_entry in self.entries if ranked_entry.entry == entry), None)


def rank_entries(scores: Scores, task: str) -> Ranking:
    """Rank the entries of a task by its objective; a decision objective at 0.5, as in the search.

    Where a search ended with the default configuration in every split, the two entries are one and the tuned one is ranked.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    task : str
        Name of the task.

    Returns
    -------
    Ranking
        All entries without recalibration.
    """
    metric, threshold_kind = scores.objective(task), scores.objective_threshold_kind(task)
    statuses, merged_entries, rows = entry_statuses(scores, task), set(), {}
    for entry in statuses:
        if _is_same_as_tuned(scores, task, entry):
            merged_entries.add(entry)
        else:
            rows[entry] = scores.score_rows_of_entry(task, entry, threshold_kind)
    splits = _splits_that_count(rows.values())
    reason = _untestable_reason(scores, task, rows, splits)
    estimates = {}
    for entry, entry_rows in rows.items():
        estimates[entry] = mean_score(scores, task, metric, entry_rows, testable=not reason)
    sorted_entries = _sort_entries(rows, estimates, splits, metric)
    complete_entries = [entry for entry in sorted_entries if _has_all_splits(rows[entry], estimates[entry], splits)]
    candidate_entries = [entry for entry in complete_entries if entry.stage not in COMBINED_STAGES]
    judged_sample = read_task_sample(
        scores, task, {entry: rows[entry] for entry in complete_entries}, metric, threshold_kind
    )
    ranking_verdicts, rope = RankingVerdicts(), math.nan
    if judged_sample:
        baseline_rows = rows.get(Entry(BASELINE, "none", "tuned"), ScoreRows())
        ranking_verdicts = compare_ranking_with_best(
            judged_sample, candidate_entries, random_ranking_gain(scores, metric, baseline_rows)
        )
        rope = judged_sample.rope
        estimates |= _mean_scores_with_intervals(judged_sample)
    not_run = entries_not_run(scores, task)
    ranks = dict(zip(candidate_entries, count(1), strict=False))
    entries = []
    for entry in sorted_entries:
        ranked_entry = RankedEntry(
            entry=entry,
            score=estimates[entry],
            status=statuses[entry],
            complete=entry in complete_entries,
            rank=ranks.get(entry),
            comparison=ranking_verdicts.comparisons.get(entry),
            rows=rows[entry],
            also_default=entry._replace(stage="default") in merged_entries,
            may_be_best=ranking_verdicts.possible_best.get(entry),
            best_probability=ranking_verdicts.best_probabilities.get(entry),
            not_run=entry in not_run,
        )
        entries.append(ranked_entry)
    return Ranking(
        task=task,
        metric=metric,
        threshold_kind=threshold_kind,
        threshold_text=_describe_ranking_threshold(scores, task, threshold_kind),
        splits=max(len(splits), int(scores.run["tasks"][task].get("splits", 0))),
        entries=tuple(entries),
        no_test_reason=reason,
        above_baseline=ranking_verdicts.above_baseline,
        with_baseline=ranking_verdicts.with_baseline,
        rope=rope,
        judged=judged_sample,
    )


def choose_decimals(scores: Iterable[float], *, greater_is_better: bool = True) -> int:
    """Choose how many decimals scores need, so that none that is not perfect is printed as if it were.

    Parameters
    ----------
    scores : iterable of float
        The scores to print in one column; NaN is ignored.
    greater_is_better : bool, default=True
        Whether a perfect score is 1; it is 0 otherwise.

    Returns
    -------
    int
        From 3 to 6 decimals: scores are stored with six significant digits.
    """
    perfect_score = 1.0 if greater_is_better else 0.0
    imperfect_scores = [score for score in scores if not math.isnan(score) and abs(score - perfect_score) > 1e-6]
    for decimals in range(3, 6):
        if all(abs(round(score, decimals) - perfect_score) > 1e-9 for score in imperfect_scores):
            return decimals
    return 6


def estimate_paired_difference(
    scores: Scores, task: str, metric: Metric, differences: npt.NDArray[np.float64], rows: ScoreRows
) -> Estimate:
    """Estimate the mean of paired differences of a metric, as far as the splits of the task allow.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    task : str
        Name of the task.
    metric : Metric
        What the differences are of.
    differences : ndarray of shape (n,)
        One per split.
    rows : ScoreRows
        Any entry's rows on the same splits: they give n_test/n_train and the resolution of the metric.

    Returns
    -------
    Estimate
        The mean difference with its corrected interval.
    """
    score_resolution, is_testable = scores.score_resolution(task, metric, rows), can_test_differences(scores, task)
    return estimate_mean_with_interval(
        differences, rows.mean("ratio"), can_test=is_testable, resolution=score_resolution
    )


def _describe_ranking_threshold(scores: Scores, task: str, threshold_kind: str) -> str:
    if len(scores.threshold_kinds(task)) == 1:
        return ""
    return "at the tuned threshold" if threshold_kind == TUNED_THRESHOLD else "at 0.5"


def _splits_that_count(rows: Iterable[ScoreRows]) -> tuple[SplitKey, ...]:
    """The splits that count: all that some entry has, or, where none has them all, those of the entry with most."""
    splits_by_entry = [entry_rows.splits for entry_rows in rows]
    every_split = tuple(sorted(set().union(*splits_by_entry)))
    return every_split if every_split in splits_by_entry else max(splits_by_entry, key=len, default=())


def _untestable_reason(scores: Scores, task: str, rows: Mapping[Entry, ScoreRows], splits: tuple[SplitKey, ...]) -> str:
    """Why nothing can be tested; empty where it can."""
    for entry_rows in rows.values():
        if entry_rows.splits == splits and splits:
            return no_test_reason(scores, task, entry_rows)
    return no_test_reason(scores, task, ScoreRows())


def _is_same_as_tuned(scores: Scores, task: str, entry: Entry) -> bool:
    """Whether this is a default entry whose trials are those of the tuned entry in every split."""
    if entry.stage != "default":
        return False
    default_rows = scores.score_rows_of_entry(task, entry, DEFAULT_THRESHOLD)
    tuned_rows = scores.score_rows_of_entry(task, entry._replace(stage="tuned"), DEFAULT_THRESHOLD)
    return len(default_rows) > 0 and np.array_equal(default_rows["trial"], tuned_rows["trial"])


def mean_score(scores: Scores, task: str, metric: Metric, rows: ScoreRows, *, testable: bool) -> Estimate:
    """Average the scores of an entry, with an interval from their spread between the splits alone.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    task : str
        Name of the task.
    metric : Metric
        What is averaged.
    rows : ScoreRows
        The scores of the entry.
    testable : bool
        Whether the splits allow an interval.

    Returns
    -------
    Estimate
        The mean; its interval stays within the range of the metric.
    """
    score_resolution = scores.score_resolution(task, metric, rows)
    score = estimate_mean_with_interval(
        rows[metric.name], rows.mean("ratio"), can_test=testable, resolution=score_resolution
    )
    if math.isnan(score.ci_half_width):
        return score
    mean, half_width = np.array([score.mean]), np.array([score.ci_half_width])
    interval_low, interval_high = bound_interval_to_range(mean, half_width, find_metric_bounds(metric, mean))
    return replace(score, interval=(float(interval_low[0]), float(interval_high[0])))


def _mean_scores_with_intervals(judged_sample: SampleWithVariance) -> dict[Entry, Estimate]:
    """The mean scores with intervals within the range of the metric."""
    interval_lows, interval_highs = score_intervals(
        judged_sample.sample,
        judged_sample.variance,
        find_metric_bounds(judged_sample.task_sample.metric, judged_sample.sample.means),
    )
    estimates = {}
    for position, entry in enumerate(judged_sample.task_sample.entries):
        entry_mean = float(judged_sample.sample.means[position])
        interval = (float(interval_lows[position]), float(interval_highs[position]))
        half_width = (interval[1] - interval[0]) / 2
        estimates[entry] = Estimate(entry_mean, half_width, math.nan, judged_sample.sample.splits, interval)
    return estimates


def _has_all_splits(rows: ScoreRows, score: Estimate, splits: tuple[SplitKey, ...]) -> bool:
    return len(rows) > 0 and rows.splits == splits and not math.isnan(score.mean)


def _sort_entries(
    rows: Mapping[Entry, ScoreRows], estimates: Mapping[Entry, Estimate], splits: tuple[SplitKey, ...], metric: Metric
) -> list[Entry]:
    """The entries in the order of a ranking: complete ones first, then by score."""

    def sort_key(entry: Entry) -> tuple[bool, bool, float, bool, Entry]:
        entry_mean = estimates[entry].mean
        loss = math.inf if math.isnan(entry_mean) else -metric.sign * entry_mean
        is_complete = _has_all_splits(rows[entry], estimates[entry], splits)
        return (not is_complete, not len(rows[entry]), loss, entry.stage in COMBINED_STAGES, entry)

    return sorted(rows, key=sort_key)
