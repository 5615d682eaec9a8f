"""Lines above the names of the columns, such as the title of a report: they are left out, and said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from harness.findings import Finding

MAX_TITLES = 20
MIN_SHARE = 0.9  #: of the records that have as many fields as the names
MIN_RECORDS = 3  #: with the names
MAX_SHOWN = 60  #: characters of a title in a message


def count_titles(records: Sequence[Sequence[Any]]) -> int:
    """Count the records above the names of the columns.

    A title fills the first field alone. The names fill all fields of a table of two columns or more, and none of them is a
    number.

    Parameters
    ----------
    records : sequence of sequences
        The first records of a file, without empty ones: texts, or cells of a sheet of which None is empty.

    Returns
    -------
    int
        The number of titles; 0 where the first record may have the names, or nothing else looks like names.
    """
    n_titles = 0
    while n_titles < min(MAX_TITLES, len(records)) and _is_title(records[n_titles]):
        n_titles += 1
    table = records[n_titles:]
    if not n_titles or len(table) < MIN_RECORDS:
        return 0
    width, count = Counter(map(len, table)).most_common(1)[0]
    names = table[0]
    if width < 2 or count < MIN_SHARE * len(table) or len(names) != width or not all(map(_is_name, names)):
        return 0
    return n_titles


def _is_title(record: Sequence[Any]) -> bool:
    return bool(record) and not _is_empty(record[0]) and all(map(_is_empty, record[1:]))


def _is_empty(cell: Any) -> bool:
    return cell is None or not str(cell).strip()


def _is_name(cell: Any) -> bool:
    """Whether a cell holds a text with a letter."""
    return isinstance(cell, str) and any(map(str.isalpha, cell))


def title_findings(titles: Sequence[str]) -> list[Finding]:
    """Say which lines were left out, if any; empty ones among them are not shown."""
    filled = [title for title in titles if title.strip()]
    if not filled:
        return []
    message = f"{len(filled)} lines above the names of the columns were left out: {filled[0][:MAX_SHOWN]!r}"
    if len(filled) == 1:
        message = f"the line above the names of the columns was left out: {filled[0][:MAX_SHOWN]!r}"
    return [Finding("title_lines", "note", message)]
