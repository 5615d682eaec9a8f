"""The section on the columns of a table as they were read: type, missing values, levels, what happened to each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.findings import OMISSION_CODES
from harness.report.content import Evidence, Part, ReportColumn, ReportTable, Section
from harness.report.render.markdown import format_count

TITLE = "Columns as they were read"


def make_column_sections(evidence: Evidence) -> list[Section]:
    """Make a section per task whose columns are described in `run.json`, which runs of earlier versions lack."""
    task_sections = []
    for ranking in evidence.rankings:
        task_description = evidence.scores.run["tasks"][ranking.task]
        if task_description.get("column_summaries"):
            task_sections.append(Section(TITLE, tuple(_describe_columns(task_description)), ranking.task))
    return task_sections


def _describe_columns(task_description: Mapping[str, Any]) -> list[Part]:
    """How many columns there are of each type, and the table; columns with a remark come first."""
    summaries = task_description["column_summaries"]
    messages = _collect_messages_by_column(task_description)
    count_by_kind: dict[str, int] = {}
    for summary in summaries:
        count_by_kind[summary["kind"]] = count_by_kind.get(summary["kind"], 0) + 1
    counts_text = ", ".join(f"{column_kind} {column_count}" for column_kind, column_count in count_by_kind.items())
    rows = []
    for summary in sorted(summaries, key=lambda summary: summary["name"] not in messages):
        missing_text = None
        if summary["missing"] is not None:
            missing_text = summary["missing"] / max(task_description["rows"], 1)
        column_remark = "; ".join(messages.get(summary["name"], ()))
        rows.append((summary["name"], summary["kind"], missing_text, summary["levels"], column_remark))
    columns = (
        ReportColumn("Column"),
        ReportColumn("Type"),
        ReportColumn("Missing", "share"),
        ReportColumn("Levels", "count"),
        ReportColumn("What happened to it"),
    )
    return [f"{format_count(len(summaries), 'column')} ({counts_text}).", ReportTable(columns, tuple(rows))]


def _collect_messages_by_column(task_description: Mapping[str, Any]) -> dict[str, list[str]]:
    """What was noticed in each column, or why it was left out."""
    messages: dict[str, list[str]] = {}
    for finding in task_description.get("findings", ()):
        if finding["column"] and finding["code"] != "missing":
            message = finding["message"]
            if finding["code"] in OMISSION_CODES:
                message = f"left out: {message}"
            elif finding["severity"] != "note":
                message = f"{finding['severity']}: {message}"
            messages.setdefault(finding["column"], []).append(message)
    return messages
