"""Which entries and tasks are compared over all tasks, split by split, which are missing, and scores over all tasks."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from harness.evaluation.ranking import BASELINE, Ranking
from harness.evaluation.scores import ANY_NAME, Entry, ScoreRows
from harness.metrics.metric import Metric

Array: TypeAlias = npt.NDArray[np.float64]
TaskRows: TypeAlias = Mapping[Entry, ScoreRows]  #: the scores of a task's entries, the majority baseline among them
EntrySelector: TypeAlias = Callable[[Ranking], dict[Entry, ScoreRows]]

#: These have no common scale; differences are in units of the majority baseline's score.
UNSCALED_METRICS = ("log_loss", "expected_cost", "lift_at_10")


@dataclass(frozen=True)
class CommonTasks:
    """Entries that are compared on the same splits of the same tasks; every score is signed so that greater is better.

    `scores` has an array (entries, splits) per task, `baselines` the majority baseline's (splits,) or None where there is
    none. The baseline is no competitor: it would have the last rank nearly everywhere and make the variance too small by
    which chance is estimated.
    """

    tasks: tuple[str, ...]
    metrics: tuple[Metric, ...]
    entries: tuple[Entry, ...]
    scores: tuple[Array, ...]
    baselines: tuple[Array | None, ...]

    @property
    def mean_scores(self) -> Array:
        """The mean over the splits of every entry on every task, (entries, tasks)."""
        mean_columns = [task_scores.mean(axis=1) for task_scores in self.scores]
        return np.column_stack(mean_columns) if mean_columns else np.empty((len(self.entries), 0))

    @property
    def baseline_means(self) -> Array:
        """The mean score of the majority baseline on every task, NaN where it has none."""
        return np.array([np.nan if baseline is None else baseline.mean() for baseline in self.baselines])

    def reorder_entries(self, order: Sequence[int]) -> CommonTasks:
        """Put the entries in another order, or select some of them."""
        scores = tuple(task_scores[list(order)] for task_scores in self.scores)
        entries = tuple(self.entries[position] for position in order)
        return CommonTasks(self.tasks, self.metrics, entries, scores, self.baselines)


@dataclass(frozen=True)
class Coverage:
    """How much of the evaluated tasks an entry has: tasks with all their splits, splits, missing splits."""

    entry: Entry
    tasks: int
    splits: int
    missing_splits: int


def select_completed_rankings(rankings: Sequence[Ranking]) -> list[Ranking]:
    """Select the tasks on which some entry has all splits."""
    return [ranking for ranking in rankings if ranking.best is not None]


def select_tuned_entry_rows(ranking: Ranking) -> dict[Entry, ScoreRows]:
    """Select the splits of every tuned entry of a task in which the objective is known."""
    rows = {}
    for ranked_entry in ranking.entries:
        if ranked_entry.entry.stage == "tuned":
            rows[ranked_entry.entry] = _rows_with_known_objective(ranking, ranked_entry.rows)
    return rows


def select_family_entry_rows(ranking: Ranking) -> dict[Entry, ScoreRows]:
    """Select the splits of every family in which the objective is known, from its entry by `Ranking.family_entry`."""
    rows = {}
    for family in dict.fromkeys(ranked_entry.entry.family for ranked_entry in ranking.entries):
        family_line = ranking.family_entry(family)
        if family != ANY_NAME and family_line is not None:
            rows[Entry(family, ANY_NAME, "chosen")] = _rows_with_known_objective(ranking, family_line.rows)
    return rows


def _rows_with_known_objective(ranking: Ranking, rows: ScoreRows) -> ScoreRows:
    return rows.select(list(compress(rows.splits, ~np.isnan(rows[ranking.metric.name]))))


def count_entry_coverage(
    rankings: Sequence[Ranking], select: EntrySelector = select_tuned_entry_rows
) -> list[Coverage]:
    """Count how much of the evaluated tasks every competing entry has, the most complete first."""
    rows_by_task = list(map(select, rankings))
    required_splits = list(map(len, map(_evaluated_splits, rows_by_task)))
    entries = []
    for entry in dict.fromkeys(chain.from_iterable(rows_by_task)):
        if entry.family == BASELINE:
            continue
        split_counts = [len(rows.get(entry, ())) for rows in rows_by_task]
        complete_tasks = sum(map(operator.eq, split_counts, required_splits))
        entries.append(Coverage(entry, complete_tasks, sum(split_counts), sum(required_splits) - sum(split_counts)))
    return sorted(entries, key=lambda covered: (-covered.tasks, -covered.splits, covered.entry))


def find_common_tasks(rankings: Sequence[Ranking], select: EntrySelector = select_tuned_entry_rows) -> CommonTasks:
    """Find the entries and tasks that make the largest table without a gap.

    An entry that lacks one task of many costs that task; one that lacks many is left out. Entries are added in the order
    of how many tasks they have; of these tables the one with most cells (entries × tasks) is taken, and of two equally
    large ones the one with more tasks.

    Parameters
    ----------
    rankings : sequence of Ranking
        The rankings of the tasks, from `select_completed_rankings`.
    select : callable, default=tuned_rows
        Which entries of a task compete, `select_tuned_entry_rows` or `select_family_entry_rows`.

    Returns
    -------
    CommonTasks
        Without entries and tasks where there is no such table.
    """
    tasks: list[tuple[Ranking, TaskRows]] = list(zip(rankings, map(select, rankings), strict=True))
    entries_by_coverage = [
        entry_coverage.entry for entry_coverage in count_entry_coverage(rankings, select) if entry_coverage.tasks
    ]
    entries: list[Entry] = []
    complete_tasks: list[tuple[Ranking, TaskRows]] = []
    for entry_count in range(1, len(entries_by_coverage) + 1):
        size_complete_tasks = [task for task in tasks if _have_all_splits(task[1], entries_by_coverage[:entry_count])]
        best_size = len(entries) * len(complete_tasks), len(complete_tasks)
        if (entry_count * len(size_complete_tasks), len(size_complete_tasks)) > best_size:
            entries, complete_tasks = entries_by_coverage[:entry_count], size_complete_tasks
    return _common_score_table(complete_tasks, entries)


def _have_all_splits(rows: TaskRows, entries: Sequence[Entry]) -> bool:
    """Whether these entries have all splits of a task."""
    required_splits = len(_evaluated_splits(rows))
    return all(entry in rows and len(rows[entry]) == required_splits for entry in entries)


def impute_missing_splits(rankings: Sequence[Ranking]) -> CommonTasks:
    """Make a table of all entries in which a missing split has the score of the majority baseline.

    Only tasks on which the baseline has all splits are in it.
    """
    tasks: list[tuple[Ranking, TaskRows]] = []
    for ranking in rankings:
        rows = select_tuned_entry_rows(ranking)
        baseline = _baseline_rows(rows)
        if baseline is not None and len(baseline) == len(_evaluated_splits(rows)):
            tasks.append((ranking, rows))
    return _common_score_table(
        tasks, [entry_coverage.entry for entry_coverage in count_entry_coverage([ranking for ranking, _ in tasks])]
    )


def _common_score_table(tasks: Sequence[tuple[Ranking, TaskRows]], entries: Sequence[Entry]) -> CommonTasks:
    """The scores of entries on tasks; missing ones are those of the baseline."""
    entries = sorted(entries)
    names, metrics, scores, baselines = [], [], [], []
    for ranking, rows in tasks:
        names.append(ranking.task)
        metrics.append(ranking.metric)
        name, metric_sign = ranking.metric.name, ranking.metric.sign
        splits, baseline = _evaluated_splits(rows), _baseline_rows(rows) or ScoreRows()
        baseline_by_split = dict(zip(baseline.splits, baseline[name], strict=True))
        table = []
        for entry in entries:
            entry_rows = rows.get(entry, ScoreRows())
            score_by_split = baseline_by_split | dict(zip(entry_rows.splits, entry_rows[name], strict=True))
            table.append([metric_sign * score_by_split[split] for split in splits])
        scores.append(np.array(table, dtype=float).reshape(len(entries), len(splits)))
        is_complete = 0 < len(baseline) == len(splits)
        baselines.append(
            metric_sign * np.array([baseline_by_split[split] for split in splits]) if is_complete else None
        )
    return CommonTasks(tuple(names), tuple(metrics), tuple(entries), tuple(scores), tuple(baselines))


def _baseline_rows(rows: TaskRows) -> ScoreRows | None:
    return next((entry_rows for entry, entry_rows in rows.items() if entry.family == BASELINE), None)


def _evaluated_splits(rows: TaskRows) -> list[tuple[int, int]]:
    """The splits that some entry has."""
    splits: set[tuple[int, int]] = set()
    return sorted(splits.union(*(entry_rows.splits for entry_rows in rows.values())))


def count_wins(means: Array) -> npt.NDArray[np.int64]:
    """Count the first ranks of each entry, from `means` (entries, tasks), greater being better; shared ones count for each."""
    return np.asarray((means == means.max(axis=0)).sum(axis=1))


def normalize_and_average_scores(together: CommonTasks) -> Array:
    """Scale the scores of every task to 0 at the majority baseline and 1 at the best entry, and average over the tasks.

    Parameters
    ----------
    together : CommonTasks
        Entries on common tasks.

    Returns
    -------
    ndarray of shape (entries,)
        Scores below the baseline count as 0; without a baseline, 0 is the worst entry. Tasks on which all are equal are left
        out; NaN where none remains.
    """
    mean_scores, baseline_means = together.mean_scores, together.baseline_means
    scale_low = np.where(np.isnan(baseline_means), mean_scores.min(axis=0), baseline_means)
    scale_span = mean_scores.max(axis=0) - scale_low
    is_differing = scale_span > 0
    if not is_differing.any():
        return np.full(len(mean_scores), np.nan)
    return np.asarray(
        np.clip((mean_scores[:, is_differing] - scale_low[is_differing]) / scale_span[is_differing], 0, None).mean(
            axis=1
        )
    )


def improvability(together: CommonTasks) -> Array:
    """Compute by which share the error of an entry would fall if it were the best entry of the task.

    This is 1 − (error of the best)/(own error), the error being 1 − score, or the score itself where less is better.

    Parameters
    ----------
    together : CommonTasks
        Entries on common tasks.

    Returns
    -------
    ndarray of shape (entries,)
        Means over the tasks. Tasks whose objective has no error that ends at 0 are left out; NaN where none remains.

    References
    ----------
    Erickson et al. (2025), TabArena: A Living Benchmark for Machine Learning on Tabular Data.
    """
    error_shares = []
    for metric, column in zip(together.metrics, together.mean_scores.T, strict=True):
        errors = 1 - column if metric.greater_is_better else -column
        if metric.name == "lift_at_10" or (errors < 0).any():
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            error_shares.append(np.where(errors > 0, 1 - errors.min() / errors, 0.0))
    return np.asarray(np.mean(error_shares, axis=0)) if error_shares else np.full(len(together.entries), np.nan)


def difference_units_by_task(together: CommonTasks) -> Array:
    """Compute the unit of a difference on each task: 1, or the baseline's score where the objective has no common scale."""
    baseline_means = np.abs(together.baseline_means)
    is_unscaled = np.array([metric.name in UNSCALED_METRICS for metric in together.metrics], dtype=bool)
    return np.where(is_unscaled, np.where(baseline_means > 0, baseline_means, np.nan), 1.0)
