"""Everything a report says as one HTML file: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from harness.report.chapters import TaskPart, Topic, chapters, task_parts
from harness.report.content import Evidence, Figure, Section
from harness.report.figures.writer import file_name, small_picture
from harness.report.html_leaderboard import GROUPS, HIGH, WIDE, Board, board
from harness.report.render.markdown import escape
from harness.report.render.tables import Block, blocks, csv_of, grids, inline
from harness.report.sections.glossary import how_to_read
from harness.report.sections.overview import answer, headline_of, overview

TEMPLATES = Path(__file__).parent / "templates"
LONG = 300  #: characters of a paragraph that is not said twice
OPEN = 3  #: tasks up to which all of them are unfolded
ROOM = 9_000_000  #: bytes of pictures, which become a third more as text: a page has at most 15 MB


@dataclass(frozen=True)
class Shown:
    """A picture of the page: its name, what it shows, its data (empty where the page has no room for it), its size."""

    name: str
    said: str
    data: str
    width: int
    height: int


@dataclass(frozen=True)
class Piece:
    """A section of the page; `key` is its anchor."""

    key: str
    title: str
    blocks: tuple[Block | Shown, ...]


@dataclass(frozen=True)
class Part:
    """A task or a chapter of the page."""

    key: str
    title: str
    said: tuple[Block, ...]
    short: str
    board: Board | None
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Page:
    """The page, and every table of it as CSV by the name of its file."""

    html: str
    tables: dict[str, str]


Read: TypeAlias = Callable[[str], bytes]  #: the picture of a name


def page(evidence: Evidence, found: dict[Topic, list[Section]], room: int = ROOM) -> Page:
    """The page of a run, from its sections by topic (`chapters.gather`), whose pictures have been drawn.

    Pictures beyond `room` bytes are not in it but named, those of the last tasks first.
    """
    left = room

    def read(name: str) -> bytes:
        nonlocal left
        data = small_picture(evidence.store, name)
        left -= len(data)
        return data if left >= 0 else b""

    scores, rankings = evidence.scores, evidence.rankings
    parts = said_once(task_parts(evidence, found))
    rest = [
        Part(f"chapter-{at}", one.title, (), "", None, _pieces(f"chapter-{at}", one.title, one.sections, read))
        for at, one in enumerate(chapters(found), start=1)
    ]
    tasks = [
        Part(
            f"task-{at}",
            one.ranking.task,
            tuple(block for text in (*_answer(evidence, one), one.data, *one.remarks) for block in blocks(text)),
            inline(headline_of(one.ranking)),
            board(scores, one.ranking) if one.ranking.best else None,
            _pieces(f"task-{at}", one.ranking.task, one.sections, read),
        )
        for at, one in enumerate(parts, start=1)
    ]
    first = Section("Overview", tuple(overview(scores, rankings)))
    overall = _piece("overview", "Overview", first, read)
    html = _render(
        name=str(scores.run["name"]),
        overview=overall,
        reading=blocks(how_to_read(scores)),
        tasks=tasks,
        chapters=rest,
        unfolded=len(tasks) <= OPEN,
    )
    return Page(html, dict(_tables([Part("", "", (), "", None, (overall,)), *rest], tasks)))


def said_once(tasks: Sequence[TaskPart]) -> list[TaskPart]:
    """The tasks, with a link in place of a long paragraph that an earlier task has, as on how something was made."""
    first: dict[str, str] = {}
    found = []
    for at, one in enumerate(tasks, start=1):
        sections = []
        for n, section in enumerate(one.sections, start=1):
            link = f"How this is made and read: as for [{escape(one.ranking.task)}](#task-{at}-{n})."
            parts = tuple(first.get(part, part) if isinstance(part, str) else part for part in section.parts)
            first |= {
                part: link for part in section.parts if isinstance(part, str) and _long(part) and part not in first
            }
            sections.append(replace(section, parts=parts))
        found.append(replace(one, sections=tuple(sections)))
    return found


def _long(part: str | Figure) -> bool:
    """Whether it is a paragraph, and so long that a link saves something."""
    return isinstance(part, str) and len(part) >= LONG and "\n" not in part


def _answer(evidence: Evidence, part: TaskPart) -> list[str]:
    """The answer of a task, unless it is the only one: then the overview has said it."""
    return [answer(evidence.scores, part.ranking)] if len(evidence.rankings) > 1 else []


def _pieces(key: str, of: str, sections: Sequence[Section], read: Read) -> tuple[Piece, ...]:
    return tuple(_piece(f"{key}-{at}", of, section, read) for at, section in enumerate(sections, start=1))


def _piece(key: str, of: str, section: Section, read: Read) -> Piece:
    """A section; its tables are called by its title and by what it is a section of."""
    caption = ", ".join(dict.fromkeys(part for part in (section.title, of) if part))
    found: list[Block | Shown] = []
    for part in section.parts:
        found += [_shown(part, read)] if isinstance(part, Figure) else blocks(part, caption)
    return Piece(key, section.title, tuple(found))


def _shown(picture: Figure, read: Read) -> Shown:
    from PIL import Image

    data = read(picture.name)
    if not data:
        return Shown(picture.name, picture.said, "", 0, 0)
    width, height = Image.open(io.BytesIO(data)).size
    return Shown(picture.name, picture.said, f"data:image/webp;base64,{base64.b64encode(data).decode()}", width, height)


def _tables(rest: Sequence[Part], tasks: Sequence[Part]) -> Iterator[tuple[str, str]]:
    """Every table by the name of its file: task, section, and a number where a section has several."""
    for task, part in [*(("", one) for one in rest), *((one.title, one) for one in tasks)]:
        used: Counter[str] = Counter()
        for piece in part.pieces:
            title = re.sub(r"[^a-z0-9]+", "_", (piece.title or part.title).lower()).strip("_")
            for grid in grids(block for block in piece.blocks if not isinstance(block, Shown)):
                used[title] += 1
                number = () if used[title] == 1 else (str(used[title]),)
                yield file_name(task, title, *number) + ".csv", csv_of(grid)


def _render(**values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    allowed = [
        "default-src 'none'",
        "img-src data:",
        f"style-src '{_hash(style)}'",
        f"script-src '{_hash(script)}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["html"] = Markup  # what `content` made and escaped, and our own files
    environment.tests["picture"] = lambda block: isinstance(block, Shown)
    environment.globals |= {"WIDE": WIDE, "HIGH": HIGH, "GROUPS": GROUPS}
    return environment.get_template("page.html").render(**values, policy="; ".join(allowed), style=style, script=script)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
