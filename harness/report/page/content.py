"""The Markdown of a report → HTML and tables. No HTML passes, but the lines with which `markdown.details` folds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

from harness.report.page.grid import Grid, Text

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
