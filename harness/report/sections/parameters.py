"""The section on hyperparameters: what the search chose for the best entries, and how stable the choice is over the splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from harness.evaluation.decision import chosen_parameters, recommend_entry, represent_families
from harness.evaluation.ranking import RankedEntry, Ranking
from harness.evaluation.scores import Entry, Scores
from harness.report.content import CollapsedParts, Evidence, Part, ReportColumn, ReportTable, Section
from harness.report.render.cells import MISSING_DASH, format_quantity
from harness.report.render.markdown import escape

TITLE = "Chosen hyperparameters"
MAX_ENTRIES = 6
TEXT = (
    "The most frequent choice over the outer splits; of numbers that differ in every split, the median. A parameter that changes "
    "from split to split matters little, or the data cannot settle it."
)


def make_hyperparameter_sections(evidence: Evidence) -> list[Section]:
    """Make a section per task in which an entry with hyperparameters was evaluated."""
    task_sections = []
    for ranking in evidence.rankings:
        tables = []
        for ranked_entry in select_entries_with_parameters(evidence.scores, ranking):
            table = tabulate_hyperparameters(evidence.scores, ranking.task, ranked_entry.entry)
            if table.rows:
                tables.append((ranked_entry.name, table))
        if tables:
            (name, table), *other_tables = tables
            section_parts: list[Part] = [f"Of {escape(name)}:", table]
            section_parts += [
                CollapsedParts(escape(other_name), (other_table,)) for other_name, other_table in other_tables
            ]
            task_sections.append(Section(TITLE, (TEXT, *section_parts), ranking.task))
    return task_sections


def tabulate_hyperparameters(scores: Scores, task: str, entry: Entry) -> ReportTable:
    """Tabulate what the search chose: every parameter, in how many splits, and the choices of all splits in short."""
    choices_by_parameter = _chosen_values_by_parameter(scores, task, entry)
    rows = []
    for parameter in chosen_parameters(scores, task, entry):
        spread_over_splits = _describe_spread_of_choices(choices_by_parameter[parameter.name])
        rows.append(
            (
                parameter.name,
                format_parameter_value(parameter.choice),
                f"{parameter.splits} of {parameter.total}",
                spread_over_splits,
            )
        )
    headings = ("Parameter", "Chosen", "In splits", "Over all splits")
    return ReportTable(tuple(map(ReportColumn, headings)), tuple(rows))


def select_entries_with_parameters(scores: Scores, ranking: Ranking) -> list[RankedEntry]:
    """Choose the recommended entry and the best entry of every other family."""
    recommended_entry = recommend_entry(scores, ranking).entry
    entries = sorted(represent_families(scores, ranking), key=lambda ranked: ranked is not recommended_entry)
    return entries[:MAX_ENTRIES]


def _chosen_values_by_parameter(scores: Scores, task: str, entry: Entry) -> dict[str, list[Any]]:
    """What was chosen for every parameter, a choice per split that has it."""
    choices_by_parameter: dict[str, list[Any]] = {}
    for cell in scores.cells:
        if cell.record and (cell.task, cell.family, cell.strategy) == (task, entry.family, entry.strategy):
            for entry_outcome in cell.record.outcomes:
                for name, parameter_choice in (
                    entry_outcome.params.items() if entry_outcome.stage == entry.stage else ()
                ):
                    choices_by_parameter.setdefault(name, []).append(parameter_choice)
    return choices_by_parameter


def _describe_spread_of_choices(parameter_choices: Sequence[Any]) -> str:
    """The range of numbers, or names with how often each was chosen; a dash where all are equal."""
    choice_counts = Counter(map(format_parameter_value, parameter_choices))
    if len(choice_counts) == 1:
        return MISSING_DASH
    if all(type(parameter_choice) in (int, float) for parameter_choice in parameter_choices):
        return f"{format_parameter_value(min(parameter_choices))} to {format_parameter_value(max(parameter_choices))}"
    return ", ".join(f"{name} {choice_count}" for name, choice_count in choice_counts.most_common())


def format_parameter_value(choice: Any) -> str:
    """Write a number or name that was chosen for a parameter."""
    return format_quantity(choice) if isinstance(choice, float) else str(choice)
