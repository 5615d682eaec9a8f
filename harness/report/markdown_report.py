"""The file `details.md`, which has every table of a run, and the parts of it that `leaderboard.md` and the page show too."""

from __future__ import annotations

from collections.abc import Sequence

from harness.evaluation import observations
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.evaluation.strategy_effects import strategy_differences
from harness.report.content import CollapsedParts, Evidence, Part, Section
from harness.report.leaderboard import explain_leaderboard_columns
from harness.report.render.markdown import MAX_VISIBLE_ROWS, escape, render_markdown_part
from harness.report.render.templates import render_text_template
from harness.report.sections import protocol as protocol_section
from harness.report.sections import published
from harness.report.sections import ranking as ranking_tables
from harness.report.sections.cross_task_table import summarize_cross_task_ranks
from harness.report.sections.imbalance import summarize_strategy_effects, tabulate_strategy_effects
from harness.report.sections.model_notes import list_model_findings
from harness.report.sections.observations import describe_observations
from harness.report.sections.overview import describe_cells_without_predictions, recommend_in_one_sentence
from harness.report.sections.protocol import FAILURES_TITLE, format_class_shares, list_data_remarks, list_data_warnings
from harness.report.sections.recommendation import recommendation_markdown
from harness.report.sections.suitability import describe_suitability

SUMMARY_TEXT = (
    "Tuned parameters, threshold 0.5. The counts of all outer splits are added up (a row counts once per repeat), so within "
    "a row of a table accuracy, recalls and class shares agree exactly; the ROC AUC is the mean over splits. An accuracy "
    "means little until it is compared with that of `majority`. A dash: nothing was called so."
)
MULTICLASS_TEXT = (
    "Several classes: the most probable one is taken, there is no threshold. The ROC AUC is the mean of one class against the "
    "rest; *macro* is the unweighted mean over the classes, where a class that nothing was called counts with precision 0."
)


def write_details_markdown(evidence: Evidence, task_sections: Sequence[Section]) -> str:
    """Write the file `details.md`.

    Parameters
    ----------
    evidence : Evidence
        The run with its scores and rankings.
    task_sections : sequence of Section
        The sections that follow the tables of their tasks: on thresholds, costs, the training of networks, and charts.

    Returns
    -------
    str
        The verdicts, the tasks, the results summary, the strategies, all tasks together, failures and the protocol.
    """
    scores, rankings = evidence.scores, evidence.rankings
    document_parts: list[Part] = [f"# Details of {escape(scores.run['name'])}"]
    document_parts += [*write_verdict_per_task(scores, rankings), explain_leaderboard_columns(scores)]
    for ranking in rankings:
        document_parts += [*_tabulate_task(scores, ranking), list_model_findings(evidence, ranking.task)]
        for section in task_sections:
            if section.task == ranking.task:
                document_parts += [f"### {escape(section.title)}", *section.parts]
    document_parts += _describe_all_published_results(scores, rankings)
    document_parts += ["## The results summary, as it is usually written", SUMMARY_TEXT]
    summaries: list[Part] = []
    for ranking in rankings:
        summary = summarize_results(scores, ranking)
        if summary:
            summaries += [f"### {escape(ranking.task)}", *summary]
    document_parts += summaries or ["Nothing was evaluated."]
    document_parts += ["## Does the strategy help?", render_text_template("strategy_differences.md")]
    for ranking in rankings:
        document_parts += [f"### {escape(ranking.task)}", *_describe_strategy_effects(scores, ranking)]
    document_parts += ["## Over all tasks", *summarize_cross_task_ranks(rankings)]
    suitability_parts = describe_suitability(scores, rankings)
    if suitability_parts:
        document_parts += ["### Which family suits which data", *suitability_parts]
    document_parts += [f"## {FAILURES_TITLE}", *protocol_section.list_failures(scores)]
    document_parts += ["## Protocol, data, versions", *protocol_section.describe_protocol(scores)]
    return "\n\n".join(render_markdown_part(document_part) for document_part in document_parts if document_part) + "\n"


def summarize_results(scores: Scores, ranking: Ranking) -> list[Part]:
    """Summarise the results of a task as published results are usually reported.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.

    Returns
    -------
    list of Part
        Paragraphs and tables; empty where no entry was evaluated.
    """
    if not any(ranked_entry.score.n for ranked_entry in ranking.entries):
        return []
    task = ranking.task
    summary_parts: list[Part] = [MULTICLASS_TEXT] if len(scores.classes(task)) > 2 else []
    summary_parts += ["Models, before imbalance is handled:", ranking_tables.tabulate_models(scores, task)]
    summary_parts.append(describe_observations(observations.model_observations(scores, task)))
    network_tables = ranking_tables.tabulate_networks(scores, task)
    for entry, (title, table) in zip(
        observations.list_plain_network_entries(scores, task), network_tables, strict=True
    ):
        summary_parts += [f"Network before imbalance is handled, {title}", table]
        summary_parts.append(describe_observations(observations.network_observations(scores, task, entry)))
    if not network_tables:
        summary_parts.append("No network took part.")
    summary_parts += ["Methods:", ranking_tables.tabulate_methods(scores, task)]
    summary_parts.append(describe_observations(observations.method_observations(scores, task)))
    return [summary_part for summary_part in summary_parts if summary_part]


