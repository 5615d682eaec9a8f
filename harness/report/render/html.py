"""The parts of a section as blocks of HTML."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import NamedTuple, TypeAlias

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

from harness.report.content import (
    CellValue,
    CollapsedParts,
    Figure,
    MeanInterval,
    Part,
    ReportCell,
    ReportColumn,
    ReportTable,
    drop_constant_columns,
)
from harness.report.render.cells import column_headings, format_cell, format_value, right_aligned_columns, wrap_as_cell
from harness.report.render.svg import embed_svg

LINE_BREAK_POINT = re.compile(r"[/_](?=\w)")
SCALE_MARGIN = 3.0  #: per cent of the width of a scale at either of its ends
VERDICT_CLASSES = {
    "best": "better", "better": "better", "helps": "better", "practically equal": "equal",
    "worse": "worse", "not the best": "worse", "hurts": "worse",
}  # fmt: skip
TOP_HEADING_LEVEL = 4  #: the level of a heading within a section


class TableCell(NamedTuple):
    """A cell as HTML and as plain text; `style_class` is that of its verdict."""

    html: str
    text: str
    style_class: str = ""


class StackedBarPart(NamedTuple):
    """A part of a bar: where it begins and how wide it is, in per cent, and the class of its verdict."""

    start: float
    width: float
    style_class: str


class DrawnInterval(NamedTuple):
    """An interval on the scale of its table: low, mean and high in per cent of the width, and in words."""

    low: float
    mean: float
    high: float
    text: str


@dataclass(frozen=True)
class HtmlTable:
    """A table of the report.

    Attributes
    ----------
    caption : str
        What the table shows.
    header : tuple of TableCell
        The headings of the columns.
    rows : tuple of tuple of TableCell
        The cells, a tuple per row.
    right : tuple of bool
        Whether a column is aligned to the right, as columns of numbers are.
    intervals : tuple of (DrawnInterval or None)
        An interval per row that is drawn before the column `drawn_column`; empty where the table has no such column.
    reference : float
        The position of what they are compared with, in per cent; NaN for none.
    stacks : tuple of tuple of StackPart
        The bar of every row, drawn behind the first column; empty where the table has none.
    """

    caption: str
    header: tuple[TableCell, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    right: tuple[bool, ...]
    drawn_column: int | None = None
    intervals: tuple[DrawnInterval | None, ...] = ()
    reference: float = math.nan
    stacks: tuple[tuple[StackedBarPart, ...], ...] = ()


@dataclass(frozen=True)
class HtmlFragment:
    """HTML that is inserted as it is."""

    html: str


@dataclass(frozen=True)
class Collapsible:
    """Blocks that a reader unfolds; the summary line is HTML."""

    summary: str
    blocks: tuple[HtmlBlock, ...]


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure of a page with its size in points; `shapes` is SVG, empty where the page has no room for it."""

    name: str
    alt_text: str
    shapes: str = ""
    width: float = 0
    height: float = 0


def embed_figure(figure: Figure, svg: bytes, prefix: str) -> EmbeddedFigure:
    """Embed a figure that has been drawn; `prefix` makes the names of its parts unique in the page."""
    return EmbeddedFigure(figure.name, figure.alt_text, *embed_svg(svg.decode(), prefix))


HtmlBlock: TypeAlias = HtmlFragment | Collapsible | HtmlTable | EmbeddedFigure


def build_blocks(
    parts: Iterable[Part], caption: str, embed: Callable[[Figure], EmbeddedFigure], max_rows: int | None = None
) -> list[HtmlBlock]:
    """Turn the parts of a section into blocks, in their order.

    Parameters
    ----------
    parts : iterable of Part
        The parts.
    caption : str
        What their tables show.
    embed : callable
        Embeds a figure.
    max_rows : int, optional
        The number of rows of a foldable table after which the others are collapsed; by default none are.

    Returns
    -------
    list of HtmlBlock
        The blocks.
    """
    html_blocks: list[HtmlBlock] = []
    for section_part in parts:
        if isinstance(section_part, Figure):
            html_blocks.append(embed(section_part))
        elif isinstance(section_part, ReportTable):
            html_blocks += _render_table_blocks(section_part, caption, max_rows)
        elif isinstance(section_part, CollapsedParts):
            html_blocks.append(
                Collapsible(
                    render_inline_markdown(section_part.summary),
                    tuple(build_blocks(section_part.parts, caption, embed)),
                )
            )
        else:
            html_blocks += parse_markdown_blocks(section_part)
    return html_blocks


