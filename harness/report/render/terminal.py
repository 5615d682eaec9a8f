"""Tables for a terminal: aligned plain text without Markdown."""

from __future__ import annotations

from harness.report.content import ReportTable
from harness.report.render.cells import format_rows, headings, right_aligned
from harness.report.render.markdown import align_lines


def render_table(table: ReportTable) -> str:
    """Render a table as aligned lines of plain text."""
    return align_lines(headings(table), format_rows(table), right_aligned(table), pipes=False)
