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
    wins = np.array(list(map(task_statistics.pairwise_wins, common.scores)))
    ratings = task_statistics.fit_bradley_terry_ratings(wins)
    lower = upper = np.full(len(ratings), np.nan)
    if len(common.tasks) >= MIN_TASKS and len(ratings) > 1:
        seed = seed_of("across", *common.tasks, *map(attrgetter("name"), common.entries))
        lower, upper = task_statistics.rating_intervals(wins, seed)
    return CrossTaskOverview(common, wins, ratings, lower, upper)


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
    shares = []
    for scores, baseline in zip(common.scores, common.baselines, strict=True):
        if baseline is not None:
            shares.append(((scores > baseline) + (scores == baseline) / 2).mean(axis=1))
    if not shares:
        return np.full(len(common.entries), np.nan)
    return np.asarray(np.mean(shares, axis=0))


def summarize_cross_task_ranks(rankings: Sequence[Ranking]) -> list[Part]:
    """Give a short table of the entries over the tasks that they share, and name what is left out of it."""
    evaluated = select_completed_rankings(rankings)
    if len(evaluated) < 2:
        return [explain_too_few_tasks(rankings)]
    common = cross_task.find_common_tasks(evaluated)
    if len(common.tasks) < 2:
        return [NO_COMMON_ENTRIES, *unfinished_tasks(rankings)]
    n = len(common.tasks)
    tasks = format_count(n, "task") if n == len(rankings) else f"{n} of {len(rankings)} tasks"
    opening = (
        f"Tuned entries over {tasks}, each ranked by the objective of the task; the baseline does not compete. *Wins* are "
        "first places (shared ones count for each), *normalised* is 0 at the baseline of a task, or below it, and 1 at its "
        "best entry. Nothing is claimed about other tasks."
    )
    ordered = order_by_rank(common)
    cells = [
        _entry_names(ordered),
        _mean_rank_cells(ordered),
        _count_pairwise_wins(ordered),
        _normalized_score_cells(ordered),
    ]
    table = ReportTable((ENTRY, MEAN_RANK, WINS, NORMALIZED), tuple(zip(*cells, strict=True)))
    return [opening, table, *describe_omitted_tasks(evaluated, common), *unfinished_tasks(rankings)]


def explain_too_few_tasks(rankings: Sequence[Ranking]) -> str:
    """Say that fewer than two tasks have been evaluated."""
    if len(rankings) < 2:
        return ONE_TASK
    n = len(select_completed_rankings(rankings))
    return f"{n or 'None'} of {len(rankings)} tasks {plural(n, 'has', 'have')} been evaluated: too few to average over."


def unfinished_tasks(rankings: Sequence[Ranking]) -> list[str]:
    """Name the tasks of the run without scores, and those of whose planned splits no entry has all."""
    sentences, without = [], [escape(ranking.task) for ranking in rankings if ranking.best is None]
    if without:
        sentences.append(f"Not evaluated, as no entry has scores: {join_words(without)}.")
    by_splits: dict[tuple[int, int], list[str]] = {}
    for ranking in select_completed_rankings(rankings):
        splits = set().union(*(ranked.rows.splits for ranked in ranking.entries))
        if len(splits) < ranking.splits:
            by_splits.setdefault((len(splits), ranking.splits), []).append(escape(ranking.task))
    for (n, planned), names in by_splits.items():
        tasks = "every task" if len(names) == len(rankings) else join_words(names)
        sentences.append(
            f"Of {format_count(planned, 'planned split')} only {n} {plural(n, 'has', 'have')} scores of any entry on {tasks}: "
            f"what is said there is said of {plural(n, 'it', 'these')} alone."
        )
    return sentences


def tabulate_cross_task_entries(overview: CrossTaskOverview) -> ReportTable:
    """Tabulate all that is known of every entry over the tasks that they share."""
    common = overview.common
    columns = [
        ENTRY,
        MEAN_RANK,
        WINS,
        NORMALIZED,
        ReportColumn("Improvability", "number"),
        ReportColumn("Elo", "number", 0),
    ]
    improvability = cross_task.improvability(common).tolist()
    cells = [
        _entry_names(common),
        _mean_rank_cells(common),
        _count_pairwise_wins(common),
        _normalized_score_cells(common),
    ]
    cells += [mark_best_cells(improvability, greater=False), overview.ratings.tolist()]
    if overview.has_intervals:
        columns.append(ReportColumn("95 % interval", "number"))
        ends = zip(overview.lower, overview.upper, strict=True)
        cells.append([f"{format_number(low, 0)} to {format_number(high, 0)}" for low, high in ends])
    columns.append(ReportColumn("Beats majority, % of splits", "number", 0))
    cells.append((100 * split_share_above_baseline(common)).tolist())
    return ReportTable(tuple(columns), tuple(zip(*cells, strict=True)))


