"""Texts and tables for a terminal: aligned plain text without Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from harness.report.content import ReportTable
from harness.report.render.cells import column_headings, format_table_rows, right_aligned_columns
from harness.report.render.markdown import align_lines


def render_terminal_table(table: ReportTable) -> str:
    """Render a table as aligned lines of plain text."""
    return align_lines(column_headings(table), format_table_rows(table), right_aligned_columns(table), pipes=False)


def render_terminal_parts(parts: Iterable[str | ReportTable]) -> str:
    """Render texts, which stay as they are, and tables as paragraphs."""
    paragraphs = []
    for section_part in parts:
        paragraphs.append(section_part if isinstance(section_part, str) else render_terminal_table(section_part))
    return "\n\n".join(filter(None, paragraphs))
