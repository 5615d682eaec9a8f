"""Figures and text of unknown origin in Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any


def plus_minus(mean: float, half: float) -> str:
    """`0.662 ± 0.021`; without an interval the mean alone."""
    return number(mean) + ("" if math.isnan(half) else f" ± {number(half)}")


def number(value: float) -> str:
    """A figure with three decimals; nothing that is written as 0 has a sign."""
    return f"{round(value, 3) + 0:.3f}".replace("-", "−")


def visible(value: Any) -> str:
    """Text in one line, without what acts instead of being seen."""
    return "".join(c if c.isprintable() else "�" for c in " ".join(str(value).split()))


def text(value: Any) -> str:
    """Text of unknown origin as text: nothing in it is Markdown, HTML, or the end of a table cell."""
    escaped = re.sub(r"([\\`*\[\]|~$#<&])", r"\\\1", visible(value))
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", escaped)  # inside a word it is no emphasis


def code(value: Any) -> str:
    """Text of unknown origin as code, outside of tables."""
    plain = visible(value)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    pad = " " if "`" in plain else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns but the first are aligned to the right; nothing without rows."""
    if not rows:
        return ""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
