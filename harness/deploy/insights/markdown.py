"""Markdown of insights: tables, figures, and text of unknown origin as text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

NONE = "–"
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def escape(text: object) -> str:
    """Text of unknown origin: nothing in it is Markdown, HTML or the end of a table cell, and nothing acts unseen."""
    plain = UNSEEN.sub("�", " ".join(str(text).split()))
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = re.sub(r"([\\`*\[\]|~$#!])", r"\\\1", plain)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", plain)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; columns of figures are right-aligned."""
    right = [all(re.match(r"[×+−-]?\d|–|$", row[at]) for row in rows) for at in range(len(header))]
    lines = [header, ["---:" if r else "---" for r in right], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figure(value: float, digits: int = 3) -> str:
    """A figure, a dash where there is none."""
    if not math.isfinite(value):
        return NONE
    return f"{value:,.{digits}f}".replace("-", "−")


def money(value: float) -> str:
    """An amount: whole where it is large, in three significant digits where it is small."""
    if not math.isfinite(value):
        return NONE
    return (f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}").replace("-", "−")


def percent(share: float) -> str:
    """A share in percent: one decimal below ten."""
    if not math.isfinite(share):
        return NONE
    return f"{100 * share:.1f} %" if 0 < abs(share) < 0.0995 else f"{100 * share:.0f} %"


def count(n: int, noun: str, plural: str = "") -> str:
    """`1 row`, `3 rows`."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
