"""Numbers, words and tables as Markdown that is readable both as plain text and rendered."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Sequence

from harness.metrics.metric import Metric
from harness.report.content import CellValue, Figure, Part, ReportCell, ReportColumn, ReportTable
from harness.report.render.cells import (
    column_headings,
    format_value,
    replace_control_characters,
    right_aligned_columns,
    wrap_as_cell,
)

MAX_VISIBLE_ROWS = 15
BACKTICKS = re.compile("`+")


def escape(text: str) -> str:
    """Escape text of unknown origin, so that nothing in it is read as Markdown, HTML or the end of a table cell."""
    escaped_text = html.escape(replace_control_characters(text), quote=False)
    escaped_text = re.sub(r"([\\`*\[\]|~$#])", r"\\\1", escaped_text)
    # An underscore within a word is no emphasis.
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", escaped_text)


def inline_code(text: str) -> str:
    """Write text of unknown origin as code, outside of tables."""
    line = replace_control_characters(text)
    longest_run = max((len(run) for run in BACKTICKS.findall(line)), default=0)
    backtick_fence = "`" * (1 + longest_run)
    space_padding = " " if longest_run else ""
    return f"{backtick_fence}{space_padding}{line}{space_padding}{backtick_fence}"


def format_count(n: int, noun: str, plural: str = "") -> str:
    """Format a count with its noun, as in ``1 split`` and ``3 splits``; `plural` is needed where it does not end in `s`."""
    if n == 1:
        return f"1 {noun}"
    return f"{n:,} {plural or noun + 's'}"


def join_words(words: Sequence[str]) -> str:
    """Join words to an enumeration, as in ``a``, ``a and b`` and ``a, b and c``."""
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} and {words[-1]}"


def plural(number_of: int | Collection[object], singular: str, several: str) -> str:
    """Choose the form of a word that agrees with a number, or with how many there are in a collection."""
    n = number_of if isinstance(number_of, int) else len(number_of)
    return singular if n == 1 else several


def join_names(names: Sequence[str], limit: int, more: str = "more") -> str:
    """Join at most `limit` names: `a, b and c`, or `a, b, c and 4 more`."""
    if len(names) <= limit:
        return join_words(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} {more}"


def bullet_list(lines: Iterable[str]) -> str:
    """Write lines as a Markdown list."""
    return "\n".join(map("- {}".format, lines))


def metric_name(metric: Metric) -> str:
    """Name a metric as in the heading of a column."""
    return metric.label or metric.name


def bold(text: str) -> str:
    """Bold text."""
    return f"**{text}**"


def collapse_text(summary: str, body: str) -> str:
    """Collapse text below a line that says what it is."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def align_lines(
    header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool], *, pipes: bool, padded: bool = True
) -> str:
    """Pad the cells of every line to the widths of the columns.

    Parameters
    ----------
    header : sequence of str
        The headings.
    rows : sequence of sequence of str
        The cells as text, a sequence per row.
    numeric : sequence of bool
        Which columns are aligned to the right.
    pipes : bool
        Whether the lines are a Markdown table; otherwise they are text for a terminal.
    padded : bool, default=True
        Whether cells are padded; without it a table takes about two thirds of the characters.

    Returns
    -------
    str
        The lines of the table.
    """
    column_widths = [3] * len(header)
    if padded:
        column_widths = [max(3, *map(len, column)) for column in zip(header, *rows, strict=True)]
    heading_rule = [
        _heading_rule(width, is_right_aligned=is_right_aligned and pipes)
        for width, is_right_aligned in zip(column_widths, numeric, strict=True)
    ]
    lines = []
    for cells in (header, heading_rule, *rows):
        texts = []
        for cell, width, is_right_aligned in zip(cells, column_widths, numeric, strict=True):
            texts.append(cell.rjust(width) if is_right_aligned else cell.ljust(width))
        if pipes:
            lines.append(f"| {' | '.join(texts)} |")
        else:
            lines.append("  ".join(texts).rstrip())
    return "\n".join(lines)


def _heading_rule(column_width: int, *, is_right_aligned: bool) -> str:
    """The line below a heading; a colon at its end aligns the column to the right."""
    return "-" * (column_width - 1) + (":" if is_right_aligned else "-")


def render_markdown_table(table: ReportTable, *, padded: bool = True) -> str:
    """Render a table as Markdown.

    Parameters
    ----------
    table : ReportTable
        The table.
    padded : bool, default=True
        Whether cells are padded to the widths of the columns.

    Returns
    -------
    str
        The lines; the best of a column is bold. Of a foldable table the rows after the first 15 are collapsed.
    """
    # Within a table a hash sign begins no heading.
    header = [escape(heading).replace(r"\#", "#") for heading in column_headings(table)]
    rows = [list(map(_format_markdown_cell, table.columns, row)) for row in table.rows]
    is_numeric = right_aligned_columns(table)
    if not table.foldable or len(rows) <= MAX_VISIBLE_ROWS:
        return align_lines(header, rows, is_numeric, pipes=True, padded=padded)
    visible_lines = align_lines(header, rows[:MAX_VISIBLE_ROWS], is_numeric, pipes=True, padded=padded)
    remaining_lines = align_lines(header, rows[MAX_VISIBLE_ROWS:], is_numeric, pipes=True, padded=padded)
    return f"{visible_lines}\n\n{collapse_text(f'{len(rows) - MAX_VISIBLE_ROWS} more', remaining_lines)}"


def _format_markdown_cell(column: ReportColumn, cell: CellValue | ReportCell) -> str:
    """A cell, escaped where it is a text, bold where it is the best."""
    wrapped_cell = wrap_as_cell(cell)
    text = format_value(column, wrapped_cell)
    if isinstance(wrapped_cell.value, str):
        text = escape(text)
    if wrapped_cell.best:
        text = bold(text)
    return f"{wrapped_cell.mark} {text}" if wrapped_cell.mark else text


def render_markdown_part(part: Part) -> str:
    """Render a part of a section as Markdown; a figure is a link to its file."""
    if isinstance(part, str):
        return part
    if isinstance(part, ReportTable):
        return render_markdown_table(part)
    if isinstance(part, Figure):
        return f"![{escape(part.alt_text)}](figures/{part.name}.svg)"
    return collapse_text(part.summary, "\n\n".join(map(render_markdown_part, part.parts)))
