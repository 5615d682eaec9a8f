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
    blocks: list[HtmlBlock] = []
    for part in parts:
        if isinstance(part, Figure):
            blocks.append(embed(part))
        elif isinstance(part, ReportTable):
            blocks += _render_table_blocks(part, caption, max_rows)
        elif isinstance(part, CollapsedParts):
            blocks.append(
                Collapsible(render_inline_markdown(part.summary), tuple(build_blocks(part.parts, caption, embed)))
            )
        else:
            blocks += parse_markdown_blocks(part)
    return blocks


def _render_table_blocks(table: ReportTable, caption: str, max_rows: int | None) -> list[HtmlBlock]:
    shared: list[tuple[ReportColumn, CellValue | ReportCell]] = []
    if not table.stacked:
        table, shared = drop_constant_columns(table)
    block = render_html_table(table, caption)
    if shared:
        text = "; ".join(f"{column.heading} {format_cell(column, cell)}" for column, cell in shared)
        return [block, HtmlFragment(f'<p class="shared">The same in every row: {escape_with_line_breaks(text)}.</p>')]
    if max_rows is None or not table.foldable or len(table.rows) <= max_rows:
        return [block]
    folded = replace(block, rows=block.rows[max_rows:], intervals=block.intervals[max_rows:])
    visible = replace(block, rows=block.rows[:max_rows], intervals=block.intervals[:max_rows])
    return [visible, Collapsible(f"{len(folded.rows)} more", (folded,))]


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
    right = tuple(right_aligned_columns(table))
    intervals, reference = _scale_intervals(table)
    stacks = tuple(_make_stacked_bar(table, row) for row in table.rows) if table.stacked else ()
    return HtmlTable(caption, header, tuple(rows), right, table.drawn_column, tuple(intervals), reference, stacks)


def _make_stacked_bar(table: ReportTable, row: Sequence[CellValue | ReportCell]) -> tuple[StackedBarPart, ...]:
    """The numbers of a row behind its name as parts of a bar."""
    counts = [float(wrap_as_cell(cell).value or 0) for cell in row[1:]]  # type: ignore[arg-type]
    total = sum(counts) or 1.0
    parts, start = [], 0.0
    for column, count in zip(table.columns[1:], counts, strict=True):
        width = 100 * count / total
        style_class = VERDICT_CLASSES.get(column.heading.lower(), "undecided")
        parts.append(StackedBarPart(round(start, 2), round(width, 2), style_class))
        start += width
    return tuple(parts)


def _scale_intervals(table: ReportTable) -> tuple[list[DrawnInterval | None], float]:
    """The intervals of the drawn column on one scale, which holds the reference too, and its position."""
    if table.drawn_column is None:
        return [], math.nan
    column = table.columns[table.drawn_column]
    cells = [wrap_as_cell(row[table.drawn_column]) for row in table.rows]
    ends = [_low_mean_and_high(cell) for cell in cells]
    limits = _find_limits([table.reference, *chain.from_iterable(ends)])
    intervals: list[DrawnInterval | None] = []
    for cell, (low, mean, high) in zip(cells, ends, strict=True):
        drawn = None
        if not math.isnan(mean):
            text = format_value(column, cell)
            drawn = DrawnInterval(
                _position_in_percent(low, limits),
                _position_in_percent(mean, limits),
                _position_in_percent(high, limits),
                text,
            )
        intervals.append(drawn)
    return intervals, _position_in_percent(table.reference, limits)


def _find_limits(numbers: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest of the numbers that are known."""
    known = [number for number in numbers if not math.isnan(number)] or [0.0]
    return min(known), max(known)


def _position_in_percent(number: float, limits: tuple[float, float]) -> float:
    """The position of a number on a scale in per cent of its width; NaN for NaN."""
    low, high = limits
    share = (number - low) / ((high - low) or 1.0)
    return round(SCALE_MARGIN + (100 - 2 * SCALE_MARGIN) * share, 1)


def _low_mean_and_high(cell: ReportCell) -> tuple[float, float, float]:
    """Low, mean and high of what a cell holds; the mean thrice where it has no interval."""
    value = cell.value
    if isinstance(value, MeanInterval):
        low, high = value.ends or (value.mean - value.half_width, value.mean + value.half_width)
        if math.isnan(low) or math.isnan(high):
            return value.mean, value.mean, value.mean
        return low, value.mean, high
    if isinstance(value, float | int):
        return value, value, value
    return math.nan, math.nan, math.nan


def _render_html_cell(column: ReportColumn, cell: CellValue | ReportCell) -> TableCell:
    wrapped = wrap_as_cell(cell)
    html = escape_with_line_breaks(format_value(column, wrapped))
    if isinstance(wrapped.value, MeanInterval) and wrapped.value.ends is not None:
        mean, _, ends = html.partition(" ")
        html = f'{mean} <span class="ends-text">{ends}</span>' if ends else mean
    if wrapped.best:
        html = f"<strong>{html}</strong>"
    if wrapped.mark:
        html = f"{escapeHtml(wrapped.mark)} {html}"
    text = format_cell(column, cell)
    return TableCell(html, text, VERDICT_CLASSES.get(text.split(",")[0], "") if column.format == "verdict" else "")


def escape_with_line_breaks(text: str) -> str:
    """Escaped text that may be broken within names like `random_forest/none`, where a narrow screen needs it."""
    return LINE_BREAK_POINT.sub(r"\g<0><wbr>", escapeHtml(text))


def parse_markdown_blocks(text: str) -> list[HtmlFragment]:
    """Parse a Markdown text into blocks of HTML, in their order."""
    blocks = []
    pending: list[Token] = []
    for token in _create_markdown_parser().parse(text):
        pending.append(token)
        if token.level == 0 and token.nesting != 1:
            blocks.append(HtmlFragment(_render_markdown_tokens(pending)))
            pending = []
    return blocks


def render_inline_markdown(text: str) -> str:
    """Render one line of Markdown as HTML, without a paragraph around it."""
    return str(_create_markdown_parser().renderInline(text))


@cache
def _create_markdown_parser() -> MarkdownIt:
    # A section has its figures as values: an image that is named in a text would be looked for outside the page.
    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    parser.add_render_rule("text", _render_text_token)
    return parser


def _render_text_token(_renderer: object, tokens: Sequence[Token], index: int, _options: object, _env: object) -> str:
    return escape_with_line_breaks(tokens[index].content)


def _render_markdown_tokens(tokens: Sequence[Token]) -> str:
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{TOP_HEADING_LEVEL + int(int(token.tag[1]) >= TOP_HEADING_LEVEL)}"
    parser = _create_markdown_parser()
    return str(parser.renderer.render(tokens, parser.options, {}))
