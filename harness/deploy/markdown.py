"""Text of unknown origin and plain tables in Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any


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
