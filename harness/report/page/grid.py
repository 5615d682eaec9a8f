"""A table of the page as values: what a browser shows, and the same as CSV that pandas reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from harness.report.sheets import FIGURE, csv_text

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
