"""Columns as they are read: type, repairs, missing values, levels, an example; and columns that say little."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.data.reader import column_to_text
from harness.findings import OMISSION_CODES, Finding
from harness.inspection.rows import InspectedRows
from harness.inspection.summary import ColumnSummary

if TYPE_CHECKING:
    import pandas as pd

CONSTANT_SHARE = 0.999
MAX_LEVELS = 50
MAX_NATIVE_LEVELS = 255  #: as in `harness.preprocessing.native_levels`, which inspection does not import
MAX_NAMES = 5
FEATURE_KINDS = ("number", "date", "category")
MAX_EXAMPLE_CHARACTERS = 24


def describe_columns(rows: InspectedRows) -> tuple[ColumnSummary, ...]:
    """Describe every column of the file; none of images."""
    if rows.raw is None:
        return ()
    return tuple(_describe_column(rows, str(name), rows.raw[name]) for name in rows.raw.columns)


def _describe_column(rows: InspectedRows, name: str, raw_column: pd.Series) -> ColumnSummary:
    column_findings = [finding for finding in rows.table.notes if finding.column == name]
    reading_text = "; ".join(finding.message for finding in column_findings)
    column_kind = _column_kind(rows, name)
    column = rows.table.X[name] if column_kind in FEATURE_KINDS else column_to_text(raw_column)
    known_values = raw_column.dropna()
    example_text = ""
    if len(known_values):
        example_text = str(column_to_text(known_values.iloc[:1]).fillna("").iloc[0])
    if len(example_text) > MAX_EXAMPLE_CHARACTERS:
        example_text = f"{example_text[: MAX_EXAMPLE_CHARACTERS - 1]}…"
    return ColumnSummary(name, column_kind, reading_text, int(column.isna().sum()), int(column.nunique()), example_text)


def _column_kind(rows: InspectedRows, name: str) -> str:
    """Role of a column, or type of a feature."""
    column_roles = rows.task.column_roles
    if name in column_roles:
        return column_roles[name]
    if not hasattr(rows.table.X, "columns") or name not in rows.table.X.columns:
        return "left out"
    if name in rows.table.dates:
        return "date"
    return "category" if rows.table.X[name].dtype == "category" else "number"


def check_reading(rows: InspectedRows) -> Iterator[Finding]:
    """List what the reader says of the file, and its warnings of columns; its other notes are in the table of columns."""
    for finding in rows.table.notes:
        if finding.severity != "note" or (not finding.column and finding.code not in OMISSION_CODES):
            yield finding


def list_omitted_columns(rows: InspectedRows) -> Iterator[Finding]:
    """List the columns that were left out, by reason."""
    columns_by_reason: dict[str, list[str]] = {}
    for finding in rows.table.notes:
        if finding.code in OMISSION_CODES and finding.code != "banned":
            columns_by_reason.setdefault(finding.message, []).append(finding.column)
    for reason, names in columns_by_reason.items():
        message = f"left out, {reason}: {', '.join(names[:MAX_NAMES])}"
        if len(names) > MAX_NAMES:
            message += f" and {len(names) - MAX_NAMES} more"
        yield Finding("omitted_columns", "note", message, names[0])


def _level_treatment(level_count: int) -> str:
    """What the search may do with the levels of a category."""
    treatment_text = (
        "rare ones are merged, or all are target-encoded or left to families that take categories themselves"
    )
    if level_count > MAX_NATIVE_LEVELS:
        treatment_text += f" (the {MAX_NATIVE_LEVELS} most frequent)"
    return treatment_text


def check_levels(rows: InspectedRows) -> Iterator[Finding]:
    """Find columns with one value in nearly all rows, and categories with many levels."""
    for name, column in rows.table.X.items():
        value_counts = column.value_counts(dropna=False)
        if value_counts.iloc[0] >= CONSTANT_SHARE * len(column):
            message = f"column {str(name)!r} has one value in {value_counts.iloc[0] / len(column):.2%} of the rows"
            yield Finding("constant", "note", message, str(name), int(value_counts.iloc[0]))
        if column.dtype == "category" and len(column.cat.categories) > MAX_LEVELS:
            n_levels = len(column.cat.categories)
            message = f"category {str(name)!r} has {n_levels:,} levels: {_level_treatment(n_levels)}"
            yield Finding("high_cardinality", "note", message, str(name))
