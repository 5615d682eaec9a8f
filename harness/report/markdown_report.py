"""The whole `leaderboard.md`, and the parts of it that the page shows too."""

from __future__ import annotations

from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.report.content import Evidence, Section
from harness.report.render.markdown import IN_SIGHT, details, escape
from harness.report.sections.best_entry import headline, repeated, verdict
from harness.report.sections.cross_task_table import overall
from harness.report.sections.data_notes import about_rows, beware, shares
from harness.report.sections.glossary import how_to_read
from harness.report.sections.overview import gaps
from harness.report.sections.protocol import protocol, what_failed
from harness.report.sections.ranking import (
    confusion_table,
    effort_table,
    method_table,
    model_table,
    network_tables,
    quality_table,
)
from harness.report.sections.strategies import STRATEGY_TEXT, differences, strategy_table, strategy_verdict
from harness.report.sections.suitability import suitability

SUMMARY_TEXT = (
    "Tuned parameters, threshold 0.5. The counts of all outer splits are added up (a row counts once per repeat), so within "
    "a row of a table accuracy, recalls and class shares agree exactly; the ROC AUC is the mean over splits. An accuracy "
    "means little until it is compared with that of `majority`. A dash: nothing was called so."
)
SEVERAL_TEXT = (
    "Several classes: the most probable one is taken, there is no threshold. The ROC AUC is the mean of one class against the "
    "rest; *macro* is the unweighted mean over the classes, where a class that nothing was called counts with precision 0."
)


def leaderboard_markdown(evidence: Evidence, inspected: list[Section]) -> str:
    """The whole `leaderboard.md`: verdict, tasks, documented summary, strategies, all tasks, failures, protocol.

    `inspected` are the sections of `inspection.sections`.
    """
    scores, rankings = evidence.scores, evidence.rankings
    parts = [f"# Leaderboard of {escape(scores.run['name'])}"]
    first = [_verdict(scores, ranking) for ranking in rankings]
    parts.append("\n".join([*first[:IN_SIGHT], *(f"- {one}: see *What failed*." for one in [gaps(scores)] if one)]))
    parts += [details(f"{len(first) - IN_SIGHT} more tasks", "\n".join(first[IN_SIGHT:]))] if first[IN_SIGHT:] else []
    parts += [how_to_read(scores)]
    for ranking in rankings:
        parts += _task(scores, ranking)
        parts += [part for section in inspected if section.task == ranking.task for part in _markdown(section)]
    parts += ["## The results summary, as it is usually written", SUMMARY_TEXT]
    summaries = [(ranking.task, found) for ranking in rankings if (found := documented(scores, ranking))]
    parts += [part for task, some in summaries for part in (f"### {escape(task)}", *some)] or ["Nothing was evaluated."]
    parts += ["## Does the strategy help?", STRATEGY_TEXT]
    for ranking in rankings:
        parts += [f"### {escape(ranking.task)}", *strategy_parts(scores, ranking)]
    parts += ["## Over all tasks", overall(list(rankings))]
    suited = suitability(scores, list(rankings))
    parts += ["### Which family suits which data", suited] if suited else []
    parts += ["## What failed, was skipped or does not apply", what_failed(scores)]
    parts += ["## Protocol, data, versions", protocol(scores)]
    return "\n\n".join(part for part in parts if part) + "\n"


def strategy_parts(scores: Scores, ranking: Ranking) -> list[str]:
    """Every strategy against doing nothing, in words and as a table."""
    compared = differences(scores, ranking.task)
    parts = [strategy_verdict(scores, ranking.task)]
    parts.append(strategy_table(scores, ranking.task) if compared else "Nothing to compare.")
    return parts + ([f"No reading: {ranking.no_test_reason}."] if ranking.no_test_reason and ranking.best else [])


def documented(scores: Scores, ranking: Ranking) -> list[str]:
    """The results of a task as such results are usually written; nothing where nothing was evaluated."""
    if not any(place.score.n for place in ranking.entries):
        return []
    task = ranking.task
    networks = network_tables(scores, task)
    parts = [SEVERAL_TEXT if len(scores.classes(task)) > 2 else ""]
    parts += ["Models, before imbalance is handled:", model_table(scores, task)]
    for title, body in networks:
        parts += [f"Network before imbalance is handled, {title}", body]
    if not networks:
        parts.append("No network took part.")
    return [*parts, "Methods:", method_table(scores, task)]


def about_data(scores: Scores, task: str) -> str:
    """What the rows of a task are."""
    about = scores.run["tasks"][task]
    rows = f"{about['rows']:,} rows: {shares(about, percent=True)}. {about_rows(about)}"
    return f"Data: {escape(about['title'])}. {rows}".rstrip()


def confusion_text(scores: Scores) -> str:
    """What stands above the confusion matrices."""
    repeats = scores.run["protocol"].get("repeats", 1)
    often = f", each row {repeats} times" if repeats > 1 else ""
    return f"What was called what, and the report per class, added up over the splits{often}:"


def other_objective(scores: Scores, ranking: Ranking) -> str:
    """A sentence where the search was after something that is not what the table is ranked by."""
    sought = scores.run["tasks"][ranking.task]["objective"]
    if sought == ranking.metric.name:
        return ""
    return f"The search was after {escape(sought)}, which no metric of this installation is named."


def _verdict(scores: Scores, ranking: Ranking) -> str:
    """The line of a task at the top: who is first, whether strategies help, what to beware of."""
    said = (headline(ranking), strategy_verdict(scores, ranking.task), beware(scores.run["tasks"][ranking.task]))
    return f"- On **{escape(ranking.task)}**, {' '.join(part for part in said if part)}"


def _task(scores: Scores, ranking: Ranking) -> list[str]:
    parts = [f"## {escape(ranking.task)}", about_data(scores, ranking.task)]
    parts.append(f"{verdict(ranking)} {beware(scores.run['tasks'][ranking.task])}".rstrip())
    parts.append(other_objective(scores, ranking))
    if ranking.best is None:
        return parts
    return [
        *parts,
        quality_table(scores, ranking),
        repeated(ranking),
        "Probabilities, over-fitting and effort, in the same order:",
        effort_table(scores, ranking),
        confusion_text(scores),
        confusion_table(scores, ranking),
    ]


def _markdown(section: Section) -> list[str]:
    """A section as Markdown, its pictures beside it."""
    shown = [
        part if isinstance(part, str) else f"![{escape(part.said)}](figures/{part.name}.png)" for part in section.parts
    ]
    return [f"### {escape(section.title)}", *shown]
