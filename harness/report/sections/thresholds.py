"""Where to cut: the threshold of every goal, what was promised on inner rows, what the sealed rows gave."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.evaluation.diagnosis import best_of_families
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Entry
from harness.evaluation.threshold_goals import GoalOutcome, GoalResult, evaluate_goals, find_goal_obstacles
from harness.metrics.threshold import ThresholdGoal
from harness.report.content import CellValue, Evidence, Part, ReportColumn, ReportTable, Section
from harness.report.render.cells import format_number
from harness.report.render.markdown import bullet_list, escape, format_count

TITLE = "Where to cut: threshold goals"
MAX_ENTRIES = 4  #: the first entry, and the best ones of other families
OUTCOME_PHRASES: dict[GoalOutcome, str] = {
    "met": "met",
    "within_error": "missed, within error",
    "missed": "missed",
    "unreached": "not reached",
}
MEASURE_NAMES = {
    "precision": "precision",
    "recall": "recall",
    "share": "share of rows predicted positive",
    "f1": "F1",
    "f_beta": "F score",
    "cost": "cost per decision",
}
GOAL_TEXT = (
    "In every split the threshold of a goal was chosen on inner out-of-fold training rows; nothing was fitted again and no test "
    "row was used. *Promised* is the goal's measure on those inner rows, *attained* the same on the sealed test rows of all "
    "splits together, with a 95 % interval (Wilson's, for the rows and the differences between splits). *Missed* means that the "
    "interval lies on the wrong side of what was asked; *missed, within error* that chance may explain it. *Not reached*: no "
    "threshold reaches it on the inner rows, and the nearest was taken. Goals that maximise or minimise a measure ask for what "
    "they promised."
)


def make_threshold_sections(evidence: Evidence) -> list[Section]:
    """Write a section per task where the report was asked for threshold goals."""
    threshold_sections = []
    for ranking in evidence.rankings if evidence.goals else ():
        section_parts = describe_threshold_goals(evidence, ranking)
        if section_parts:
            threshold_sections.append(Section(TITLE, tuple(section_parts), ranking.task))
    return threshold_sections


def describe_threshold_goals(evidence: Evidence, ranking: Ranking) -> list[Part]:
    """Give a sentence per goal about the first entry, and a table of the best entries; nothing where none was evaluated."""
    scores, task = evidence.scores, ranking.task
    goal_obstacles = find_goal_obstacles(scores, task, evidence.goals)
    entries = select_goal_entries(ranking)
    if not entries:
        return []
    goal_results = evaluate_goals(evidence.store, scores, task, entries, evidence.goals)
    lines = [
        describe_goal_outcome(goal_result, scores.classes(task))
        for goal_result in goal_results
        if goal_result.entry == entries[0]
    ]
    lines += [
        f"{format_goal(threshold_goal)} makes no sense here: {escape(reason)}."
        for threshold_goal, reason in goal_obstacles.items()
    ]
    section_parts: list[Part] = [bullet_list(lines)]
    if goal_results:
        section_parts += [GOAL_TEXT, tabulate_goals(goal_results)]
    return section_parts


def select_goal_entries(ranking: Ranking) -> list[Entry]:
    """Select the entries of the table: the first of the ranking, then the best tuned entries of other families."""
    entries = [ranking.best.entry] if ranking.best else []
    for ranked_entry in best_of_families(ranking):
        if all(ranked_entry.entry.family != entry.family for entry in entries):
            entries.append(ranked_entry.entry)
    return entries[:MAX_ENTRIES]


def format_goal(goal: ThresholdGoal) -> str:
    """Write a goal as code in Markdown."""
    return f"`{goal.text}`"


def describe_goal_outcome(result: GoalResult, classes: Sequence[str]) -> str:
    """Say what a goal promised and what became of it, and what the decisions are like in rows of 100."""
    measure, name = result.sealed_measure, MEASURE_NAMES[result.measure]
    sentence_head = f"{format_goal(result.goal)} with {escape(result.entry.name)}{_describe_goal_threshold(result)}"
    if math.isnan(measure.value):
        return f"{sentence_head}: {_describe_goal_promise(result)}; on the sealed rows the {name} is not defined."
    attained_text = (
        f"the sealed rows gave {format_number(measure.value)} ({format_number(measure.low)} to {format_number(measure.high)}): "
        f"{OUTCOME_PHRASES[result.outcome]}"
    )
    return f"{sentence_head}: {_describe_goal_promise(result)}; {attained_text}.{_describe_goal_decisions(result, classes)}"


def _describe_goal_promise(goal_result: GoalResult) -> str:
    name, promised_text = MEASURE_NAMES[goal_result.measure], format_number(goal_result.promised)
    if goal_result.outcome == "unreached":
        return f"no threshold reaches it on the inner rows (the nearest has {name} {promised_text})"
    text = f"the inner rows promised {name} {promised_text}"
    splits = len(goal_result.decisions)
    if goal_result.count_reached_splits < splits:
        text += f" (reached in {goal_result.count_reached_splits} of {splits} splits)"
    return text


def _describe_goal_threshold(goal_result: GoalResult) -> str:
    thresholds = [threshold for threshold in goal_result.thresholds.values() if not math.isnan(threshold)]
    if not thresholds:
        return ", by the least expected cost"
    mean_threshold = sum(thresholds) / len(thresholds)
    text = f" at {mean_threshold:.3g}"
    if min(thresholds) < max(thresholds):
        text += f" ({min(thresholds):.3g} to {max(thresholds):.3g} over the splits)"
    return text


def _describe_goal_decisions(goal_result: GoalResult, classes: Sequence[str]) -> str:
    """What follows from the threshold, for two classes."""
    if len(classes) > 2:
        return ""
    recall, precision, share = (goal_result.attained[name].value for name in ("recall", "precision", "share"))
    positive = escape(classes[1])
    if math.isnan(precision):
        return f" No row is predicted {positive}."
    found = "" if math.isnan(recall) else f" finds {100 * recall:.0f} of 100 {positive};"
    return (
        f" It{found} {100 * precision:.0f} of 100 rows predicted {positive} are; {100 * share:.1f} % of all rows are."
    )


def tabulate_goals(results: Sequence[GoalResult]) -> ReportTable:
    """Tabulate goals and entries: threshold, promise, what was attained with its interval, and all measures.

    Parameters
    ----------
    results : sequence of GoalResult
        Results of one task.

    Returns
    -------
    ReportTable
        A row per goal and entry, the entries of a goal together.
    """
    measure_columns = [
        name for name in ("recall", "precision", "share", "f1", "accuracy", "cost") if name in results[0].attained
    ]
    columns = [ReportColumn("Goal"), ReportColumn("Entry"), ReportColumn("Threshold", "number")]
    columns += [ReportColumn("Promised", "number"), ReportColumn("Attained", "number")]
    columns += [ReportColumn("95 % from", "number"), ReportColumn("to", "number"), ReportColumn("Outcome")]
    headings = {"share": "Predicted positive", "f1": "F1"}
    columns += [ReportColumn(headings.get(name, name.capitalize()), "number") for name in measure_columns]
    columns.append(ReportColumn("Splits", "count"))
    table_goals = list(dict.fromkeys(goal_result.goal for goal_result in results))
    rows = []
    for goal_result in sorted(results, key=lambda goal_result: table_goals.index(goal_result.goal)):
        thresholds = list(goal_result.thresholds.values())
        row: list[CellValue] = [goal_result.goal.text, goal_result.entry.name, sum(thresholds) / len(thresholds)]
        row += [
            goal_result.promised,
            goal_result.sealed_measure.value,
            goal_result.sealed_measure.low,
            goal_result.sealed_measure.high,
            OUTCOME_PHRASES[goal_result.outcome],
        ]
        row += [goal_result.attained[name].value for name in measure_columns]
        rows.append((*row, len(thresholds)))
    return ReportTable(tuple(columns), tuple(rows))


def describe_goals_for_terminal(evidence: Evidence) -> str:
    """Say for a terminal what became of each goal with the first entry of each task; empty without goals."""
    lines = []
    for ranking in evidence.rankings if evidence.goals else ():
        for result in evaluate_goals(
            evidence.store, evidence.scores, ranking.task, select_goal_entries(ranking)[:1], evidence.goals
        ):
            attained = result.sealed_measure
            lines.append(
                f"{ranking.task}, {result.goal.text} with {result.entry.name}: promised {format_number(result.promised)}, attained "
                f"{format_number(attained.value)} ({format_number(attained.low)} to {format_number(attained.high)}), "
                f"{OUTCOME_PHRASES[result.outcome]}"
            )
    if not lines:
        return ""
    return "\n".join([f"{format_count(len(evidence.goals), 'threshold goal')}, chosen on inner rows:", *lines])
