"""The parts of a section as blocks of HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple, TypeAlias

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

from harness.report.content import CellValue, Collapsed, Figure, Part, ReportCell, ReportColumn, ReportTable
from harness.report.render.cells import as_cell, format_cell, format_value, headings, right_aligned

LINE_BREAK_POINT = re.compile(r"[/_](?=\w)")
TOP_HEADING_LEVEL = 4  #: the level of a heading within a section


class TableCell(NamedTuple):
    """A cell as HTML and as plain text."""

    html: str
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
    """

    caption: str
    header: tuple[TableCell, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    right: tuple[bool, ...]


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
    """A figure of a page with its size in pixels; `uri` holds the image and is empty where the page has no room for it."""

    name: str
    alt_text: str
    uri: str = ""
    width: int = 0
    height: int = 0


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
            blocks += _table_blocks(part, caption, max_rows)
        elif isinstance(part, Collapsed):
            blocks.append(Collapsible(render_inline(part.summary), tuple(build_blocks(part.parts, caption, embed))))
        else:
            blocks += parse_blocks(part)
    return blocks


def _table_blocks(table: ReportTable, caption: str, max_rows: int | None) -> list[HtmlBlock]:
    block = table_block(table, caption)
    if max_rows is None or not table.foldable or len(table.rows) <= max_rows:
        return [block]
    folded = replace(block, rows=block.rows[max_rows:])
    return [replace(block, rows=block.rows[:max_rows]), Collapsible(f"{len(folded.rows)} more", (folded,))]


def table_block(table: ReportTable, caption: str) -> HtmlTable:
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
        rows.append(tuple(map(_html_cell, table.columns, row)))
    header = tuple(TableCell(_breakable(heading), heading) for heading in headings(table))
    return HtmlTable(caption, header, tuple(rows), tuple(right_aligned(table)))


def _html_cell(column: ReportColumn, cell: CellValue | ReportCell) -> TableCell:
    wrapped = as_cell(cell)
    html = _breakable(format_value(column, wrapped))
    if wrapped.best:
        html = f"<strong>{html}</strong>"
    if wrapped.mark:
        html = f"{escapeHtml(wrapped.mark)} {html}"
    return TableCell(html, format_cell(column, cell))


def _breakable(text: str) -> str:
    """Escaped text that may be broken within names like `random_forest/none`, where a narrow screen needs it."""
    return LINE_BREAK_POINT.sub(r"\g<0><wbr>", escapeHtml(text))


def parse_blocks(text: str) -> list[HtmlFragment]:
    """Parse a Markdown text into blocks of HTML, in their order."""
    blocks = []
    pending: list[Token] = []
    for token in _markdown_parser().parse(text):
        pending.append(token)
        if token.level == 0 and token.nesting != 1:
            blocks.append(HtmlFragment(_render_tokens(pending)))
            pending = []
    return blocks


def render_inline(text: str) -> str:
    """Render one line of Markdown as HTML, without a paragraph around it."""
    return str(_markdown_parser().renderInline(text))


@cache
def _markdown_parser() -> MarkdownIt:
    # A section has its figures as values: an image that is named in a text would be looked for outside the page.
    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    parser.add_render_rule("text", _render_text)
    return parser


def _render_text(_renderer: object, tokens: Sequence[Token], index: int, _options: object, _env: object) -> str:
    return _breakable(tokens[index].content)


def _render_tokens(tokens: Sequence[Token]) -> str:
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{TOP_HEADING_LEVEL + int(int(token.tag[1]) >= TOP_HEADING_LEVEL)}"
    parser = _markdown_parser()
    return str(parser.renderer.render(tokens, parser.options, {}))