def describe_rows(scores: Scores, task: str) -> str:
    """Describe the rows of a task: its title, the number of rows, the shares of the classes, and what is special."""
    return f"{describe_size(scores, task)} {list_data_remarks(scores.run['tasks'][task])}".rstrip()


def describe_size(scores: Scores, task: str) -> str:
    """Describe the rows of a task in short: its title, the number of rows and the shares of the classes."""
    metadata = scores.run["tasks"][task]
    return f"{escape(metadata['title'])}. {metadata['rows']:,} rows: {escape(format_class_shares(metadata, percent=True))}."


def note_different_objective(scores: Scores, ranking: Ranking) -> str:
    """Note that the objective of the search is not the metric of the ranking; empty where it is."""
    objective = scores.run["tasks"][ranking.task]["objective"]
    if objective == ranking.metric.name:
        return ""
    return f"The search was after {escape(objective)}, which no metric of this installation is named."


def write_verdict_per_task(scores: Scores, rankings: Sequence[Ranking]) -> list[Part]:
    """Write a line per task: what to use, and warnings; beyond the first 15 tasks they are collapsed."""
    verdict_lines = []
    for ranking in rankings:
        data_warnings = list_data_warnings(scores.run["tasks"][ranking.task])
        verdict_lines.append(f"- {' '.join(filter(None, (recommend_in_one_sentence(scores, ranking), data_warnings)))}")
    lines, folded_lines = verdict_lines[:MAX_VISIBLE_ROWS], verdict_lines[MAX_VISIBLE_ROWS:]
    gaps_text = describe_cells_without_predictions(scores)
    if gaps_text:
        lines.append(f"- {gaps_text}: see *{FAILURES_TITLE}*.")
    verdict_parts: list[Part] = ["\n".join(lines)]
    if folded_lines:
        verdict_parts.append(CollapsedParts(f"{len(folded_lines)} more tasks", ("\n".join(folded_lines),)))
    return verdict_parts


def _tabulate_task(scores: Scores, ranking: Ranking) -> list[Part]:
    """The tables of a task below its verdict."""
    best_entry = ranking.best
    task_parts: list[Part] = [
        f"## {escape(ranking.task)}",
        f"Data: {describe_rows(scores, ranking.task)}",
        recommendation_markdown(scores, ranking),
        list_data_warnings(scores.run["tasks"][ranking.task]),
        note_different_objective(scores, ranking),
    ]
    if best_entry is None:
        return task_parts
    repeats = scores.run["protocol"].get("repeats", 1)
    repeats_text = f", each row {repeats} times" if repeats > 1 else ""
    return [
        *task_parts,
        ranking_tables.tabulate_quality(scores, ranking),
        ranking_tables.describe_unchanged_defaults(ranking),
        "Probabilities, over-fitting and effort, in the same order:",
        ranking_tables.tabulate_effort(scores, ranking),
        f"What was called what, and the report per class, added up over the splits{repeats_text}:",
        ranking_tables.tabulate_confusion_matrix(scores, ranking, best_entry),
    ]


def _describe_all_published_results(scores: Scores, rankings: Sequence[Ranking]) -> list[Part]:
    """The published results of all tasks beside those of the run; empty where nothing is published."""
    published_parts: list[Part] = []
    for ranking in rankings:
        tables = published.describe_published_results(scores, ranking.task)
        if tables:
            published_parts += [f"### {escape(ranking.task)}", *tables]
    if published_parts:
        published_parts = [f"## {published.TITLE}", published.TEXT, *published_parts]
    return published_parts


def _describe_strategy_effects(scores: Scores, ranking: Ranking) -> list[Part]:
    """Every strategy against doing nothing, in words and as a table."""
    effect_parts: list[Part] = [summarize_strategy_effects(scores, ranking.task)]
    if strategy_differences(scores, ranking.task):
        effect_parts.append(tabulate_strategy_effects(scores, ranking.task))
    else:
        effect_parts.append("Nothing to compare.")
    if ranking.no_test_reason and ranking.best:
        effect_parts.append(f"No reading: {ranking.no_test_reason}.")
    return effect_parts
