"""Text of unknown origin, numbers and tables in Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from harness.report.render.cells import MISSING

PERCENT = "\u00a0%"  #: a no-break space before the sign
DIGIT = re.compile(r"\d")
NUMERIC_CELL = re.compile(r"(\*\*)?[×+−]?\d[\d,.]*(?![^\s*%±(])|–|$")


def replace_unprintable(text: Any) -> str:
    """Write text in one line, with a replacement character for each one that cannot be printed."""
    line = " ".join(str(text).split())
    return "".join(character if character.isprintable() else "�" for character in line)


def escape(text: Any) -> str:
    """Escape text of unknown origin, so that nothing in it is Markdown, HTML, or the end of a table cell."""
    escaped = re.sub(r"([\\`*\[\]|~$#<&])", r"\\\1", replace_unprintable(text))
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", escaped)  # inside a word it is no emphasis


def format_code(text: Any) -> str:
    """Format text of unknown origin as code, outside of tables."""
    line = replace_unprintable(text)
    longest_run = max(map(len, re.findall("`+", line)), default=0)
    fence = "`" * (1 + longest_run)
    padding = " " if longest_run else ""
    return f"{fence}{padding}{line}{padding}{fence}"


def format_plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table without padding, all columns but the first aligned to the right; empty without rows."""
    if not rows:
        return ""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows])


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table; columns of numbers are right-aligned."""
    rules = []
    for column in zip(*rows, strict=True):
        is_numeric = all(map(NUMERIC_CELL.match, column)) and any(map(DIGIT.search, column))
        rules.append("---:" if is_numeric else "---")
    lines = [header, rules or ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


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
