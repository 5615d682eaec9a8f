"""Tables and figures in the Markdown of insights."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

NONE, PERCENT = "–", "\u00a0%"  #: a space that no line breaks at
IN_SIGHT = 12  #: rows of a table; others are folded away
DIGIT = re.compile(r"\d")
FIGURE = re.compile(r"(\*\*)?[×+−]?\d[\d,.]*(?![^\s*%±(])|–|$")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; columns of figures are aligned to the right."""
    columns = [[row[at] for row in rows] for at in range(len(header))]
    right = [all(map(FIGURE.match, one)) and any(map(DIGIT.search, one)) for one in columns]
    lines = [header, ["---:" if r else "---" for r in right], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figure(value: float, digits: int = 3, *, signed: bool = False) -> str:
    """A figure, a dash where there is none."""
    if not math.isfinite(value):
        return NONE
    written = f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"
    return written.replace("-", "−")


def money(value: float) -> str:
    """An amount: whole where it is large, in three significant digits where it is small."""
    if not math.isfinite(value):
        return NONE
    return (f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}").replace("-", "−")


def percent(share: float) -> str:
    """A share in percent: one decimal below ten."""
    if not math.isfinite(share):
        return NONE
    return f"{100 * share:.1f}{PERCENT}" if 0 < abs(share) < 0.0995 else f"{100 * share:.0f}{PERCENT}"


def between(low: str, high: str) -> str:
    """An interval by its ends."""
    return low if low == high else f"{low.removesuffix(PERCENT)} to {high}"


def count(n: int, noun: str, plural: str = "") -> str:
    """`1 row`, `3 rows`."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
