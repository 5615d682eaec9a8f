"""A table of the page as values: what a browser shows, and the same as CSV that pandas reads."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

FIGURE = re.compile(r"(?P<value>[+−-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?)( ± (?P<half>\d[\d,]*(\.\d+)?))?(?P<percent> ?%)?")
RUNS = ("=", "+", "-", "@", "\t", "\r")  #: what a spreadsheet takes for the beginning of a formula


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe before what begins like one and is no number."""
    return f"'{cell}" if cell.startswith(RUNS) and not FIGURE.fullmatch(cell) else cell


def csv_text(lines: Iterable[Sequence[str]]) -> str:
    """Lines of cells as CSV; what a spreadsheet would run is text in it."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([harmless(cell) for cell in line] for line in lines)
    return file.getvalue()


NOTHING = ("–", "")


class Text(NamedTuple):
    """What stands in a cell: as HTML, and as bare text."""

    html: str
    text: str


@dataclass(frozen=True)
class Grid:
    """A table: its header, its rows, and which columns hold numbers; `caption` says what it is."""

    caption: str
    header: tuple[Text, ...]
    rows: tuple[tuple[Text, ...], ...]
    right: tuple[bool, ...]

    def followed_by(self, other: Grid) -> Grid:
        """This table with the rows of another one below its own."""
        return replace(self, rows=self.rows + other.rows)


def csv_of(grid: Grid) -> str:
    """A table as CSV: numbers as numbers, `a ± b` as two columns, percentages as `(%)`, nothing for a dash."""
    rows = _filled([[cell.text for cell in row] for row in grid.rows])
    columns = [
        column
        for at, head in enumerate(grid.header)
        for column in _columns(head.text or f"column {at + 1}", [row[at] for row in rows])
    ]
    header, bodies = [name for name, _ in columns], [body for _, body in columns]
    return csv_text([header, *zip(*bodies, strict=True)])


def _filled(rows: list[list[str]]) -> list[list[str]]:
    """The rows, with what they left out at their beginning because it stands in the row above."""
    for above, row in pairwise(rows):
        given = next((at for at, text in enumerate(row) if text), 0)
        row[:given] = above[:given]
    return rows


def _columns(name: str, texts: list[str]) -> list[tuple[str, list[str]]]:
    """A column as it is, or, where all of it are figures, as one or two columns of numbers."""
    found = [None if text in NOTHING else FIGURE.fullmatch(text) for text in texts]
    figures = [one for one in found if one]
    if not figures or len(figures) < sum(text not in NOTHING for text in texts):
        return [(name, texts)]
    percent = " (%)" if all(one["percent"] for one in figures) else ""
    if not percent and any(one["percent"] for one in figures):
        return [(name, texts)]
    values = [(f"{name}{percent}", [_number(one["value"]) if one else "" for one in found])]
    halves = [_number(one["half"] or "") if one else "" for one in found]
    return [*values, (f"{name} ±{percent}", halves)] if any(halves) else values


def _number(text: str) -> str:
    return text.replace(",", "").replace("−", "-").removeprefix("+")


FOLD = re.compile(r"<details><summary>(?P<summary>.*)</summary>")
END = "</details>"
JOINT = re.compile(r"[/_](?=\w)")
MORE = re.compile(r"[\d,]+ more")  #: the summary under which `markdown.folded_table` puts the rest of its rows
TOP = 4  #: the level of a heading within a section


@dataclass(frozen=True)
class Html:
    """Something that is ready."""

    html: str


@dataclass(frozen=True)
class Fold:
    """Blocks that are folded away under a line."""

    summary: str  #: HTML
    blocks: tuple[Block, ...]


Block: TypeAlias = Html | Fold | Grid


def blocks(text: str, caption: str = "") -> list[Block]:
    """The blocks of a Markdown text; `caption` is that of its tables. Rows folded away below a table are its own again."""
    return list(_joined(_blocks(iter(_markdown().parse(text)), caption)))


def inline(text: str) -> str:
    """One line of Markdown as HTML, without a paragraph around it."""
    return str(_markdown().renderInline(text))


def grids(found: Iterable[Block]) -> list[Grid]:
    """Every table among blocks, also those that are folded away."""
    return [
        grid
        for block in found
        for grid in ([block] if isinstance(block, Grid) else grids(block.blocks) if isinstance(block, Fold) else [])
    ]


@cache
def _markdown() -> MarkdownIt:
    # Pictures come as pictures: one that is named in a text would be looked for outside the page.
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    reader.add_render_rule("text", _text)
    reader.block.ruler.before("fence", "fold", _fold, {"alt": ["paragraph"]})
    return reader


def _text(_renderer: object, tokens: Sequence[Token], at: int, _options: object, _env: object) -> str:
    """Text that may be broken within names like `random_forest/none`, where a narrow screen needs it."""
    return JOINT.sub(r"\g<0><wbr>", escapeHtml(tokens[at].content))


def _fold(state: StateBlock, line: int, _end: int, silent: bool) -> bool:
    """The rule that knows the two lines of `markdown.details`."""
    text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
    opened = FOLD.fullmatch(text)
    if not opened and text != END:
        return False
    if not silent:
        token = state.push("fold_open" if opened else "fold_close", "", 0)
        token.content = opened["summary"] if opened else ""
        state.line = line + 1
    return True


def _blocks(tokens: Iterable[Token], caption: str) -> list[Block]:
    """Blocks up to the end, or to the line that ends the fold in which they stand."""
    found: list[Block] = []
    waiting: list[Token] = []
    stream = iter(tokens)
    for token in stream:
        if token.type == "fold_close":
            break
        waiting.append(token)
        if token.level or token.nesting == 1:
            continue
        if token.type == "fold_open":
            found.append(Fold(inline(token.content), tuple(_joined(_blocks(stream, caption)))))
        elif token.type == "table_close":
            found.append(_grid(waiting, caption))
        else:
            found.append(Html(_html(waiting)))
        waiting = []
    return found


def _joined(found: Iterable[Block]) -> Iterable[Block]:
    """Blocks, a table and the rest of its rows being one."""
    last: Block | None = None
    for block in found:
        rest = block.blocks[0] if isinstance(block, Fold) and len(block.blocks) == 1 else None
        if isinstance(last, Grid) and isinstance(rest, Grid) and rest.header == last.header:
            last = last.followed_by(rest)
            continue
        if last is not None:
            yield last
        last = block
    if last is not None:
        yield last


def _grid(tokens: Sequence[Token], caption: str) -> Grid:
    rows: list[list[Text]] = []
    right: list[bool] = []
    for at, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            content = tokens[at + 1]
            rows[-1].append(Text(_html([content]), _bare(content)))
            if token.type == "th_open":
                right.append("right" in str(token.attrGet("style")))
    return Grid(caption, tuple(rows[0]), tuple(map(tuple, rows[1:])), tuple(right))


def _html(tokens: Sequence[Token]) -> str:
    for token in tokens:
        if token.tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            token.tag = f"h{TOP if int(token.tag[1]) < TOP else TOP + 1}"
        if token.attrGet("style"):  # a table within a list; the page allows no styles but its own
            token.attrs = {"class": "r"} if "right" in str(token.attrGet("style")) else {}
    return str(_markdown().renderer.render(tokens, _markdown().options, {}))


def _bare(token: Token) -> str:
    """The text of a line without its marks."""
    return "".join(" " if one.type == "softbreak" else one.content for one in token.children or ())
