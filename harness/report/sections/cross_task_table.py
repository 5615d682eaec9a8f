"""All tasks together as a table: mean rank, wins, distance from the best, Elo rating; and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from harness.evaluation import cross_task, task_statistics
from harness.evaluation.cross_task import Array, CommonTasks, count_entry_coverage, select_completed_rankings
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import STATUS_MISSING, Entry, Scores
from harness.report.content import CollapsedParts, Part, ReportCell, ReportColumn, ReportTable, mark_best_cells
from harness.report.render.cells import format_number
from harness.report.render.markdown import escape, format_count, join_words, plural
from harness.seeding import seed_of

ONE_TASK = "There is one task only, so there is nothing to average over."
NO_COMMON_ENTRIES = "No entry has all splits of two tasks."
MIN_TASKS = 5  #: with fewer, intervals and tests over tasks say nothing
TABLE_TEXT = (
    "*Mean rank*: over the tasks, 1 being best. *Wins*: first places (shared ones count for each). *Normalised*: 0 at the "
    "baseline of a task, or below it, and 1 at its best entry. *Improvability*: by which part the error (1 − score, or the "
    "score where less is better) would fall if this entry were the best of each task, as in TabArena; 0 is best."
)
ENTRY, MEAN_RANK = ReportColumn("Entry"), ReportColumn("Mean rank", "number", 2)
WINS, NORMALIZED = ReportColumn("Wins", "count"), ReportColumn("Normalised", "number")


@dataclass(frozen=True)
class CrossTaskOverview:
    """The entries over the tasks that they share, in the order of their mean ranks, and their Elo ratings.

    `wins` (tasks, entries, entries) are the pairwise wins; `lower` and `upper` are NaN where there are too few tasks.
    """

    common: CommonTasks
    wins: Array
    ratings: Array
    lower: Array
    upper: Array

    @property
    def has_intervals(self) -> bool:
        """Whether the ratings have intervals."""
        return not np.isnan(self.lower).any()


def cross_task_overview(common: CommonTasks) -> CrossTaskOverview:
    """Rank the entries of at least two tasks, and estimate their ratings."""
    common = order_by_rank(common)
    wins_by_task = np.array(list(map(task_statistics.pairwise_wins, common.scores)))
    entry_ratings = task_statistics.fit_bradley_terry_ratings(wins_by_task)
    rating_lows = rating_highs = np.full(len(entry_ratings), np.nan)
    if len(common.tasks) >= MIN_TASKS and len(entry_ratings) > 1:
        seed = seed_of("across", *common.tasks, *map(attrgetter("name"), common.entries))
        rating_lows, rating_highs = task_statistics.rating_intervals(wins_by_task, seed)
    return CrossTaskOverview(common, wins_by_task, entry_ratings, rating_lows, rating_highs)


def mean_ranks(common: CommonTasks) -> Array:
    """Give the mean rank of every entry over the tasks."""
    return np.asarray(task_statistics.task_ranks(common.mean_scores).mean(axis=1))


def order_by_rank(common: CommonTasks) -> CommonTasks:
    """Put the entries into the order of their mean ranks, best first."""
    ranks = mean_ranks(common)
    return common.reorder_entries(
        sorted(range(len(ranks)), key=lambda position: (ranks[position], common.entries[position]))
    )


def split_share_above_baseline(common: CommonTasks) -> Array:
    """Give the share of the splits on which each entry is above the baseline.

    Returns
    -------
    ndarray of shape (n_entries,)
        Ties count half and every task counts 1; NaN without a baseline.
    """
    split_shares = []
    for scores, baseline in zip(common.scores, common.baselines, strict=True):
        if baseline is not None:
            split_shares.append(((scores > baseline) + (scores == baseline) / 2).mean(axis=1))
    if not split_shares:
        return np.full(len(common.entries), np.nan)
    return np.asarray(np.mean(split_shares, axis=0))


def summarize_cross_task_ranks(rankings: Sequence[Ranking]) -> list[Part]:
    """Give a short table of the entries over the tasks that they share, and name what is left out of it."""
    evaluated_rankings = select_completed_rankings(rankings)
    if len(evaluated_rankings) < 2:
        return [explain_too_few_tasks(rankings)]
    common_tasks = cross_task.find_common_tasks(evaluated_rankings)
    if len(common_tasks.tasks) < 2:
        return [NO_COMMON_ENTRIES, *unfinished_tasks(rankings)]
    n = len(common_tasks.tasks)
    tasks = format_count(n, "task") if n == len(rankings) else f"{n} of {len(rankings)} tasks"
    opening_sentence = (
        f"Tuned entries over {tasks}, each ranked by the objective of the task; the baseline does not compete. *Wins* are "
        "first places (shared ones count for each), *normalised* is 0 at the baseline of a task, or below it, and 1 at its "
        "best entry. Nothing is claimed about other tasks."
    )
    tasks_by_rank = order_by_rank(common_tasks)
    cells = [
        _entry_names(tasks_by_rank),
        _mean_rank_cells(tasks_by_rank),
        _count_pairwise_wins(tasks_by_rank),
        _normalized_score_cells(tasks_by_rank),
    ]
    table = ReportTable((ENTRY, MEAN_RANK, WINS, NORMALIZED), tuple(zip(*cells, strict=True)))
    return [
        opening_sentence,
        table,
        *describe_omitted_tasks(evaluated_rankings, common_tasks),
        *unfinished_tasks(rankings),
    ]


def explain_too_few_tasks(rankings: Sequence[Ranking]) -> str:
    """Say that fewer than two tasks have been evaluated."""
    if len(rankings) < 2:
        return ONE_TASK
    n = len(select_completed_rankings(rankings))
    return f"{n or 'None'} of {len(rankings)} tasks {plural(n, 'has', 'have')} been evaluated: too few to average over."


def unfinished_tasks(rankings: Sequence[Ranking]) -> list[str]:
    """Name the tasks of the run without scores, and those of whose planned splits no entry has all."""
    sentences, tasks_without_scores = [], [escape(ranking.task) for ranking in rankings if ranking.best is None]
    if tasks_without_scores:
        sentences.append(f"Not evaluated, as no entry has scores: {join_words(tasks_without_scores)}.")
    tasks_by_splits: dict[tuple[int, int], list[str]] = {}
    for ranking in select_completed_rankings(rankings):
        splits = set().union(*(ranked_entry.rows.splits for ranked_entry in ranking.entries))
        if len(splits) < ranking.splits:
            tasks_by_splits.setdefault((len(splits), ranking.splits), []).append(escape(ranking.task))
    for (n, planned_splits), names in tasks_by_splits.items():
        tasks = "every task" if len(names) == len(rankings) else join_words(names)
        sentences.append(
            f"Of {format_count(planned_splits, 'planned split')} only {n} {plural(n, 'has', 'have')} scores of any entry on {tasks}: "
            f"what is said there is said of {plural(n, 'it', 'these')} alone."
        )
    return sentences


def tabulate_cross_task_entries(overview: CrossTaskOverview) -> ReportTable:
    """Tabulate all that is known of every entry over the tasks that they share."""
    common_tasks = overview.common
    columns = [
        ENTRY,
        MEAN_RANK,
        WINS,
        NORMALIZED,
        ReportColumn("Improvability", "number"),
        ReportColumn("Elo", "number", 0),
    ]
    entry_improvability = cross_task.improvability(common_tasks).tolist()
    cells = [
        _entry_names(common_tasks),
        _mean_rank_cells(common_tasks),
        _count_pairwise_wins(common_tasks),
        _normalized_score_cells(common_tasks),
    ]
    cells += [mark_best_cells(entry_improvability, greater=False), overview.ratings.tolist()]
    if overview.has_intervals:
        columns.append(ReportColumn("95 % interval", "number"))
        rating_ends = zip(overview.lower, overview.upper, strict=True)
        cells.append(
            [
                f"{format_number(rating_low, 0)} to {format_number(rating_high, 0)}"
                for rating_low, rating_high in rating_ends
            ]
        )
    columns.append(ReportColumn("Beats majority, % of splits", "number", 0))
    cells.append((100 * split_share_above_baseline(common_tasks)).tolist())
    return ReportTable(tuple(columns), tuple(zip(*cells, strict=True)))


def describe_omitted_tasks(rankings: Sequence[Ranking], common: CommonTasks) -> list[str]:
    """Name the tasks and the entries which are not in the comparison."""
    sentences = []
    tasks = [escape(ranking.task) for ranking in rankings if ranking.task not in common.tasks]
    if tasks:
        sentences.append(f"Tasks left out, because some of these entries lack splits of them: {join_words(tasks)}.")
    omitted_entries = (
        entry_coverage.entry
        for entry_coverage in count_entry_coverage(rankings)
        if entry_coverage.entry not in common.entries
    )
    names = sorted(set(map(short_entry_name, omitted_entries)))
    if names:
        sentences.append(f"Left out, because some splits of some task are lacking: {', '.join(map(escape, names))}.")
    return sentences


def describe_coverage(scores: Scores, rankings: Sequence[Ranking]) -> str | CollapsedParts:
    """Say how many of all tasks and planned splits every entry has: a sentence where they have all, else a table."""
    covered_entries, planned_splits = count_entry_coverage(rankings), sum(map(attrgetter("splits"), rankings))
    if all(entry_coverage.splits == planned_splits for entry_coverage in covered_entries):
        return f"Coverage: every entry has all {format_count(planned_splits, 'split')} of all {format_count(len(rankings), 'task')}."
    complete_tasks: Counter[Entry] = Counter()
    for ranking in rankings:
        complete_tasks.update(
            entry for entry, rows in cross_task.select_tuned_entry_rows(ranking).items() if len(rows) == ranking.splits
        )
    rows = []
    for entry_coverage in covered_entries:
        tasks, splits = (
            f"{complete_tasks[entry_coverage.entry]} of {len(rankings)}",
            f"{entry_coverage.splits} of {planned_splits}",
        )
        rows.append(
            (short_entry_name(entry_coverage.entry), tasks, splits, _missing_statuses(scores, entry_coverage.entry))
        )
    columns = [ENTRY, ReportColumn("Tasks with all splits", "count"), ReportColumn("Splits", "count")]
    columns.append(ReportColumn("What became of the others"))
    table = ReportTable(tuple(columns), tuple(rows), foldable=False)
    return CollapsedParts("Coverage: which entries have how much", (table,))


def _missing_statuses(scores: Scores, entry: Entry) -> str | None:
    """How the cells of an entry ended that have no scores, by their status."""
    status_counts: Counter[str] = Counter()
    for cell in scores.cells:
        if (cell.family, cell.strategy) == entry[:2] and cell.status != "ok":
            status_counts[cell.status] += 1
    words = {STATUS_MISSING: "not run yet"}
    return ", ".join(f"{words.get(status, status)} {n}" for status, n in status_counts.items()) or None


def tabulate_imputed_ranks(rankings: Sequence[Ranking]) -> list[Part]:
    """Give a second table, of all entries and tasks, where missing splits have the baseline's score of the same split."""
    if not any(map(attrgetter("missing_splits"), count_entry_coverage(rankings))):
        return []
    common_tasks = cross_task.impute_missing_splits(rankings)
    if len(common_tasks.tasks) < 2:
        return ["What is lacking cannot be filled in: the baseline has not got all splits of two tasks."]
    common_tasks = order_by_rank(common_tasks)
    filled_splits = {}
    for entry_coverage in count_entry_coverage([ranking for ranking in rankings if ranking.task in common_tasks.tasks]):
        filled_splits[entry_coverage.entry] = (
            f"{entry_coverage.missing_splits} of {entry_coverage.splits + entry_coverage.missing_splits}"
        )
    text = (
        f"All entries on {format_count(len(common_tasks.tasks), 'task')}. A split that an entry lacks, for whatever reason, has the "
        "baseline's score here: as if the entry had given up there and predicted the training prior. This is hard on entries that "
        "do not apply to a kind of data and on runs that are not finished; *filled in* says how much of a row is made so."
    )
    normalized_scores = cross_task.normalize_and_average_scores(common_tasks).tolist()
    cells = [
        _entry_names(common_tasks),
        _mean_rank_cells(common_tasks),
        normalized_scores,
        list(map(filled_splits.__getitem__, common_tasks.entries)),
    ]
    columns = (ENTRY, MEAN_RANK, NORMALIZED, ReportColumn("Splits filled in", "count"))
    return [text, ReportTable(columns, tuple(zip(*cells, strict=True)))]


def short_entry_name(entry: Entry) -> str:
    """Name an entry where all are tuned."""
    return f"{entry.family}/{entry.strategy}"


def _entry_names(common_tasks: CommonTasks) -> list[str]:
    return list(map(attrgetter("name"), common_tasks.entries))


def _mean_rank_cells(common_tasks: CommonTasks) -> list[ReportCell]:
    return mark_best_cells(mean_ranks(common_tasks).tolist(), greater=False)


def _count_pairwise_wins(common_tasks: CommonTasks) -> list[int]:
    return [int(win_count) for win_count in cross_task.count_wins(common_tasks.mean_scores)]


def _normalized_score_cells(common_tasks: CommonTasks) -> list[ReportCell]:
    return mark_best_cells(cross_task.normalize_and_average_scores(common_tasks).tolist(), greater=True)
