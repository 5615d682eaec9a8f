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
    coverage: list[Part] = [*cross_task_table.unfinished_tasks(evidence.rankings)]
    coverage.append(cross_task_table.describe_coverage(evidence.scores, evidence.rankings))
    filled = cross_task_table.tabulate_imputed_ranks(rankings)
    if filled:
        coverage += ["With what is lacking filled in:", *filled]
    common = find_common_tasks(rankings)
    if len(common.tasks) < 2:
        return [Section(TITLE, (cross_task_table.NO_COMMON_ENTRIES, *coverage))]
    overview, families = cross_task_table.cross_task_overview(common), list(evidence.scores.run["families"])
    testable = len(common.tasks) >= MIN_TASKS
    opening = [_describe_compared_tasks(evidence.rankings, overview), SAMPLE_TEXT if testable else FEW_TEXT]
    table: list[Part] = [cross_task_table.TABLE_TEXT, cross_task_table.tabulate_cross_task_entries(overview)]
    written = [Section(TITLE, (*opening, *table, *describe_omitted_tasks(rankings, common), *coverage))]
    if len(common.entries) > 1:
        if testable:
            written.append(Section("Mean ranks, and significant differences", _describe_mean_ranks(overview, families)))
        written.append(Section("Who beats whom", _describe_ratings_and_wins(overview, families)))
        if testable:
            written += _make_practical_equivalence_sections(evidence, overview)
    return [*written, *make_suitability_sections(evidence)]


def _describe_compared_tasks(rankings: Sequence[Ranking], overview: CrossTaskOverview) -> str:
    common = overview.common
    n, n_tasks = len(common.tasks), len(rankings)
    tasks = f"{n} of {format_count(n_tasks, 'task')}"
    complete = n == n_tasks
    if complete:
        tasks = f"all {format_count(n, 'task')}"
        complete = not describe_omitted_tasks(select_completed_rankings(rankings), common)
    end = "." if complete else ": those that make the largest table without a gap."
    entries = f"{format_count(len(common.entries), 'tuned entry', 'tuned entries')} on {tasks}{end}"
    return f"{entries} Each task ranks by its own objective; the baseline is what others are measured by and does not compete."


def _describe_mean_ranks(overview: CrossTaskOverview, families: Sequence[str]) -> tuple[Part, ...]:
    common = overview.common
    means, k, n = common.mean_scores, len(common.entries), len(common.tasks)
    p_values = task_statistics.pairwise_p_values(means)
    pairs, different = k * (k - 1) // 2, int((p_values < 1 - CONFIDENCE).sum()) // 2
    verb = "is" if different == 1 else "are"
    text = (
        f"{_describe_friedman_test(means)}{different} of {format_count(pairs, 'pair')} {verb} significantly different."
    )
    needed = task_statistics.min_tasks_for_significance(k)
    if n < needed:
        text += (
            f" With {pairs} pairs no pair could have been significantly different on {format_count(n, 'task')}, whatever "
            f"they showed: that takes {needed} at least."
        )
    names = tuple(map(short_entry_name, common.entries[:MAX_DRAWN]))
    last = len(names) - 1
    spans = tuple((first, min(end, last)) for first, end in task_statistics.tied_groups(p_values) if first < last)
    ranks = tuple(cross_task_table.mean_ranks(common)[: len(names)].tolist())
    draw = partial(figures.mean_rank_figure, names, _number_families(common, families)[:MAX_DRAWN], ranks, spans)
    caption = "Mean ranks of the entries, with lines that join those that are not significantly different"
    figure = Figure(report_file_name("", "ranks"), caption, draw)
    table = CollapsedParts("p values of all pairs", (_tabulate_p_values(names, p_values),))
    return text, RANKS_TEXT, figure, *_note_undrawn_entries(k), table


def _describe_friedman_test(means: Array) -> str:
    """The test of all entries together; nothing for two, where it would be a rough test of their pair."""
    if len(means) < 3:
        return ""
    test = task_statistics.friedman_test(task_statistics.task_ranks(means))
    f = "beyond every bound" if np.isinf(test.f) else f"= {format_number(test.f, 2)}"
    verdict = "no difference among the entries is shown"
    if test.p < 1 - CONFIDENCE:
        verdict = "the entries differ by more than chance"
    return (
        f"Friedman's test over {format_count(means.shape[1], 'task')}: χ² = {format_number(test.chi2, 2)}, in Iman and "
        f"Davenport's form F({test.degrees[0]}, {test.degrees[1]}) {f}, p {_format_p_with_sign(test.p)}: {verdict}. "
    )


def _format_p_with_sign(p: float) -> str:
    return format_p_value(p) if p < 0.001 else f"= {format_p_value(p)}"


def _tabulate_p_values(names: Sequence[str], p_values: Array) -> ReportTable:
    pairs = sorted((float(p_values[i, j]), i, j) for i, j in combinations(range(len(names)), 2))
    rows = tuple((names[i], names[j], p) for p, i, j in pairs)
    columns = (ReportColumn("Entry"), ReportColumn("Against"), ReportColumn("p, adjusted", "p_value"))
    return ReportTable(columns, rows, foldable=False)


