"""What is stored of the columns of a table with a run: type or role, missing values, levels. No value of a row is stored."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.findings import OMISSION_CODES
from harness.registry.task import Table, Task


def describe_features(table: Table) -> str:
    """The kind and number of features: `20 columns`, `texts of 61 characters`, `grey pictures of 28 × 28`."""
    X = table.X
    if hasattr(X, "columns"):
        return f"{X.shape[1]} columns"
    if X.ndim == 1:
        return f"texts of {np.median(list(map(len, X))):.0f} characters (median)"
    return f"{'grey' if X.shape[3] == 1 else 'colour'} pictures of {X.shape[1]} × {X.shape[2]}"


def summarize_columns(task: Task, table: Table) -> list[dict[str, Any]]:
    """Summarize the columns of a table as they were read.

    Parameters
    ----------
    task : Task
        The task, which names the target and the columns with other roles.
    table : Table
        All rows, typed.

    Returns
    -------
    list of dict
        For every feature ``name``, ``kind`` (number, date or category), ``missing`` and ``levels``, both numbers of rows and
        values; then the columns with a role or left out, of which the kind is that role or ``left out``, without counts. Empty
        for texts and images.
    """
    if not hasattr(table.X, "columns"):
        return []
    summaries = [_summarize_feature(table, str(name)) for name in table.X.columns]
    described_columns = {summary["name"] for summary in summaries}
    for name, column_role in _summarize_other_columns(task, table).items():
        if name not in described_columns:
            summaries.append({"name": name, "kind": column_role, "missing": None, "levels": None})
    return summaries


def _summarize_feature(table: Table, name: str) -> dict[str, Any]:
    column = table.X[name]
    feature_kind = "number"
    if name in table.dates:
        feature_kind = "date"
    elif column.dtype == "category":
        feature_kind = "category"
    return {"name": name, "kind": feature_kind, "missing": int(column.isna().sum()), "levels": int(column.nunique())}


def _summarize_other_columns(task: Task, table: Table) -> dict[str, str]:
    """The columns that are no features, with their role."""
    columns = {name: column_role for name, column_role in task.column_roles.items() if column_role != "text"}
    for finding in table.notes:
        if finding.code in OMISSION_CODES:
            columns.setdefault(finding.column, "left out")
    return columns
