"""The parts of a section as blocks of HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

from harness.report.content import CellValue, ReportCell, ReportColumn, ReportTable
from harness.report.render import csv
from harness.report.render.cells import as_cell, format_cell, format_value, headings, right_aligned

NUMBER = re.compile(
    r"(?P<mean>[+−-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?)( ± (?P<half_width>\d[\d,]*(\.\d+)?))?(?P<percent> ?%)?"
)
MISSING_TEXTS = ("–", "")
COLLAPSIBLE_START = re.compile(r"<details><summary>(?P<summary>.*)</summary>")
COLLAPSIBLE_END = "</details>"
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
    source : ReportTable, optional
        The table as values.
    """

    caption: str
    header: tuple[TableCell, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    right: tuple[bool, ...]
    source: ReportTable | None = None


@dataclass(frozen=True)
class HtmlFragment:
    """HTML that is inserted as it is."""

    html: str


@dataclass(frozen=True)
class Collapsible:
    """Blocks that a reader unfolds; the summary line is HTML."""

    summary: str
    blocks: tuple[HtmlBlock, ...]


HtmlBlock: TypeAlias = HtmlFragment | Collapsible | HtmlTable


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
    return HtmlTable(caption, header, tuple(rows), tuple(right_aligned(table)), table)


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


def table_as_csv(table: HtmlTable) -> str:
    """Format a table as CSV.

    Parameters
    ----------
    table : HtmlTable
        The table.

    Returns
    -------
    str
        The CSV: a column of the form ``a ± b`` becomes two columns, a percentage is a number below a heading with
        ``(%)``, a dash is an empty cell, and a cell that is left out because it repeats the one above is filled in.
    """
    if table.source is not None:
        return csv.render_table(table.source)
    rows = [[cell.text for cell in row] for row in table.rows]
    _fill_repeated_cells(rows)
    columns: list[list[str]] = []
    for column, heading in enumerate(table.header):
        columns += _csv_columns(heading.text or f"column {column + 1}", [row[column] for row in rows])
    return csv.format_csv(zip(*columns, strict=True))


def parse_blocks(text: str, caption: str = "") -> list[HtmlBlock]:
    """Parse a Markdown text into blocks of HTML.

    Parameters
    ----------
    text : str
        The Markdown.
    caption : str, default=""
        The caption of its tables.

    Returns
    -------
    list of HtmlBlock
        The blocks in their order; the rows that `folded_table` collapses are part of their table again.
    """
    return _merge_tables(_read_blocks(iter(_markdown_parser().parse(text)), caption))


def render_inline(text: str) -> str:
    """Render one line of Markdown as HTML, without a paragraph around it."""
    return str(_markdown_parser().renderInline(text))


def find_tables(blocks: Iterable[HtmlBlock]) -> Iterator[HtmlTable]:
    """Iterate over the tables among blocks, including those that are collapsed."""
    for block in blocks:
        if isinstance(block, HtmlTable):
            yield block
        elif isinstance(block, Collapsible):
            yield from find_tables(block.blocks)


def _fill_repeated_cells(rows: list[list[str]]) -> None:
    """Copy the cells that a row leaves out at its beginning, because they equal those of the row above."""
    for above, row in pairwise(rows):
        first = next((column for column, text in enumerate(row) if text), 0)
        row[:first] = above[:first]


def _csv_columns(heading: str, texts: list[str]) -> list[list[str]]:
    """A column with its heading; one or two columns of plain numbers where all of its cells are numbers."""
    matches = {text: NUMBER.fullmatch(text) for text in texts if text not in MISSING_TEXTS}
    units = {match and (match["percent"] or "").strip() for match in matches.values()}
    if len(units) != 1 or None in units:
        return [[heading, *texts]]
    unit = " (%)" if "%" in units else ""
    means, half_widths = [f"{heading}{unit}"], [f"{heading} ±{unit}"]
    for text in texts:
        match = matches.get(text)
        means.append(_plain_number(match, "mean"))
        half_widths.append(_plain_number(match, "half_width"))
    columns = [means]
    if any(half_widths[1:]):
        columns.append(half_widths)
    return columns


def _plain_number(match: re.Match[str] | None, group: str) -> str:
    if match is None or match[group] is None:
        return ""
    return match[group].replace(",", "").replace("−", "-").removeprefix("+")


@cache
def _markdown_parser() -> MarkdownIt:
    # A section has its figures as values: an image that is named in a text would be looked for outside the page.
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    parser.add_render_rule("text", _render_text)
    parser.block.ruler.before("fence", "collapsible", _parse_collapsible, {"alt": ["paragraph"]})
    return parser


def _render_text(_renderer: object, tokens: Sequence[Token], index: int, _options: object, _env: object) -> str:
    return _breakable(tokens[index].content)


def _parse_collapsible(state: StateBlock, line: int, _end: int, silent: bool) -> bool:
    """The block rule for the first and the last line of `markdown.details`."""
    text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
    start = COLLAPSIBLE_START.fullmatch(text)
    if start is None and text != COLLAPSIBLE_END:
        return False
    if silent:
        return True
    if start is None:
        state.push("collapsible_close", "", 0)
    else:
        state.push("collapsible_open", "", 0).content = start["summary"]
    state.line = line + 1
    return True


def _read_blocks(tokens: Iterator[Token], caption: str) -> list[HtmlBlock]:
    """Blocks up to the end of the text, or to the end of the collapsible block that they are part of."""
    blocks: list[HtmlBlock] = []
    pending: list[Token] = []
    for token in tokens:
        if token.type == "collapsible_close":
            break
        pending.append(token)
        if token.level or token.nesting == 1:
            continue
        if token.type == "collapsible_open":
            body = _merge_tables(_read_blocks(tokens, caption))
            blocks.append(Collapsible(render_inline(token.content), tuple(body)))
        elif token.type == "table_close":
            blocks.append(_read_table(pending, caption))
        else:
            blocks.append(HtmlFragment(_render_tokens(pending)))
        pending = []
    return blocks


def _merge_tables(blocks: Iterable[HtmlBlock]) -> list[HtmlBlock]:
    """Blocks in which a table and the collapsed rows below it are one table."""
    merged: list[HtmlBlock] = []
    for block in blocks:
        match merged[-1:], block:
            case [HtmlTable() as table], Collapsible(blocks=(HtmlTable() as folded,)) if folded.header == table.header:
                merged[-1] = replace(table, rows=table.rows + folded.rows)
            case _:
                merged.append(block)
    return merged


def _read_table(tokens: Sequence[Token], caption: str) -> HtmlTable:
    rows: list[list[TableCell]] = []
    right: list[bool] = []
    for token, content in pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            rows[-1].append(TableCell(_render_tokens([content]), _plain_text(content)))
            if token.type == "th_open":
                right.append("right" in str(token.attrGet("style")))
    return HtmlTable(caption, tuple(rows[0]), tuple(map(tuple, rows[1:])), tuple(right))


def _render_tokens(tokens: Sequence[Token]) -> str:
    for token in tokens:
        if re.fullmatch("h[1-6]", token.tag):
            token.tag = f"h{TOP_HEADING_LEVEL + int(int(token.tag[1]) >= TOP_HEADING_LEVEL)}"
        style = token.attrGet("style")
        if style:  # a table within a list; the policy of the page allows no inline styles
            token.attrs.clear()
            if "right" in str(style):
                token.attrs["class"] = "r"
    parser = _markdown_parser()
    return str(parser.renderer.render(tokens, parser.options, {}))


def _plain_text(token: Token) -> str:
    """The text of a line without its marks."""
    return "".join(" " if child.type == "softbreak" else child.content for child in token.children or ())
