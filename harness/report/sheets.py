"""Texts in files that spreadsheets open: figures stay figures, and nothing is run."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

FIGURE = re.compile(r"(?P<value>[+−-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?)( ± (?P<half>\d[\d,]*(\.\d+)?))?(?P<percent> ?%)?")
RUNS = ("=", "+", "-", "@", "\t", "\r")  #: what a spreadsheet takes for the beginning of a formula


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe before what begins like one and is no number."""
    return f"'{cell}" if cell.startswith(RUNS) and not FIGURE.fullmatch(cell) else cell


def csv_text(lines: Iterable[Sequence[str]]) -> str:
    """Lines of cells as CSV; what a spreadsheet would run is text in it."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([harmless(cell) for cell in line] for line in lines)
    return file.getvalue()
