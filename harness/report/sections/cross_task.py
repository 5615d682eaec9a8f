"""The sections of a report about all tasks together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from operator import attrgetter

import numpy as np

from harness.evaluation import cross_task, task_statistics
from harness.evaluation.corrected_t import CONFIDENCE
from harness.evaluation.cross_task import (
    Array,
    CommonTasks,
    find_common_tasks,
    select_completed_rankings,
    select_family_entry_rows,
)
from harness.evaluation.ranking import BASELINE, Ranking
from harness.evaluation.task_statistics import ROPE, ComparisonPosterior
from harness.report.content import CollapsedParts, Evidence, Figure, Part, ReportColumn, ReportTable, Section
from harness.report.figures import cross_task as figures
from harness.report.figures.writer import report_file_name
from harness.report.render.cells import format_number, format_p_value
from harness.report.render.markdown import format_count
from harness.report.sections import cross_task_table
from harness.report.sections.cross_task_table import (
    MIN_TASKS,
    CrossTaskOverview,
    describe_omitted_tasks,
    short_entry_name,
)
from harness.report.sections.suitability import make_suitability_sections
from harness.seeding import seed_of

TITLE = "Over all tasks"
MAX_DRAWN = 40  #: entries that a figure or a table of pairs has room for
MAX_LEADERS = 5  #: entries that are compared in pairs
MAX_FAMILIES = 8  #: families that are compared in pairs
SAMPLE_TEXT = (
    "What is said about chance takes the tasks for a sample of tasks like these, drawn one by one: of other kinds of tasks it "
    "says nothing, and tasks cut from the same data count for less than their number."
)
FEW_TEXT = (
    f"With fewer than {MIN_TASKS} tasks no test over tasks is made and strengths have no intervals: so few say nothing about "
    "further ones. Scores describe these tasks only."
)
RANKS_TEXT = (
    "Mean ranks, best above (a critical-difference diagram on its side). A line beside them joins entries whose ends are not "
    "significantly different; two entries that no line joins are. Significantly different means that two tests over the tasks "
    "agree, each adjusted by Holm over all pairs: Conover's after Friedman's, which compares mean ranks, and Wilcoxon's "
    "signed-rank test of the pair alone. Conover's alone finds differences among equal entries too often as soon as others are "
    "always last. No significant difference is no proof of equality."
)
ELO_TEXT = (
    "On every split any two entries meet, and the better score wins (equal ones: half a win each); all splits of a task "
    "together count 1. *Elo* says it in one number (Bradley and Terry's model): of two entries that are 100 points apart the "
    "stronger wins 64 of 100 battles, at 400 points 91. The mean of the entries is 1,000. One more task, on which all tie, is "
    "added, so that who never loses stays finite."
)
INTERVALS_TEXT = (
    "Intervals come from a Bayesian bootstrap over the tasks, widened for their number. They are those of single strengths: "
    "overlapping ones are no test of a pair."
)
WINS_TEXT = "How many of 100 battles the entry of a row wins against that of a column:"
PRACTICAL_TEXT = (
    f"How probable is it that one entry is better than another on tasks like these by more than {ROPE:g}, and how "
    f"probable that they are as good as equal? {ROPE:g} is taken for the largest difference that does not matter in "
    "practice (of log loss, cost and lift: 1 % of the baseline's score); where the positive class is rare, smaller ones may "
    "matter. The Bayesian signed-rank test (Benavoli and others 2017) answers with three probabilities per pair; its prior "
    "holds all entries for equal and weighs half a task. Below 95 % nothing is settled."
)
LEADERS_TEXT = (
    "The first entries by mean rank in pairs, over {tasks}. Who leads is known only after looking, which favours leaders a "
    "little, and nothing is adjusted for the number of pairs:"
)
FAMILIES_TEXT = (
    "Families in pairs, over {tasks}, each with the strategy that the inner scores chose in each split, so that nothing was "
    "picked by looking at test rows; families with more strategies had more trials:"
)


def make_cross_task_sections(evidence: Evidence) -> list[Section]:
    """Write what can be said over the tasks that entries share: one section where there are too few, else one per question."""
    rankings = select_completed_rankings(evidence.rankings)
    if len(rankings) < 2:
        return [Section(TITLE, (cross_task_table.explain_too_few_tasks(evidence.rankings),))]
    coverage_parts: list[Part] = [*cross_task_table.unfinished_tasks(evidence.rankings)]
    coverage_parts.append(cross_task_table.describe_coverage(evidence.scores, evidence.rankings))
    imputed_rank_table = cross_task_table.tabulate_imputed_ranks(rankings)
    if imputed_rank_table:
        coverage_parts += ["With what is lacking filled in:", *imputed_rank_table]
    common_tasks = find_common_tasks(rankings)
    if len(common_tasks.tasks) < 2:
        return [Section(TITLE, (cross_task_table.NO_COMMON_ENTRIES, *coverage_parts))]
    overview, families = cross_task_table.cross_task_overview(common_tasks), list(evidence.scores.run["families"])
    has_enough_tasks = len(common_tasks.tasks) >= MIN_TASKS
    opening_parts = [
        _describe_compared_tasks(evidence.rankings, overview),
        SAMPLE_TEXT if has_enough_tasks else FEW_TEXT,
    ]
    table: list[Part] = [cross_task_table.TABLE_TEXT, cross_task_table.tabulate_cross_task_entries(overview)]
    cross_task_sections = [
        Section(TITLE, (*opening_parts, *table, *describe_omitted_tasks(rankings, common_tasks), *coverage_parts))
    ]
    if len(common_tasks.entries) > 1:
        if has_enough_tasks:
            cross_task_sections.append(
                Section("Mean ranks, and significant differences", _describe_mean_ranks(overview, families))
            )
        cross_task_sections.append(Section("Who beats whom", _describe_ratings_and_wins(overview, families)))
        if has_enough_tasks:
            cross_task_sections += _make_practical_equivalence_sections(evidence, overview)
    return [*cross_task_sections, *make_suitability_sections(evidence)]


def _describe_compared_tasks(rankings: Sequence[Ranking], overview: CrossTaskOverview) -> str:
    common_tasks = overview.common
    common_count, task_count = len(common_tasks.tasks), len(rankings)
    tasks = f"{common_count} of {format_count(task_count, 'task')}"
    has_all_tasks = common_count == task_count
    if has_all_tasks:
        tasks = f"all {format_count(common_count, 'task')}"
        has_all_tasks = not describe_omitted_tasks(select_completed_rankings(rankings), common_tasks)
    sentence_end = "." if has_all_tasks else ": those that make the largest table without a gap."
    entries = f"{format_count(len(common_tasks.entries), 'tuned entry', 'tuned entries')} on {tasks}{sentence_end}"
    return f"{entries} Each task ranks by its own objective; the baseline is what others are measured by and does not compete."


def _describe_mean_ranks(overview: CrossTaskOverview, families: Sequence[str]) -> tuple[Part, ...]:
    common_tasks = overview.common
    means, k, n = common_tasks.mean_scores, len(common_tasks.entries), len(common_tasks.tasks)
    p_values = task_statistics.pairwise_p_values(means)
    pair_count, different_count = k * (k - 1) // 2, int((p_values < 1 - CONFIDENCE).sum()) // 2
    verb = "is" if different_count == 1 else "are"
    text = f"{_describe_friedman_test(means)}{different_count} of {format_count(pair_count, 'pair')} {verb} significantly different."
    required_tasks = task_statistics.min_tasks_for_significance(k)
    if n < required_tasks:
        text += (
            f" With {pair_count} pairs no pair could have been significantly different on {format_count(n, 'task')}, whatever "
            f"they showed: that takes {required_tasks} at least."
        )
    names = tuple(map(short_entry_name, common_tasks.entries[:MAX_DRAWN]))
    last_position = len(names) - 1
    tied_spans = tuple(
        (first_position, min(end_position, last_position))
        for first_position, end_position in task_statistics.tied_groups(p_values)
        if first_position < last_position
    )
    ranks = tuple(cross_task_table.mean_ranks(common_tasks)[: len(names)].tolist())
    draw_figure = partial(
        figures.mean_rank_figure, names, _number_families(common_tasks, families)[:MAX_DRAWN], ranks, tied_spans
    )
    caption = "Mean ranks of the entries, with lines that join those that are not significantly different"
    figure = Figure(report_file_name("", "ranks"), caption, draw_figure)
    table = CollapsedParts("p values of all pairs", (_tabulate_p_values(names, p_values),))
    return text, RANKS_TEXT, figure, *_note_undrawn_entries(k), table


def _describe_friedman_test(mean_scores: Array) -> str:
    """The test of all entries together; nothing for two, where it would be a rough test of their pair."""
    if len(mean_scores) < 3:
        return ""
    test = task_statistics.friedman_test(task_statistics.task_ranks(mean_scores))
    f = "beyond every bound" if np.isinf(test.f) else f"= {format_number(test.f, 2)}"
    verdict = "no difference among the entries is shown"
    if test.p < 1 - CONFIDENCE:
        verdict = "the entries differ by more than chance"
    return (
        f"Friedman's test over {format_count(mean_scores.shape[1], 'task')}: χ² = {format_number(test.chi2, 2)}, in Iman and "
        f"Davenport's form F({test.degrees[0]}, {test.degrees[1]}) {f}, p {_format_p_with_sign(test.p)}: {verdict}. "
    )


def _format_p_with_sign(p: float) -> str:
    return format_p_value(p) if p < 0.001 else f"= {format_p_value(p)}"


def _tabulate_p_values(names: Sequence[str], p_values: Array) -> ReportTable:
    p_value_pairs = sorted((float(p_values[i, j]), i, j) for i, j in combinations(range(len(names)), 2))
    rows = tuple((names[i], names[j], p) for p, i, j in p_value_pairs)
    columns = (ReportColumn("Entry"), ReportColumn("Against"), ReportColumn("p, adjusted", "p_value"))
    return ReportTable(columns, rows, foldable=False)


def _describe_ratings_and_wins(overview: CrossTaskOverview, families: Sequence[str]) -> tuple[Part, ...]:
    ratings, family_numbers = overview.ratings, _number_families(overview.common, families)
    rating_order = sorted(range(len(ratings)), key=lambda position: (-ratings[position], position))[:MAX_DRAWN]
    names = tuple(short_entry_name(overview.common.entries[position]) for position in rating_order)
    text, caption = ELO_TEXT, "Strength of every entry on the Elo scale"
    interval_ends: tuple[tuple[float, float], ...] = ()
    if overview.has_intervals:
        text, caption = f"{text} {INTERVALS_TEXT}", f"{caption}, with intervals"
        interval_ends = tuple(
            zip(overview.lower[rating_order].tolist(), overview.upper[rating_order].tolist(), strict=True)
        )
    entry_family_numbers = tuple(map(family_numbers.__getitem__, rating_order))
    draw_ratings = partial(
        figures.rating_figure, names, entry_family_numbers, tuple(ratings[rating_order].tolist()), interval_ends
    )
    ratings_figure = Figure(report_file_name("", "strengths"), caption, draw_ratings)
    pairwise_wins = _pairwise_wins_with_baseline(overview, rating_order)
    if len(pairwise_wins) > len(names):
        names = (*names, BASELINE)
    win_shares = tuple(tuple(map(partial(round, ndigits=4), row)) for row in pairwise_wins.tolist())
    draw_wins = partial(figures.pairwise_wins_figure, names, win_shares)
    figure = Figure(report_file_name("", "battles"), "How often each entry beats each other", draw_wins)
    table = CollapsedParts("The same as a table", (_tabulate_pairwise_wins(names, win_shares),))
    return text, ratings_figure, *_note_undrawn_entries(len(ratings)), WINS_TEXT, figure, table


def _tabulate_pairwise_wins(names: Sequence[str], win_shares: Sequence[Sequence[float]]) -> ReportTable:
    columns = [ReportColumn("Entry"), ReportColumn("No.", "count")]
    rows = []
    for position, row in enumerate(win_shares):
        columns.append(ReportColumn(str(position + 1), "number", 0))
        row_cells: list[float | None] = [100 * win_share for win_share in row]
        row_cells[position] = None
        rows.append((names[position], position + 1, *row_cells))
    return ReportTable(tuple(columns), tuple(rows), foldable=False)


def _pairwise_wins_with_baseline(overview: CrossTaskOverview, entry_order: Sequence[int]) -> Array:
    """Mean pairwise wins of the entries in this order, and of the baseline after them where it has all these splits."""
    pairwise_wins = overview.wins.mean(axis=0)[np.ix_(entry_order, entry_order)]
    if any(baseline is None for baseline in overview.common.baselines):
        return np.asarray(pairwise_wins)
    baseline_wins = 1 - cross_task_table.split_share_above_baseline(overview.common)[list(entry_order)]
    return np.block([[pairwise_wins, 1 - baseline_wins[:, None]], [baseline_wins[None, :], np.zeros((1, 1))]])


def _number_families(common_tasks: CommonTasks, families: Sequence[str]) -> tuple[int, ...]:
    """The number of every entry's family, which chooses its colour and marker."""
    entry_families = list(map(attrgetter("family"), common_tasks.entries))
    ordered_families = list(dict.fromkeys([*(family for family in families if family != BASELINE), *entry_families]))
    return tuple(map(ordered_families.index, entry_families))