def _describe_ratings_and_wins(overview: CrossTaskOverview, families: Sequence[str]) -> tuple[Part, ...]:
    ratings, numbers = overview.ratings, _number_families(overview.common, families)
    order = sorted(range(len(ratings)), key=lambda position: (-ratings[position], position))[:MAX_DRAWN]
    names = tuple(short_entry_name(overview.common.entries[position]) for position in order)
    text, caption = ELO_TEXT, "Strength of every entry on the Elo scale"
    ends: tuple[tuple[float, float], ...] = ()
    if overview.has_intervals:
        text, caption = f"{text} {INTERVALS_TEXT}", f"{caption}, with intervals"
        ends = tuple(zip(overview.lower[order].tolist(), overview.upper[order].tolist(), strict=True))
    own_numbers = tuple(map(numbers.__getitem__, order))
    draw = partial(figures.rating_figure, names, own_numbers, tuple(ratings[order].tolist()), ends)
    rating = Figure(report_file_name("", "strengths"), caption, draw)
    wins = _pairwise_wins_with_baseline(overview, order)
    if len(wins) > len(names):
        names = (*names, BASELINE)
    shares = tuple(tuple(map(partial(round, ndigits=4), row)) for row in wins.tolist())
    draw_wins = partial(figures.pairwise_wins_figure, names, shares)
    figure = Figure(report_file_name("", "battles"), "How often each entry beats each other", draw_wins)
    table = CollapsedParts("The same as a table", (_tabulate_pairwise_wins(names, shares),))
    return text, rating, *_note_undrawn_entries(len(ratings)), WINS_TEXT, figure, table


def _tabulate_pairwise_wins(names: Sequence[str], shares: Sequence[Sequence[float]]) -> ReportTable:
    columns = [ReportColumn("Entry"), ReportColumn("No.", "count")]
    rows = []
    for position, row in enumerate(shares):
        columns.append(ReportColumn(str(position + 1), "number", 0))
        cells: list[float | None] = [100 * share for share in row]
        cells[position] = None
        rows.append((names[position], position + 1, *cells))
    return ReportTable(tuple(columns), tuple(rows), foldable=False)


def _pairwise_wins_with_baseline(overview: CrossTaskOverview, order: Sequence[int]) -> Array:
    """Mean pairwise wins of the entries in this order, and of the baseline after them where it has all these splits."""
    wins = overview.wins.mean(axis=0)[np.ix_(order, order)]
    if any(baseline is None for baseline in overview.common.baselines):
        return np.asarray(wins)
    baseline_wins = 1 - cross_task_table.split_share_above_baseline(overview.common)[list(order)]
    return np.block([[wins, 1 - baseline_wins[:, None]], [baseline_wins[None, :], np.zeros((1, 1))]])


def _number_families(common: CommonTasks, families: Sequence[str]) -> tuple[int, ...]:
    """The number of every entry's family, which chooses its colour and marker."""
    used = list(map(attrgetter("family"), common.entries))
    known = list(dict.fromkeys([*(family for family in families if family != BASELINE), *used]))
    return tuple(map(known.index, used))


def _note_undrawn_entries(k: int) -> list[str]:
    return [f"The figure shows the first {MAX_DRAWN} of {k} entries."] if k > MAX_DRAWN else []


def _make_practical_equivalence_sections(evidence: Evidence, overview: CrossTaskOverview) -> list[Section]:
    """A section about leading entries and about families in pairs; none where there is no pair."""
    leaders = overview.common
    parts = _describe_pair_posteriors(
        leaders, list(map(short_entry_name, leaders.entries))[:MAX_LEADERS], "entries", LEADERS_TEXT
    )
    chosen = find_common_tasks(select_completed_rankings(evidence.rankings), select_family_entry_rows)
    if len(chosen.entries) > 1 and len(chosen.tasks) >= MIN_TASKS:
        chosen = cross_task_table.order_by_rank(chosen)
        families = list(map(attrgetter("family"), chosen.entries))
        parts += _describe_pair_posteriors(chosen, families[:MAX_FAMILIES], "families", FAMILIES_TEXT)
    return [Section("Is the difference worth having?", (PRACTICAL_TEXT, *parts))] if parts else []


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
    posteriors = {}
    for i, j in combinations(range(len(means)), 2):
        posteriors[i, j] = task_statistics.signed_rank_posterior(means[i] - means[j], weights)
    return posteriors


def _describe_pair_posteriors(common: CommonTasks, names: Sequence[str], kind: str, text: str) -> list[Part]:
    posteriors = pairwise_posteriors(common, len(names))
    if not posteriors:
        return []
    pairs = tuple((names[i], names[j]) for i, j in posteriors)
    probabilities = tuple((p.first, p.equal, p.second) for p in posteriors.values())
    caption = (
        f"For {format_count(len(pairs), 'pair')} of {kind}: probability that the first is better, both are equal, the second "
        "is better"
    )
    draw = partial(figures.practical_equivalence_figure, pairs, probabilities)
    figure = Figure(report_file_name("", "practical", kind), caption, draw)
    columns = [ReportColumn("First"), ReportColumn("Second")]
    for heading in ("First is better", "Practically equal", "Second is better"):
        columns.append(ReportColumn(heading, "number", 2))
    rows = tuple((*pair, *shares) for pair, shares in zip(pairs, probabilities, strict=True))
    n = int((~np.isnan(cross_task.difference_units_by_task(common))).sum())
    return [text.format(tasks=format_count(n, "task")), figure, ReportTable(tuple(columns), rows)]
