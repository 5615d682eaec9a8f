"""What is stored of the columns of a table with a run: type or role, missing values, levels. No value of a row is stored."""

from __future__ import annotations

from typing import Any

from harness.findings import OMISSION_CODES
from harness.registry.task import Table, Task


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
    summaries = []
    for name, column in table.X.items():
        kind = "number"
        if name in table.dates:
            kind = "date"
        elif column.dtype == "category":
            kind = "category"
        counts = {"missing": int(column.isna().sum()), "levels": int(column.nunique())}
        summaries.append({"name": str(name), "kind": kind, **counts})
    described = {summary["name"] for summary in summaries}
    roles = {task.target: "target", task.group: "group", task.time: "time", task.split: "split"}
    omitted = [finding.column for finding in table.notes if finding.code in OMISSION_CODES]
    roles |= {name: "left out" for name in omitted if name not in roles}
    for name, role in roles.items():
        if name and name not in described:
            summaries.append({"name": str(name), "kind": role, "missing": None, "levels": None})
    return summaries