def describe_omitted_tasks(rankings: Sequence[Ranking], common: CommonTasks) -> list[str]:
    """Name the tasks and the entries which are not in the comparison."""
    sentences = []
    tasks = [escape(ranking.task) for ranking in rankings if ranking.task not in common.tasks]
    if tasks:
        sentences.append(f"Tasks left out, because some of these entries lack splits of them: {join_words(tasks)}.")
    omitted = (covered.entry for covered in count_entry_coverage(rankings) if covered.entry not in common.entries)
    names = sorted(set(map(short_entry_name, omitted)))
    if names:
        sentences.append(f"Left out, because some splits of some task are lacking: {', '.join(map(escape, names))}.")
    return sentences


def describe_coverage(scores: Scores, rankings: Sequence[Ranking]) -> str | CollapsedParts:
    """Say how many of all tasks and planned splits every entry has: a sentence where they have all, else a table."""
    covered_entries, planned = count_entry_coverage(rankings), sum(map(attrgetter("splits"), rankings))
    if all(covered.splits == planned for covered in covered_entries):
        return f"Coverage: every entry has all {format_count(planned, 'split')} of all {format_count(len(rankings), 'task')}."
    complete: Counter[Entry] = Counter()
    for ranking in rankings:
        complete.update(
            entry for entry, rows in cross_task.select_tuned_entry_rows(ranking).items() if len(rows) == ranking.splits
        )
    rows = []
    for covered in covered_entries:
        tasks, splits = f"{complete[covered.entry]} of {len(rankings)}", f"{covered.splits} of {planned}"
        rows.append((short_entry_name(covered.entry), tasks, splits, _missing_statuses(scores, covered.entry)))
    columns = [ENTRY, ReportColumn("Tasks with all splits", "count"), ReportColumn("Splits", "count")]
    columns.append(ReportColumn("What became of the others"))
    table = ReportTable(tuple(columns), tuple(rows), foldable=False)
    return CollapsedParts("Coverage: which entries have how much", (table,))


def _missing_statuses(scores: Scores, entry: Entry) -> str | None:
    """How the cells of an entry ended that have no scores, by their status."""
    counts: Counter[str] = Counter()
    for cell in scores.cells:
        if (cell.family, cell.strategy) == entry[:2] and cell.status != "ok":
            counts[cell.status] += 1
    words = {STATUS_MISSING: "not run yet"}
    return ", ".join(f"{words.get(status, status)} {n}" for status, n in counts.items()) or None


def tabulate_imputed_ranks(rankings: Sequence[Ranking]) -> list[Part]:
    """Give a second table, of all entries and tasks, where missing splits have the baseline's score of the same split."""
    if not any(map(attrgetter("missing_splits"), count_entry_coverage(rankings))):
        return []
    common = cross_task.impute_missing_splits(rankings)
    if len(common.tasks) < 2:
        return ["What is lacking cannot be filled in: the baseline has not got all splits of two tasks."]
    common = order_by_rank(common)
    filled = {}
    for covered in count_entry_coverage([ranking for ranking in rankings if ranking.task in common.tasks]):
        filled[covered.entry] = f"{covered.missing_splits} of {covered.splits + covered.missing_splits}"
    text = (
        f"All entries on {format_count(len(common.tasks), 'task')}. A split that an entry lacks, for whatever reason, has the "
        "baseline's score here: as if the entry had given up there and predicted the training prior. This is hard on entries that "
        "do not apply to a kind of data and on runs that are not finished; *filled in* says how much of a row is made so."
    )
    normalized = cross_task.normalize_and_average_scores(common).tolist()
    cells = [_entry_names(common), _mean_rank_cells(common), normalized, list(map(filled.__getitem__, common.entries))]
    columns = (ENTRY, MEAN_RANK, NORMALIZED, ReportColumn("Splits filled in", "count"))
    return [text, ReportTable(columns, tuple(zip(*cells, strict=True)))]


def short_entry_name(entry: Entry) -> str:
    """Name an entry where all are tuned."""
    return f"{entry.family}/{entry.strategy}"


def _entry_names(common: CommonTasks) -> list[str]:
    return list(map(attrgetter("name"), common.entries))


def _mean_rank_cells(common: CommonTasks) -> list[ReportCell]:
    return mark_best_cells(mean_ranks(common).tolist(), greater=False)


def _count_pairwise_wins(common: CommonTasks) -> list[int]:
    return [int(wins) for wins in cross_task.count_wins(common.mean_scores)]


def _normalized_score_cells(common: CommonTasks) -> list[ReportCell]:
    return mark_best_cells(cross_task.normalize_and_average_scores(common).tolist(), greater=True)
