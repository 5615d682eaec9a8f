"""Markdown that reads well as it stands and rendered."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence

NONE = "–"
IN_SIGHT = 15
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
DIGIT = re.compile(r"\d")
NUMBER = re.compile(r"(\*\*)?(≈ |≈ \*\*)?[−+]?\d[\d,./]*(?![^\s*±])|[–†]?$")


def visible(text: str) -> str:
    """Text without what acts instead of being seen: control characters, and those that turn the reading direction."""
    return UNSEEN.sub("�", " ".join(str(text).split()))


def escape(text: str) -> str:
    """Text of unknown origin as text: nothing in it is Markdown, HTML, or the end of a table cell."""
    plain = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = re.sub(r"([\\`*\[\]|~$#])", r"\\\1", plain)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", plain)  # inside a word it is no emphasis


def plain(text: str) -> str:
    """What a terminal shows of Markdown: no emphasis, and escaped text as it was."""
    return html.unescape(re.sub(r"\\([\\`*\[\]|~$#_])", r"\1", text.replace("**", "")))


def number(value: float, digits: int = 3) -> str:
    """A figure with three decimals, a dash where there is none."""
    if math.isnan(value):
        return NONE
    written = f"{value:.{digits}f}".replace("-", "−")
    return written.lstrip("−") if float(f"{value:.{digits}f}") == 0 else written


def brief(value: float) -> str:
    """A duration or a count in three significant digits, never in powers of ten."""
    if math.isnan(value):
        return NONE
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def digits_of(values: Iterable[float], *, greater: bool = True) -> int:
    """How many decimals scores need: three, more where one that is not perfect would be written as if it were.

    Perfect is 1 where greater is better, 0 where less is. At most six, as figures are stored with six significant digits.
    """
    perfect = 1.0 if greater else 0.0
    known = [value for value in values if not math.isnan(value) and abs(value - perfect) > 1e-6]
    return next((n for n in range(3, 6) if all(abs(round(value, n) - perfect) > 1e-9 for value in known)), 6)


def plus_minus(mean: float, half: float, *, signed: bool = False, digits: int = 3) -> str:
    """`0.662 ± 0.021`; without an interval the mean alone."""
    sign = "+" if signed and round(mean, digits) > 0 else ""
    return sign + number(mean, digits) + ("" if math.isnan(half) else f" ± {number(half, digits)}")


def bold(text: str) -> str:
    """Bold text."""
    return f"**{text}**"


def bold_best(values: Sequence[float], texts: Sequence[str], *, greater: bool, digits: int = 3) -> list[str]:
    """The texts, those in bold that are best as they are written; what is not a number never is."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return list(texts)
    best = f"{max(known) if greater else min(known):.{digits}f}"
    return [
        bold(t) if not math.isnan(v) and f"{v:.{digits}f}" == best else t for v, t in zip(values, texts, strict=True)
    ]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, pipes: bool = True) -> str:
    """A table, as Markdown or (without pipes) for a terminal; columns of numbers are right-aligned."""
    return _table(header, rows, _right(rows, len(header)), pipes=pipes)


def folded_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with at most 15 rows in sight; the others are folded away below it."""
    right = _right(rows, len(header))
    seen = _table(header, rows[:IN_SIGHT], right, pipes=True)
    if len(rows) <= IN_SIGHT:
        return seen
    return f"{seen}\n\n{details(f'{len(rows) - IN_SIGHT} more', _table(header, rows[IN_SIGHT:], right, pipes=True))}"


def filled_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table without the columns in which no row has anything."""
    keep = [at for at in range(len(header)) if any(row[at] for row in rows)]
    return table([header[at] for at in keep], [[row[at] for at in keep] for row in rows])


def _right(rows: Sequence[Sequence[str]], columns: int) -> list[bool]:
    texts = [[row[at] for row in rows] for at in range(columns)]
    return [all(map(NUMBER.match, column)) and any(map(DIGIT.search, column)) for column in texts]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], *, pipes: bool) -> str:
    widths = [max(3, *(len(row[at]) for row in [header, *rows])) for at in range(len(header))]
    gap, edge = (" | ", "|") if pipes else ("  ", "")

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(cells, widths, right, strict=True)]
        return f"{edge} {gap.join(padded)} {edge}" if pipes else gap.join(padded).rstrip()

    rule = [("-" * (w - 1) + (":" if r else "-")) if pipes else "-" * w for w, r in zip(widths, right, strict=True)]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def details(summary: str, body: str) -> str:
    """Text folded away under a line that says what it is."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def count(n: int, noun: str, plural: str = "") -> str:
    """`1 split`, `3 splits`."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
