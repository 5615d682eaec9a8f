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
    parts: list[Part] = [f"# Details of {escape(scores.run['name'])}"]
    parts += [*write_verdict_per_task(scores, rankings), explain_leaderboard_columns(scores)]
    for ranking in rankings:
        parts += [*_tabulate_task(scores, ranking), list_model_findings(evidence, ranking.task)]
        for section in task_sections:
            if section.task == ranking.task:
                parts += [f"### {escape(section.title)}", *section.parts]
    parts += _describe_all_published_results(scores, rankings)
    parts += ["## The results summary, as it is usually written", SUMMARY_TEXT]
    summaries: list[Part] = []
    for ranking in rankings:
        summary = summarize_results(scores, ranking)
        if summary:
            summaries += [f"### {escape(ranking.task)}", *summary]
    parts += summaries or ["Nothing was evaluated."]
    parts += ["## Does the strategy help?", render_text_template("strategy_differences.md")]
    for ranking in rankings:
        parts += [f"### {escape(ranking.task)}", *_describe_strategy_effects(scores, ranking)]
    parts += ["## Over all tasks", *summarize_cross_task_ranks(rankings)]
    suitability_parts = describe_suitability(scores, rankings)
    if suitability_parts:
        parts += ["### Which family suits which data", *suitability_parts]
    parts += [f"## {FAILURES_TITLE}", *protocol_section.list_failures(scores)]
    parts += ["## Protocol, data, versions", *protocol_section.describe_protocol(scores)]
    return "\n\n".join(render_markdown_part(part) for part in parts if part) + "\n"


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
    if not any(ranked.score.n for ranked in ranking.entries):
        return []
    task = ranking.task
    parts: list[Part] = [MULTICLASS_TEXT] if len(scores.classes(task)) > 2 else []
    parts += ["Models, before imbalance is handled:", ranking_tables.tabulate_models(scores, task)]
    parts.append(describe_observations(observations.model_observations(scores, task)))
    networks = ranking_tables.tabulate_networks(scores, task)
    for entry, (title, table) in zip(observations.list_plain_network_entries(scores, task), networks, strict=True):
        parts += [f"Network before imbalance is handled, {title}", table]
        parts.append(describe_observations(observations.network_observations(scores, task, entry)))
    if not networks:
        parts.append("No network took part.")
    parts += ["Methods:", ranking_tables.tabulate_methods(scores, task)]
    parts.append(describe_observations(observations.method_observations(scores, task)))
    return [part for part in parts if part]


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
    verdicts = []
    for ranking in rankings:
        warnings = list_data_warnings(scores.run["tasks"][ranking.task])
        verdicts.append(f"- {' '.join(filter(None, (recommend_in_one_sentence(scores, ranking), warnings)))}")
    lines, folded = verdicts[:MAX_VISIBLE_ROWS], verdicts[MAX_VISIBLE_ROWS:]
    gaps = describe_cells_without_predictions(scores)
    if gaps:
        lines.append(f"- {gaps}: see *{FAILURES_TITLE}*.")
    parts: list[Part] = ["\n".join(lines)]
    if folded:
        parts.append(CollapsedParts(f"{len(folded)} more tasks", ("\n".join(folded),)))
    return parts


def _tabulate_task(scores: Scores, ranking: Ranking) -> list[Part]:
    """The tables of a task below its verdict."""
    best = ranking.best
    parts: list[Part] = [
        f"## {escape(ranking.task)}",
        f"Data: {describe_rows(scores, ranking.task)}",
        recommendation_markdown(scores, ranking),
        list_data_warnings(scores.run["tasks"][ranking.task]),
        note_different_objective(scores, ranking),
    ]
    if best is None:
        return parts
    repeats = scores.run["protocol"].get("repeats", 1)
    repeated = f", each row {repeats} times" if repeats > 1 else ""
    return [
        *parts,
        ranking_tables.tabulate_quality(scores, ranking),
        ranking_tables.describe_unchanged_defaults(ranking),
        "Probabilities, over-fitting and effort, in the same order:",
        ranking_tables.tabulate_effort(scores, ranking),
        f"What was called what, and the report per class, added up over the splits{repeated}:",
        ranking_tables.tabulate_confusion_matrix(scores, ranking, best),
    ]


def _describe_all_published_results(scores: Scores, rankings: Sequence[Ranking]) -> list[Part]:
    """The published results of all tasks beside those of the run; empty where nothing is published."""
    parts: list[Part] = []
    for ranking in rankings:
        tables = published.describe_published_results(scores, ranking.task)
        if tables:
            parts += [f"### {escape(ranking.task)}", *tables]
    if parts:
        parts = [f"## {published.TITLE}", published.TEXT, *parts]
    return parts


def _describe_strategy_effects(scores: Scores, ranking: Ranking) -> list[Part]:
    """Every strategy against doing nothing, in words and as a table."""
    parts: list[Part] = [summarize_strategy_effects(scores, ranking.task)]
    if strategy_differences(scores, ranking.task):
        parts.append(tabulate_strategy_effects(scores, ranking.task))
    else:
        parts.append("Nothing to compare.")
    if ranking.no_test_reason and ranking.best:
        parts.append(f"No reading: {ranking.no_test_reason}.")
    return parts
