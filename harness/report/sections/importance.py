"""The section on the columns that the recommended entry needs: permutation importance on sealed rows."""

from __future__ import annotations

import math

from harness.evaluation.permutation_importance import average_column_losses
from harness.report.content import Evidence, MeanInterval, Part, ReportColumn, ReportTable, Section
from harness.report.render.markdown import escape, format_count
from harness.store.importances import TaskImportances, read_importances

TITLE = "Which columns matter"
MAX_COLUMNS = 15
TEXT = (
    "What the score loses on sealed test rows when the values of one column are shuffled (permutation importance, Breiman 2001), by "
    "the models of the outer folds; ± is half of a 95 % interval over the folds. Columns that say the same can stand in for each "
    "other, and each then seems to matter little."
)


def make_importance_sections(evidence: Evidence) -> list[Section]:
    """Make a section per task whose importances are stored."""
    stored_importances = read_importances(evidence.store)
    task_sections = []
    for ranking in evidence.rankings:
        if ranking.task in stored_importances:
            task_sections.append(
                Section(TITLE, tuple(_describe_importances(stored_importances[ranking.task])), ranking.task)
            )
    return task_sections


def _describe_importances(task_importances: TaskImportances) -> list[Part]:
    """The sentence, the table of the first columns, and how many others there are."""
    rows: list[tuple[str | float | MeanInterval, ...]] = []
    columns = average_column_losses(task_importances)
    for column in columns[:MAX_COLUMNS]:
        half_width = (column.high - column.low) / 2
        rows.append((column.column, MeanInterval(column.loss, half_width)))
    table = ReportTable(
        (ReportColumn("Column"), ReportColumn(f"Loss of {task_importances.metric}", "change")),
        tuple(rows),
        foldable=False,
        drawn_column=1,
        reference=0.0,
    )
    needed_columns = sum(not math.isnan(column.low) and column.low > 0 for column in columns)
    column_count_text = format_count(len(columns), "column")
    text = f"{escape(task_importances.entry)} clearly needs {needed_columns} of {column_count_text}."
    other_columns = len(columns) - len(rows)
    return [text, TEXT, table, f"{format_count(other_columns, 'further column')} matter less." if other_columns else ""]
