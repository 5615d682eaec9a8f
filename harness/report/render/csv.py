"""Tables as CSV that pandas reads: plain numbers, one per cell, and no cell that a spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

from harness.report.content import (
    CellValue,
    Interval,
    MeanInterval,
    ReportCell,
    ReportColumn,
    ReportTable,
    Section,
    find_tables,
)
from harness.report.render.cells import column_headings, fill_repeated_texts, replace_control_characters, wrap_as_cell

FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")  #: characters with which the formulas of spreadsheets begin


def escape_formula(cell: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula; numbers stay as they are."""
    if cell.startswith(FORMULA_PREFIXES) and not _is_number_text(cell):
        return f"'{cell}"
    return cell


def format_safe_csv(lines: Iterable[Sequence[str]]) -> str:
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
    csv_writer = csv.writer(file, lineterminator="\n")
    for line in lines:
        csv_writer.writerow(map(escape_formula, line))
    return file.getvalue()


def render_csv_table(table: ReportTable) -> str:
    """Render a table.

    Parameters
    ----------
    table : ReportTable
        The table.

    Returns
    -------
    str
        The CSV: six significant digits; of means with intervals two columns, of other intervals one for each end; shares
        in per cent below a heading with ``(%)``; missing values empty; and texts that repeat those above filled in.
    """
    rows = fill_repeated_texts(table)
    columns: list[list[str]] = []
    for position, (column, heading) in enumerate(zip(table.columns, column_headings(table), strict=True)):
        cells = [wrap_as_cell(row[position]) for row in rows]
        columns += _render_csv_column(column, heading or f"column {position + 1}", cells)
    return format_safe_csv(zip(*columns, strict=True))


def _render_csv_column(column: ReportColumn, heading: str, cells: Sequence[ReportCell]) -> list[list[str]]:
    """One column with its heading, and others with the half widths and the ends of intervals where cells have them."""
    percent_factor, unit_suffix = (100.0, " (%)") if column.format in ("percent", "share") else (1.0, "")
    columns = [
        [f"{heading}{unit_suffix}"],
        [f"{heading} ±{unit_suffix}"],
        [f"{heading} low{unit_suffix}"],
        [f"{heading} high{unit_suffix}"],
    ]
    for cell in cells:
        for lines, cell_number in zip(columns, _value_and_interval_columns(cell.value), strict=True):
            lines.append(_format_plain_value(cell_number, percent_factor))
    return [lines for lines in columns if any(lines[1:])] or columns[:1]


def _value_and_interval_columns(cell_value: CellValue) -> tuple[str | float | None, ...]:
    """The value, the half width and the ends of its interval; None where there is none."""
    if isinstance(cell_value, MeanInterval):
        return cell_value.mean, cell_value.half_width, None, None
    if isinstance(cell_value, Interval):
        return cell_value.estimate, None, cell_value.low, cell_value.high
    return cell_value, None, None, None


def _format_plain_value(cell_value: str | float | None, percent_factor: float) -> str:
    if isinstance(cell_value, str):
        return replace_control_characters(cell_value)
    return "" if cell_value is None else _format_plain_number(cell_value * percent_factor)


def _format_plain_number(plain_number: float) -> str:
    return "" if math.isnan(plain_number) else f"{plain_number:.6g}"


def _is_number_text(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def make_file_name_part(title: str) -> str:
    """Make a part of a file name from a title: its ASCII letters and digits in lower case, words joined by underscores."""
    characters = []
    for character in title.lower():
        characters.append(character if character.isascii() and character.isalnum() else " ")
    return "_".join("".join(characters).split())


def render_section_tables(sections: Iterable[Section]) -> dict[str, str]:
    """Render every table of sections as a CSV file.

    Parameters
    ----------
    sections : iterable of Section
        The sections.

    Returns
    -------
    dict of str to str
        The files by name: the title of the section, with a number from its second table on.
    """
    files = {}
    for section in sections:
        for table_number, table in enumerate(find_tables(section.parts), start=1):
            table_suffix = f"_{table_number}" if table_number > 1 else ""
            files[f"{make_file_name_part(section.title)}{table_suffix}.csv"] = render_csv_table(table)
    return files