def _render_table_blocks(table: ReportTable, caption: str, max_rows: int | None) -> list[HtmlBlock]:
    shared_columns: list[tuple[ReportColumn, CellValue | ReportCell]] = []
    if not table.stacked:
        table, shared_columns = drop_constant_columns(table)
    html_table = render_html_table(table, caption)
    if shared_columns:
        text = "; ".join(f"{column.heading} {format_cell(column, cell)}" for column, cell in shared_columns)
        return [
            html_table,
            HtmlFragment(f'<p class="shared">The same in every row: {escape_with_line_breaks(text)}.</p>'),
        ]
    if max_rows is None or not table.foldable or len(table.rows) <= max_rows:
        return [html_table]
    folded_table = replace(html_table, rows=html_table.rows[max_rows:], intervals=html_table.intervals[max_rows:])
    visible_table = replace(html_table, rows=html_table.rows[:max_rows], intervals=html_table.intervals[:max_rows])
    return [visible_table, Collapsible(f"{len(folded_table.rows)} more", (folded_table,))]


def render_html_table(table: ReportTable, caption: str) -> HtmlTable:
    """Render a table.

    Parameters
    ----------
    table : ReportTable
        The table.
    caption : str
        What it shows.

    Returns
    -------
    HtmlTable
        All of its rows; the best of a column is bold.
    """
    rows = []
    for row in table.rows:
        rows.append(tuple(map(_render_html_cell, table.columns, row)))
    header = tuple(TableCell(escape_with_line_breaks(heading), heading) for heading in column_headings(table))
    right_aligned = tuple(right_aligned_columns(table))
    intervals, reference_position = _scale_intervals(table)
    stacked_bars = tuple(_make_stacked_bar(table, row) for row in table.rows) if table.stacked else ()
    return HtmlTable(
        caption,
        header,
        tuple(rows),
        right_aligned,
        table.drawn_column,
        tuple(intervals),
        reference_position,
        stacked_bars,
    )


def _make_stacked_bar(table: ReportTable, row: Sequence[CellValue | ReportCell]) -> tuple[StackedBarPart, ...]:
    """The numbers of a row behind its name as parts of a bar."""
    part_counts = [float(wrap_as_cell(cell).value or 0) for cell in row[1:]]  # type: ignore[arg-type]
    row_total = sum(part_counts) or 1.0
    bar_parts, part_start = [], 0.0
    for column, part_count in zip(table.columns[1:], part_counts, strict=True):
        width = 100 * part_count / row_total
        style_class = VERDICT_CLASSES.get(column.heading.lower(), "undecided")
        bar_parts.append(StackedBarPart(round(part_start, 2), round(width, 2), style_class))
        part_start += width
    return tuple(bar_parts)


def _scale_intervals(table: ReportTable) -> tuple[list[DrawnInterval | None], float]:
    """The intervals of the drawn column on one scale, which holds the reference too, and its position."""
    if table.drawn_column is None:
        return [], math.nan
    column = table.columns[table.drawn_column]
    cells = [wrap_as_cell(row[table.drawn_column]) for row in table.rows]
    interval_ends = [_low_mean_and_high(cell) for cell in cells]
    scale_limits = _find_limits([table.reference, *chain.from_iterable(interval_ends)])
    intervals: list[DrawnInterval | None] = []
    for cell, (interval_low, interval_mean, interval_high) in zip(cells, interval_ends, strict=True):
        drawn_interval = None
        if not math.isnan(interval_mean):
            text = format_value(column, cell)
            drawn_interval = DrawnInterval(
                _position_in_percent(interval_low, scale_limits),
                _position_in_percent(interval_mean, scale_limits),
                _position_in_percent(interval_high, scale_limits),
                text,
            )
        intervals.append(drawn_interval)
    return intervals, _position_in_percent(table.reference, scale_limits)