def _note_undrawn_entries(k: int) -> list[str]:
    return [f"The figure shows the first {MAX_DRAWN} of {k} entries."] if k > MAX_DRAWN else []


def _make_practical_equivalence_sections(evidence: Evidence, overview: CrossTaskOverview) -> list[Section]:
    """A section about leading entries and about families in pairs; none where there is no pair."""
    leader_common_tasks = overview.common
    section_parts = _describe_pair_posteriors(
        leader_common_tasks,
        list(map(short_entry_name, leader_common_tasks.entries))[:MAX_LEADERS],
        "entries",
        LEADERS_TEXT,
    )
    family_common_tasks = find_common_tasks(select_completed_rankings(evidence.rankings), select_family_entry_rows)
    if len(family_common_tasks.entries) > 1 and len(family_common_tasks.tasks) >= MIN_TASKS:
        family_common_tasks = cross_task_table.order_by_rank(family_common_tasks)
        families = list(map(attrgetter("family"), family_common_tasks.entries))
        section_parts += _describe_pair_posteriors(
            family_common_tasks, families[:MAX_FAMILIES], "families", FAMILIES_TEXT
        )
    return [Section("Is the difference worth having?", (PRACTICAL_TEXT, *section_parts))] if section_parts else []


def pairwise_posteriors(common: CommonTasks, first: int) -> Mapping[tuple[int, int], ComparisonPosterior]:
    """Compare the first entries in pairs with the Bayesian signed-rank test, over the tasks on which a difference has a scale.

    Parameters
    ----------
    common : CommonTasks
        The entries on the tasks that they share.
    first : int
        How many of the entries are compared.

    Returns
    -------
    mapping of (int, int) to Posterior
        By the positions of a pair; empty with fewer than `MIN_TASKS` tasks.
    """
    scales = cross_task.difference_units_by_task(common)
    means = (common.mean_scores / scales)[:first, ~np.isnan(scales)]
    n = means.shape[1]
    if n < MIN_TASKS:
        return {}
    weights = task_statistics.draw_task_weights(n, seed_of("practical", *common.tasks))
    posteriors_by_pair = {}
    for i, j in combinations(range(len(means)), 2):
        posteriors_by_pair[i, j] = task_statistics.signed_rank_posterior(means[i] - means[j], weights)
    return posteriors_by_pair


