"""What the description of a run must say so that it can be read at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What a description of a run must have to be read at all, and what those of its tasks, families, strategies and cells.
NEEDED = ("name", "command", "protocol", "families", "strategies", "tasks", "cells")
NEEDED_OF = {
    "tasks": (
        *("title", "source", "licence", "fingerprint", "classes", "counts", "rows"),
        "columns",
        "splits",
        "objective",
    ),
    "families": ("description", "network"),
    "strategies": ("kind", "description"),
    "cells": ("id", "key", "task", "family", "strategy", "repeat", "fold"),
}
WORDS = {"tasks": "task", "families": "family", "strategies": "strategy", "cells": "cell"}


def incomplete(description: Mapping[str, Any]) -> str:
    """What the description of a run lacks, in words; empty where it has everything that reading needs."""
    if lacking := [name for name in NEEDED if name not in description]:
        return f"it lacks {', '.join(lacking)}"
    for part, needed in NEEDED_OF.items():
        parts = description[part]
        named = enumerate(parts) if isinstance(parts, list) else parts.items() if isinstance(parts, dict) else ()
        if not isinstance(parts, list if part == "cells" else dict):
            return f"its {part} are {type(parts).__name__}"
        for name, about in named:
            lacking = [one for one in needed if not isinstance(about, dict) or one not in about]
            if lacking:
                return f"{WORDS[part]} {name!r} lacks {', '.join(lacking)}"
    for name, about in description["tasks"].items():
        if len(about["classes"]) != len(about["counts"]):
            return f"task {name!r} has {len(about['classes'])} classes and {len(about['counts'])} counts"
    if unknown := sorted({str(cell["task"]) for cell in description["cells"]} - description["tasks"].keys()):
        return f"its cells are of tasks that it does not describe: {', '.join(unknown)}"
    return ""
