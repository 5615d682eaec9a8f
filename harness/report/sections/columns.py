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
        description = evidence.scores.run["tasks"][ranking.task]
        if description.get("column_summaries"):
            task_sections.append(Section(TITLE, tuple(_describe_columns(description)), ranking.task))
    return task_sections


def _describe_columns(description: Mapping[str, Any]) -> list[Part]:
    """How many columns there are of each type, and the table; columns with a remark come first."""
    summaries = description["column_summaries"]
    messages = _collect_messages_by_column(description)
    kinds: dict[str, int] = {}
    for summary in summaries:
        kinds[summary["kind"]] = kinds.get(summary["kind"], 0) + 1
    counts = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
    rows = []
    for summary in sorted(summaries, key=lambda summary: summary["name"] not in messages):
        missing = None
        if summary["missing"] is not None:
            missing = summary["missing"] / max(description["rows"], 1)
        remark = "; ".join(messages.get(summary["name"], ()))
        rows.append((summary["name"], summary["kind"], missing, summary["levels"], remark))
    columns = (
        ReportColumn("Column"),
        ReportColumn("Type"),
        ReportColumn("Missing", "share"),
        ReportColumn("Levels", "count"),
        ReportColumn("What happened to it"),
    )
    return [f"{format_count(len(summaries), 'column')} ({counts}).", ReportTable(columns, tuple(rows))]


def _collect_messages_by_column(description: Mapping[str, Any]) -> dict[str, list[str]]:
    """What was noticed in each column, or why it was left out."""
    messages: dict[str, list[str]] = {}
    for finding in description.get("findings", ()):
        if finding["column"] and finding["code"] != "missing":
            message = finding["message"]
            if finding["code"] in OMISSION_CODES:
                message = f"left out: {message}"
            elif finding["severity"] != "note":
                message = f"{finding['severity']}: {message}"
            messages.setdefault(finding["column"], []).append(message)
    return messages
