"""The building blocks of insights, and insights as Markdown and as one HTML file without scripts, network or other files."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.deploy.markdown import escape
from harness.report.render.markdown import MISSING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

PERCENT = "\u00a0%"  #: a no-break space before the sign
MAX_VISIBLE_ROWS = 12  #: rows of a table; the others are folded
DIGIT = re.compile(r"\d")
NUMERIC_CELL = re.compile(r"(\*\*)?[×+−]?\d[\d,.]*(?![^\s*%±(])|–|$")
TEMPLATES = Path(__file__).parent
PIXELS_PER_POINT = 4 / 3
SVG_SIZE = re.compile(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"')


@dataclass(frozen=True)
class SvgFigure:
    """A plot as SVG; `description` is its text alternative."""

    description: str
    svg: bytes


@dataclass(frozen=True)
class FoldedBlock:
    """Markdown that is folded under a line of plain text."""

    summary: str
    body: str


Block: TypeAlias = str | SvgFigure | FoldedBlock  #: a string is Markdown


@dataclass(frozen=True)
class InsightsSection:
    """A heading (plain text) and the blocks below it."""

    title: str
    blocks: tuple[Block, ...]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table; columns of numbers are right-aligned."""
    rules = []
    for column in zip(*rows, strict=True):
        is_numeric = all(map(NUMERIC_CELL.match, column)) and any(map(DIGIT.search, column))
        rules.append("---:" if is_numeric else "---")
    lines = [header, rules or ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def folding_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Block]:
    """Format a table of which at most 12 rows are visible and the others folded."""
    blocks: list[Block] = [markdown_table(header, rows[:MAX_VISIBLE_ROWS])]
    if len(rows) > MAX_VISIBLE_ROWS:
        folded = markdown_table(header, rows[MAX_VISIBLE_ROWS:])
        blocks.append(FoldedBlock(f"{len(rows) - MAX_VISIBLE_ROWS} more", folded))
    return blocks


def format_decimal(number: float) -> str:
    """Format a number with three decimals, a dash if it is not finite."""
    return f"{number:,.3f}".replace("-", "−") if math.isfinite(number) else MISSING


def format_percent(share: float) -> str:
    """Format a share in percent, with one decimal below ten percent; a dash if it is not finite."""
    if not math.isfinite(share):
        return MISSING
    return f"{100 * share:.1f}{PERCENT}" if 0 < abs(share) < 0.0995 else f"{100 * share:.0f}{PERCENT}"


def format_range(low: str, high: str) -> str:
    """Join the formatted ends of an interval: `3 to 5`, `2 to 4 %`, `3` if both are equal."""
    return low if low == high else f"{low.removesuffix(PERCENT)} to {high}"


def render_markdown(title: str, lead: Sequence[str], sections: Sequence[InsightsSection]) -> str:
    """Render insights as Markdown, without the figures: the tables hold the same numbers.

    Parameters
    ----------
    title : str
        Plain text.
    lead : sequence of str
        Paragraphs of Markdown before the first section.
    sections : sequence of InsightsSection
        The sections.

    Returns
    -------
    str
        The document.
    """
    paragraphs = [f"# Insights: {escape(title)}", *lead]
    for section in sections:
        paragraphs.append(f"## {escape(section.title)}")
        for block in section.blocks:
            if isinstance(block, FoldedBlock):
                paragraphs.append(f"<details><summary>{escape(block.summary)}</summary>\n\n{block.body}\n\n</details>")
            elif isinstance(block, str) and block:
                paragraphs.append(block)
    return "\n\n".join(paragraphs) + "\n"


def render_page(title: str, lead: Sequence[str], sections: Sequence[InsightsSection]) -> str:
    """Render insights as one HTML page; the parameters are those of `render_markdown`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    loader = FileSystemLoader(TEMPLATES)
    jinja = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    jinja.filters["html"] = Markup  # HTML from Markdown, which escaped it, and our own style sheet
    html_sections = []
    for section in sections:
        html_sections.append({"title": section.title, "blocks": list(map(_block_to_html, section.blocks))})
    return jinja.get_template("page.html").render(
        title=title, lead=_markdown_to_html("\n\n".join(lead)), sections=html_sections, policy=policy, style=style
    )


def _block_to_html(block: Block) -> str | dict[str, Any]:
    """Return the HTML of Markdown, or what the template shows of another block."""
    if isinstance(block, str):
        return _markdown_to_html(block)
    if isinstance(block, FoldedBlock):
        return {"summary": block.summary, "html": _markdown_to_html(block.body)}
    match = SVG_SIZE.search(block.svg)
    width, height = map(float, match.groups()) if match else (640.0, 320.0)
    data = f"data:image/svg+xml;base64,{base64.b64encode(block.svg).decode()}"
    size = {"width": round(width * PIXELS_PER_POINT), "height": round(height * PIXELS_PER_POINT)}
    return {"description": block.description, "data": data, **size}


def _markdown_to_html(markdown: str) -> str:
    """Convert Markdown to HTML: HTML in it is escaped, tables scroll on their own, and no element has an inline style."""
    html = str(_markdown_parser().render(markdown))
    html = re.sub(r' style="text-align:right"', ' class="r"', html)
    html = re.sub(r' style="text-align:\w+"', "", html)
    html = re.sub(r"<td>(.{40,}?)</td>", r'<td class="w">\1</td>', html)  # long cells are wider on a phone
    html = html.replace("<table>", '<div class="scroll" role="region" tabindex="0" aria-label="Table"><table>')
    return html.replace("</table>", "</table></div>")


@cache
def _markdown_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
