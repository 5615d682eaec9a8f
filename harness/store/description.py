"""What the description of a run must say so that it can be read at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What a description must have, and what that of each of its tasks, families, strategies and cells: of which types.
NEEDED: dict[str, type] = {
    "name": str,
    "command": str,
    "protocol": dict,
    "families": dict,
    "strategies": dict,
    "tasks": dict,
    "cells": list,
}
NEEDED_OF: dict[str, dict[str, Any]] = {
    "tasks": {
        "title": str,
        "source": str,
        "licence": str,
        "fingerprint": str,
        "classes": list,
        "counts": list,
        "rows": int,
        "columns": int | None,
        "splits": int,
        "objective": str,
    },
    "families": {"description": str, "network": bool},
    "strategies": {"kind": str, "description": str},
    "cells": {"id": str, "key": str, "task": str, "family": str, "strategy": str, "repeat": int, "fold": int},
}
#: What they may have, and older ones have not.
OPTIONAL: dict[str, Any] = {"versions": dict, "host": dict, "skipped": list}
OPTIONAL_OF: dict[str, dict[str, Any]] = {
    "tasks": {
        "description": str,
        "citation": str,
        "modality": str,
        "positive": str | None,
        "features": str,
        "costs": list | None,
        "forward": bool,
        "notes": list,
        "own": dict | None,
    },
    "families": {},
    "strategies": {"chooses": bool},
    "cells": {},
}
WORDS = {"tasks": "task", "families": "family", "strategies": "strategy", "cells": "cell"}


def incomplete(description: Mapping[str, Any]) -> str:
    """What the description of a run lacks, in words; empty where it has everything that reading needs."""
    if what := _lacks(description, NEEDED, OPTIONAL):
        return f"it {what}"
    for part, needed in NEEDED_OF.items():
        parts = description[part]
        for name, about in enumerate(parts) if isinstance(parts, list) else parts.items():
            if what := _lacks(about, needed, OPTIONAL_OF[part]):
                return f"{WORDS[part]} {name!r} {what}"
    for name, about in description["tasks"].items():
        if len(about["classes"]) != len(about["counts"]):
            return f"task {name!r} has {len(about['classes'])} classes and {len(about['counts'])} counts"
        if about["columns"] is None and "features" not in about:
            return f"task {name!r} lacks columns and features"
    for part in ("tasks", "families", "strategies"):
        if unknown := sorted({cell[WORDS[part]] for cell in description["cells"]} - description[part].keys()):
            return f"its cells are of {part} that it does not describe: {', '.join(unknown)}"
    return ""


def _lacks(about: object, needed: Mapping[str, Any], optional: Mapping[str, Any]) -> str:
    if not isinstance(about, dict):
        return f"is {about!r:.40}"
    if lacking := [name for name in needed if name not in about]:
        return f"lacks {', '.join(lacking)}"
    for name, kind in ({**needed, **optional}).items():
        if name in about and not isinstance(about[name], kind):
            return f"says {name} is {about[name]!r:.40}"
    return ""
