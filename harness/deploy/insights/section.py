"""What insights are made of: headings, Markdown, pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


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
