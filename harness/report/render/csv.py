"""Tables as CSV that pandas reads: plain numbers, one per cell, and no cell that a spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

from harness.report.content import CellValue, MeanInterval, ReportCell, ReportColumn, ReportTable
from harness.report.render.cells import as_cell, filled_rows, headings, replace_control_characters

FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")  #: characters with which the formulas of spreadsheets begin


def escape_formula(cell: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula; numbers stay as they are."""
    if cell.startswith(FORMULA_PREFIXES) and not _is_number(cell):
        return f"'{cell}"
    return cell


def format_csv(lines: Iterable[Sequence[str]]) -> str:
    """Format lines of cells as CSV in which no cell is a formula.

    Parameters
    ----------
    lines : iterable of sequence of str
        The header and the rows.

    Returns
    -------
    str
        The CSV; lines end in a line feed.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for line in lines:
        writer.writerow(map(escape_formula, line))
    return file.getvalue()


def render_table(table: ReportTable) -> str:
    """Render a table.

    Parameters
    ----------
    table : ReportTable
        The table.

    Returns
    -------
    str
        The CSV: six significant digits; of means with intervals two columns; shares in per cent below a heading with
        ``(%)``; missing values empty; and texts that repeat those above filled in.
    """
    rows = filled_rows(table)
    columns: list[list[str]] = []
    for position, (column, heading) in enumerate(zip(table.columns, headings(table), strict=True)):
        cells = [as_cell(row[position]) for row in rows]
        columns += _render_column(column, heading or f"column {position + 1}", cells)
    return format_csv(zip(*columns, strict=True))


def _render_column(column: ReportColumn, heading: str, cells: Sequence[ReportCell]) -> list[list[str]]:
    """One column with its heading, or two where cells have intervals."""
    scale, unit = (100.0, " (%)") if column.format == "percent" else (1.0, "")
    means, half_widths = [f"{heading}{unit}"], [f"{heading} ±{unit}"]
    for cell in cells:
        value = cell.value
        if isinstance(value, MeanInterval):
            means.append(_plain_number(value.mean * scale))
            half_widths.append(_plain_number(value.half_width * scale))
        else:
            means.append(_plain_value(value, scale))
            half_widths.append("")
    return [means, half_widths] if any(half_widths[1:]) else [means]


def _plain_value(value: CellValue, scale: float) -> str:
    if isinstance(value, str):
        return replace_control_characters(value)
    if value is None or isinstance(value, MeanInterval):
        return ""
    return _plain_number(value * scale)


def _plain_number(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.6g}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
