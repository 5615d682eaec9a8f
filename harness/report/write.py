"""Writes the tables of a run, and says in short what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.declare.metric import Metric
from harness.report.leaderboard import csv_text, leaderboard
from harness.report.markdown import number, plus_minus, table
from harness.report.ranking import Ranking, rank
from harness.report.scores import Scores, collect
from harness.report.task_section import ranked_tables, verdict
from harness.store.store import Store, write_atomic

SUMMARY_ROWS = 12


@dataclass(frozen=True)
class ReportFiles:
    """Where the tables were written, and the short summary that a terminal shows."""

    markdown: Path
    csv: Path
    summary: str


def write_report(store: Store, metrics: Mapping[str, Metric]) -> ReportFiles:
    """Write `leaderboard.md` and `leaderboard.csv` from what is stored; the same records give the same bytes.

    Raises `StoreError` where the folder is no run, cannot be read or not be written.
    """
    scores = collect(store, metrics)
    rankings = [rank(scores, task) for task in scores.run["tasks"]]
    files = ReportFiles(store.folder / "leaderboard.md", store.folder / "leaderboard.csv", _summary(rankings))
    write_atomic(files.csv, csv_text(leaderboard(scores)).encode())
    write_atomic(files.markdown, _markdown(scores, rankings).encode())
    return files


def summary(store: Store, metrics: Mapping[str, Metric]) -> str:
    """What a terminal shows of a run: a verdict and at most 12 entries per task."""
    scores = collect(store, metrics)
    return _summary([rank(scores, task) for task in scores.run["tasks"]])


def _markdown(scores: Scores, rankings: list[Ranking]) -> str:
    parts = [f"# {scores.run['name']}"]
    for ranking in rankings:
        parts += [f"## {ranking.task}", verdict(ranking), ranked_tables(scores, ranking)]
    return "\n\n".join(parts) + "\n"


def _summary(rankings: list[Ranking]) -> str:
    parts = []
    for ranking in rankings:
        rows = [
            [
                str(p.rank or "†"),
                p.entry.name,
                ("≈ " if p.tied else "") + plus_minus(p.score.mean, p.score.half),
                number(float(p.rows["f1"].mean())),
                p.status,
            ]
            for p in ranking.places
            if p.score.n
        ][:SUMMARY_ROWS]
        parts += [
            ranking.task,
            verdict(ranking).replace("**", ""),
            table(["#", "Entry", ranking.metric.label, "F1", "Status"], rows, left=2),
        ]
    return "\n\n".join(parts)
