"""Markdown that reads well as it stands and rendered."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from tabulate import tabulate

NONE = "–"
IN_SIGHT = 15


def escape(text: str) -> str:
    """Text of unknown origin as text: nothing in it is Markdown, HTML, or the end of a table cell."""
    plain = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = re.sub(r"([\\`*\[\]|~$#])", r"\\\1", plain)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", plain)  # inside a word it is no emphasis


def number(value: float, digits: int = 3) -> str:
    """A figure with three decimals, a dash where there is none."""
    return NONE if math.isnan(value) else f"{value:.{digits}f}".replace("-", "−")


def brief(value: float) -> str:
    """A duration or a count in three significant digits, never in powers of ten."""
    if math.isnan(value):
        return NONE
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def plus_minus(mean: float, half: float, *, signed: bool = False) -> str:
    """`0.662 ± 0.021`; without an interval the mean alone."""
    sign = "+" if signed and mean > 0 else ""
    return sign + number(mean) + ("" if math.isnan(half) else f" ± {number(half)}")


def bold(text: str) -> str:
    """Bold text."""
    return f"**{text}**"


def bold_best(values: Sequence[float], texts: Sequence[str], *, greater: bool) -> list[str]:
    """The texts, those in bold that are best as they are written; what is not a number never is."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return list(texts)
    best = f"{max(known) if greater else min(known):.3f}"
    return [bold(t) if not math.isnan(v) and f"{v:.3f}" == best else t for v, t in zip(values, texts, strict=True)]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, style: str = "pipe") -> str:
    """A table: the first `left` columns left-aligned, all others right-aligned."""
    align = ["left" if column < left else "right" for column in range(len(header))]
    return str(tabulate(rows, headers=header, tablefmt=style, colalign=align if rows else None, disable_numparse=True))


def folded_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, what: str = "rows") -> str:
    """A table with at most 15 rows in sight; the others are folded away below it."""
    if len(rows) <= IN_SIGHT:
        return table(header, rows, left=left)
    rest = table(header, rows[IN_SIGHT:], left=left)
    return f"{table(header, rows[:IN_SIGHT], left=left)}\n\n{details(f'{len(rows) - IN_SIGHT} more {what}', rest)}"


def details(summary: str, body: str) -> str:
    """Text folded away under a line that says what it is."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def count(n: int, noun: str, plural: str = "") -> str:
    """`1 split`, `3 splits`."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
