"""What was noticed in the data, said where it bears on the figures: the notes of a task in `run.json`, taken apart.

A note is `<code>: <message>` (a finding of the audit), `<column>: left out, <reason>` or `<n> training rows left out: <reason>`;
notes of other forms stand in the last section only, where all are listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.report.render.markdown import escape, listed

WARNINGS = ("leaky_column", "few_positives", "id_like")  #: what may make the figures meaningless
ABOUT_ROWS = ("conflicting_labels",)
LEFT_OUT = re.compile(r"(?P<column>.+?): left out, (?P<reason>.+)", flags=re.DOTALL)
ROWS_LEFT_OUT = re.compile(r"\d+ training rows left out: ")
NAMED = 4


def beware(about: Mapping[str, Any]) -> str:
    """What the figures of a task must be read with, in one sentence; empty where there is nothing."""
    return _sentences("Beware: ", list(_messages(about, WARNINGS)))


def about_rows(about: Mapping[str, Any]) -> str:
    """Rows that nothing can tell apart, rows that were left out, and columns that were, by reason."""
    columns: dict[str, list[str]] = {}
    for note in about.get("notes", ()):
        if found := LEFT_OUT.fullmatch(note):
            columns.setdefault(found["reason"], []).append(found["column"])
    parts = [f"{_some(names)} ({escape(reason)})" for reason, names in columns.items()]
    left_out = f"Left out: {'; '.join(_first(parts))}." if parts else ""
    rows = [escape(note) for note in about.get("notes", ()) if ROWS_LEFT_OUT.match(note)]
    return f"{_sentences('', [*_messages(about, ABOUT_ROWS), *rows])} {left_out}".strip()


def shares(about: Mapping[str, Any], *, percent: bool = False) -> str:
    """`No 357; Yes 60`: rows per class, names with a comma or a last digit in quotation marks."""
    counted = zip(about["classes"], about["counts"], strict=True)
    return "; ".join(
        f"{quoted(name)} {n:,}" + (f" ({n / about['rows']:.1%})" if percent else "") for name, n in counted
    )


def quoted(name: str) -> str:
    """A class name as it can stand in a list."""
    return f"“{escape(name)}”" if re.search(r"[,;]|\d$", name) else escape(name)


def _messages(about: Mapping[str, Any], codes: tuple[str, ...]) -> Iterator[str]:
    for code in codes:
        for note in about.get("notes", ()):
            if note.startswith(f"{code}: "):
                yield escape(note.removeprefix(f"{code}: "))


def _sentences(start: str, parts: list[str]) -> str:
    whole = [part if part.endswith("?") else f"{part}." for part in _first(parts)]
    capital = [part if start and not at else part[0].upper() + part[1:] for at, part in enumerate(whole)]
    return start + " ".join(capital) if parts else ""


def _first(parts: list[str]) -> list[str]:
    more = len(parts) - NAMED
    return [*parts[:NAMED], f"{more} more: see the last section"] if more > 0 else parts


def _some(names: list[str]) -> str:
    more = len(names) - NAMED
    return listed([escape(name) for name in names[:NAMED]] + ([f"{more} more"] if more > 0 else []))