def _find_limits(numbers: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest of the numbers that are known."""
    known_numbers = [number for number in numbers if not math.isnan(number)] or [0.0]
    return min(known_numbers), max(known_numbers)


def _position_in_percent(scale_number: float, scale_limits: tuple[float, float]) -> float:
    """The position of a number on a scale in per cent of its width; NaN for NaN."""
    scale_low, scale_high = scale_limits
    scale_share = (scale_number - scale_low) / ((scale_high - scale_low) or 1.0)
    return round(SCALE_MARGIN + (100 - 2 * SCALE_MARGIN) * scale_share, 1)


def _low_mean_and_high(cell: ReportCell) -> tuple[float, float, float]:
    """Low, mean and high of what a cell holds; the mean thrice where it has no interval."""
    cell_value = cell.value
    if isinstance(cell_value, MeanInterval):
        interval_low, interval_high = cell_value.ends or (
            cell_value.mean - cell_value.half_width,
            cell_value.mean + cell_value.half_width,
        )
        if math.isnan(interval_low) or math.isnan(interval_high):
            return cell_value.mean, cell_value.mean, cell_value.mean
        return interval_low, cell_value.mean, interval_high
    if isinstance(cell_value, float | int):
        return cell_value, cell_value, cell_value
    return math.nan, math.nan, math.nan


def _render_html_cell(column: ReportColumn, cell: CellValue | ReportCell) -> TableCell:
    wrapped_cell = wrap_as_cell(cell)
    html = escape_with_line_breaks(format_value(column, wrapped_cell))
    if isinstance(wrapped_cell.value, MeanInterval) and wrapped_cell.value.ends is not None:
        mean_html, _, ends_html = html.partition(" ")
        html = f'{mean_html} <span class="ends-text">{ends_html}</span>' if ends_html else mean_html
    if wrapped_cell.best:
        html = f"<strong>{html}</strong>"
    if wrapped_cell.mark:
        html = f"{escapeHtml(wrapped_cell.mark)} {html}"
    text = format_cell(column, cell)
    return TableCell(html, text, VERDICT_CLASSES.get(text.split(",")[0], "") if column.format == "verdict" else "")


def escape_with_line_breaks(text: str) -> str:
    """Escaped text that may be broken within names like `random_forest/none`, where a narrow screen needs it."""
    return LINE_BREAK_POINT.sub(r"\g<0><wbr>", escapeHtml(text))


def parse_markdown_blocks(text: str) -> list[HtmlFragment]:
    """Parse a Markdown text into blocks of HTML, in their order."""
    html_blocks = []
    pending_tokens: list[Token] = []
    for token in _create_markdown_parser().parse(text):
        pending_tokens.append(token)
        if token.level == 0 and token.nesting != 1:
            html_blocks.append(HtmlFragment(_render_markdown_tokens(pending_tokens)))
            pending_tokens = []
    return html_blocks


def render_inline_markdown(text: str) -> str:
    """Render one line of Markdown as HTML, without a paragraph around it."""
    return str(_create_markdown_parser().renderInline(text))


@cache
def _create_markdown_parser() -> MarkdownIt:
    # A section has its figures as values: an image that is named in a text would be looked for outside the page.
    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    parser.add_render_rule("text", _render_text_token)
    return parser


def _render_text_token(
    _renderer: object, tokens: Sequence[Token], token_index: int, _options: object, _env: object
) -> str:
    return escape_with_line_breaks(tokens[token_index].content)


def _render_markdown_tokens(tokens: Sequence[Token]) -> str:
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{TOP_HEADING_LEVEL + int(int(token.tag[1]) >= TOP_HEADING_LEVEL)}"
    parser = _create_markdown_parser()
    return str(parser.renderer.render(tokens, parser.options, {}))
