"""Insights as one HTML file: no network, no script, no other file; and as Markdown."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.deploy.markdown import text

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


@dataclass(frozen=True)
class Picture:
    """A picture as SVG; `said` is what it shows, for who cannot see it."""

    said: str
    svg: bytes


@dataclass(frozen=True)
class Fold:
    """Markdown that is folded away under a line; `summary` is plain text."""

    summary: str
    body: str


#: Markdown, or something that is more.
Part: TypeAlias = str | Picture | Fold


@dataclass(frozen=True)
class Section:
    """A heading (plain text) and what stands below it, in turn."""

    title: str
    parts: tuple[Part, ...]


HERE = Path(__file__).parent
PIXELS = 4 / 3  #: of a point


def markdown_of(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """Everything as Markdown, pictures by what they show left out: the tables say the same."""
    parts = [f"# Insights: {text(title)}", *lead]
    for section in sections:
        parts.append(f"## {text(section.title)}")
        parts += [said for part in section.parts if (said := _plain(part))]
    return "\n\n".join(parts) + "\n"


def page_of(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """Everything as one page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    style = (HERE / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters["html"] = Markup  # what Markdown made and escaped, and our own file
    shown = [{"title": one.title, "parts": [_shown(part) for part in one.parts]} for one in sections]
    return environment.get_template("page.html").render(
        title=title, lead=_html("\n\n".join(lead)), sections=shown, policy=policy, style=style
    )


@dataclass(frozen=True)
class _Image:
    said: str
    data: str
    width: int
    height: int


@dataclass(frozen=True)
class _Folded:
    summary: str
    html: str


def _plain(part: Part) -> str:
    if isinstance(part, Picture):
        return ""
    if isinstance(part, Fold):
        return f"<details><summary>{text(part.summary)}</summary>\n\n{part.body}\n\n</details>"
    return part


def _shown(part: Part) -> Any:
    if isinstance(part, Picture):
        found = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', part.svg)
        width, height = (float(one) for one in found.groups()) if found else (640.0, 320.0)
        data = f"data:image/svg+xml;base64,{base64.b64encode(part.svg).decode()}"
        return _Image(part.said, data, round(width * PIXELS), round(height * PIXELS))
    return _Folded(part.summary, _html(part.body)) if isinstance(part, Fold) else _html(part)


def _html(markdown: str) -> str:
    """Markdown as HTML; no HTML in it passes, tables scroll by themselves, and nothing has a style of its own."""
    made = str(_reader().render(markdown))
    made = re.sub(r' style="text-align:(\w+)"', lambda found: ' class="r"' if found[1] == "right" else "", made)
    made = re.sub(r"<td>(.{40,}?)</td>", r'<td class="w">\1</td>', made)  # what is long gets room on a phone
    made = made.replace("<table>", '<div class="scroll" role="region" tabindex="0" aria-label="Table"><table>')
    return made.replace("</table>", "</table></div>")


@cache
def _reader() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
