"""Writes what is said about a run: tables, pictures, the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.evaluation.ranking import rank
from harness.evaluation.scores import collect
from harness.metrics.metric import Metric
from harness.report.chapters import gather
from harness.report.content import Evidence, Figure
from harness.report.figures.writer import draw_all, made_here
from harness.report.html_report import page
from harness.report.leaderboard import csv_text, leaderboard
from harness.report.markdown_report import leaderboard_markdown
from harness.report.sections import training as inspection
from harness.report.sections.overview import summary
from harness.store.files import remove_file, write_atomic
from harness.store.store import Store


@dataclass(frozen=True)
class ReportFiles:
    """Where tables and page were written, and the short summary that a terminal shows."""

    markdown: Path
    csv: Path
    page: Path
    summary: str


def write_report(store: Store, metrics: Mapping[str, Metric]) -> ReportFiles:
    """Write `leaderboard.md`, `leaderboard.csv`, `report.html`, `tables/` and `figures/` from what is stored.

    Tables and pictures that an earlier report wrote and this one does not are deleted; files of others stay. The same records
    give the same bytes. Raises `StoreError` where the folder is no run, cannot be read or not be written.
    """
    scores = collect(store, metrics)
    rankings = tuple(rank(scores, task) for task in scores.run["tasks"])
    evidence, folder = Evidence(store, scores, rankings), store.folder
    found = gather(evidence)
    files = ReportFiles(
        folder / "leaderboard.md", folder / "leaderboard.csv", folder / "report.html", summary(scores, list(rankings))
    )
    write_atomic(files.csv, csv_text(leaderboard(scores, list(rankings))).encode())
    write_atomic(files.markdown, leaderboard_markdown(evidence, found[inspection.sections]).encode())
    sections = [section for some in found.values() for section in some]
    draw_all(store, [part for section in sections for part in section.parts if isinstance(part, Figure)])
    made = page(evidence, found)
    _write_tables(store, made.tables)
    write_atomic(files.page, made.html.encode())
    return files


def _write_tables(store: Store, tables: Mapping[str, str]) -> None:
    """Write every table by the name of its file, and delete those that an earlier report wrote and this one does not."""
    folder, listed = store.folder / "tables", store.folder / "derived" / "tables.json"
    for name, text in tables.items():
        write_atomic(folder / name, text.encode())
    before = _names(listed)
    for name in filter(made_here, before - tables.keys()):
        remove_file(folder / name)
    if before != tables.keys():
        write_atomic(listed, json.dumps(sorted(tables), indent=1).encode())


def _names(listed: Path) -> set[str]:
    """The names of the tables that the last report wrote; none where that is not known."""
    try:
        found = json.loads(listed.read_bytes())
    except (OSError, ValueError):
        return set()
    return set(map(str, found)) if isinstance(found, list) else set()