def _describe_pair_posteriors(common_tasks: CommonTasks, names: Sequence[str], pair_kind: str, text: str) -> list[Part]:
    posteriors_by_pair = pairwise_posteriors(common_tasks, len(names))
    if not posteriors_by_pair:
        return []
    name_pairs = tuple((names[i], names[j]) for i, j in posteriors_by_pair)
    probabilities = tuple((p.first, p.equal, p.second) for p in posteriors_by_pair.values())
    caption = (
        f"For {format_count(len(name_pairs), 'pair')} of {pair_kind}: probability that the first is better, both are equal, the second "
        "is better"
    )
    draw_figure = partial(figures.practical_equivalence_figure, name_pairs, probabilities)
    figure = Figure(report_file_name("", "practical", pair_kind), caption, draw_figure)
    columns = [ReportColumn("First"), ReportColumn("Second")]
    for heading in ("First is better", "Practically equal", "Second is better"):
        columns.append(ReportColumn(heading, "number", 2))
    rows = tuple(
        (*name_pair, *pair_probabilities)
        for name_pair, pair_probabilities in zip(name_pairs, probabilities, strict=True)
    )
    n = int((~np.isnan(cross_task.difference_units_by_task(common_tasks))).sum())
    return [text.format(tasks=format_count(n, "task")), figure, ReportTable(tuple(columns), rows)]
