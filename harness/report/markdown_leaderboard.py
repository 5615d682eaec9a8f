"""The file `leaderboard.md`: what to use on every task, its first entries, the results summary, strategies and failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.evaluation.decision import recommend_entry
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.report.content import CollapsedParts, Evidence, Part, ReportTable, Section
from harness.report.markdown_report import describe_size, note_different_objective, summarize_results
from harness.report.render.markdown import (
    MAX_VISIBLE_ROWS,
    bold,
    bullet_list,
    escape,
    format_count,
    metric_name,
    render_markdown_part,
    render_markdown_table,
)
from harness.report.sections import protocol as protocol_section
from harness.report.sections.cross_task_table import summarize_cross_task_ranks
from harness.report.sections.entry_tables import (
    MATRIX_NOTE,
    select_derived_entries,
    select_displayed_entries,
    tabulate_derived_entries,
    tabulate_entries,
    tabulate_strategy_readings,
)
from harness.report.sections.overview import describe_cells_without_predictions
from harness.report.sections.protocol import FAILURES_TITLE
from harness.report.sections.recommendation import STRATEGY_LABEL, format_score_with_interval, recommendation_markdown

LEGEND = (
    "**[low, high]** is the 95 % interval of each mean over the outer splits by itself; verdicts compare pairs, all of them jointly, "
    "so that overlapping intervals say little. Against the best, an entry is *worse*, *practically equal* (within the region "
    "of practical equivalence), *not the best* (some entry is better, with 95 %) or *undecided*. Decisions are those at the tuned "
    "threshold, chosen on inner rows. Everything else, and how to read it, is in [details.md](details.md); the numbers are in "
    "`leaderboard.csv` (a row per task and entry) and `scores.csv` (a row per entry, calibration, threshold and split)."
)
SUMMARY_NOTE = (
    "The results summary, as it is usually written: tuned parameters, threshold 0.5, the counts of all outer splits added up; "
    "the ROC AUC is the mean over the splits."
)
MAX_ENTRIES_OVER_TASKS = 5


def write_leaderboard_markdown(evidence: Evidence, task_sections: Sequence[Section]) -> str:
    """Write the file `leaderboard.md`.

    Parameters
    ----------
    evidence : Evidence
        The run with its scores and rankings.
    task_sections : sequence of Section
        Sections that follow the tables of their tasks: what was asked for with the report, such as thresholds for goals.

    Returns
    -------
    str
        A line per task, then per task the recommendation and its tables, all tasks together, and failures.
    """
    scores, rankings = evidence.scores, evidence.rankings
    document_parts: list[Part] = [
        f"# Leaderboard of {escape(scores.run['name'])}",
        *_describe_overview(scores, rankings),
        LEGEND,
        MATRIX_NOTE,
        SUMMARY_NOTE,
    ]
    for ranking in rankings:
        document_parts += _describe_task(scores, ranking)
        for section in task_sections:
            if section.task == ranking.task:
                document_parts += [f"### {escape(section.title)}", *section.parts]
    if len(rankings) > 1:
        document_parts += ["## Over all tasks", *map(_keep_first_rows, summarize_cross_task_ranks(rankings))]
    document_parts += [f"## {FAILURES_TITLE}", *protocol_section.list_failures(scores)]
    return "\n\n".join(render_markdown_part(document_part) for document_part in document_parts if document_part) + "\n"


def _describe_overview(scores: Scores, rankings: Sequence[Ranking]) -> list[Part]:
    """What to use on each task, in a line, and what is missing."""
    lines = []
    for ranking in rankings:
        lines.append(f"On {bold(escape(ranking.task))}, use {escape(_describe_recommendation(scores, ranking))}")
    gaps_text = describe_cells_without_predictions(scores)
    if gaps_text:
        lines.append(f"{gaps_text}: see *{FAILURES_TITLE}*.")
    overview_parts: list[Part] = [bullet_list(lines[:MAX_VISIBLE_ROWS])]
    if lines[MAX_VISIBLE_ROWS:]:
        overview_parts.append(
            CollapsedParts(f"{len(lines) - MAX_VISIBLE_ROWS} more", (bullet_list(lines[MAX_VISIBLE_ROWS:]),))
        )
    return overview_parts


def first_sentences(scores: Scores, rankings: Sequence[Ranking]) -> list[str]:
    """Name the recommended entry of every task with its score, for a terminal."""
    return [f"on {ranking.task}, use {_describe_recommendation(scores, ranking)}" for ranking in rankings]


def _describe_recommendation(scores: Scores, ranking: Ranking) -> str:
    recommendation = recommend_entry(scores, ranking)
    if recommendation.entry is None:
        return "none of the entries."
    score = format_score_with_interval(ranking, recommendation.entry.score)
    return f"{recommendation.entry.name}: {metric_name(ranking.metric)} {score}."


def _keep_first_rows(section_part: Part) -> Part:
    """The first rows of a table; all of them are in `details.md`."""
    if isinstance(section_part, ReportTable):
        return _remove_table_padding(replace(section_part, rows=section_part.rows[:MAX_ENTRIES_OVER_TASKS]))
    return section_part


def _remove_table_padding(section_part: Part) -> Part:
    """All rows of a table, without padding: the file is meant to be short."""
    if isinstance(section_part, ReportTable):
        return render_markdown_table(replace(section_part, foldable=False), padded=False)
    return section_part


def _describe_task(scores: Scores, ranking: Ranking) -> list[Part]:
    """The recommendation of a task and its tables."""
    task = ranking.task
    matrix = tabulate_strategy_readings(scores, task)
    task_parts: list[Part] = [
        f"## {escape(task)}",
        describe_size(scores, task),
        recommendation_markdown(scores, ranking, () if matrix is None else (STRATEGY_LABEL,)),
        note_different_objective(scores, ranking),
        *_tabulate_first_entries(scores, ranking),
    ]
    if matrix is not None:
        task_parts += ["Strategies against `none`:", _remove_table_padding(matrix)]
    summary = summarize_results(scores, ranking)
    if summary:
        task_parts += map(_remove_table_padding, summary)
    return task_parts


def _tabulate_first_entries(scores: Scores, ranking: Ranking) -> list[Part]:
    """The first entries, and in a table of their own those that are derived from others."""
    entries = select_displayed_entries(scores, ranking)
    if not entries:
        return []
    table = tabulate_entries(scores, ranking, entries)
    table_parts: list[Part] = [table]
    if len(scores.run["tasks"]) > 1:
        table_parts = [_remove_table_padding(table)]
    derived_entries = select_derived_entries(ranking)
    other_entry_count = (
        sum(ranked_entry.score.n > 0 for ranked_entry in ranking.entries) - len(entries) - len(derived_entries)
    )
    if other_entry_count:
        table_parts.append(
            f"{format_count(other_entry_count, 'more entry', 'more entries')} in [details.md](details.md)."
        )
    if derived_entries:
        table_parts.append(
            "Chosen or combined in every split by inner scores; ensembles have intervals from the splits alone:"
        )
        table_parts.append(_remove_table_padding(tabulate_derived_entries(scores, ranking)))
    return table_parts
