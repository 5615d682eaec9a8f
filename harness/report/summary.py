"""What a terminal shows of a run: per task a verdict and the first entries, and what there is no figure for."""

from __future__ import annotations

from harness.report.markdown import count, number, plain, table
from harness.report.noticed import beware
from harness.report.ranking import Place, Ranking
from harness.report.scoring.scores import MISSING, Scores, count_statuses
from harness.report.task_section import marked, rank_mark
from harness.report.verdict import headline

ROWS = 12
NAMED = 6


def summary(scores: Scores, rankings: list[Ranking]) -> str:
    """Verdict, warnings, at most 12 entries and the failures of every task, as plain text."""
    parts = [part for ranking in rankings for part in _task(scores, ranking)]
    return "\n\n".join(part for part in [*parts, _failures(scores)] if part)


def _task(scores: Scores, ranking: Ranking) -> list[str]:
    places = [place for place in ranking.places if place.score.n]
    said = [f"{ranking.task}: {plain(headline(ranking))}", plain(beware(scores.run["tasks"][ranking.task]))]
    return [*said, _table(ranking, places) if places else "", without_figures(ranking)]


def _table(ranking: Ranking, places: list[Place]) -> str:
    tuned = f" {ranking.threshold}".replace("the ", "").rstrip()
    objective = ranking.metric.label or ranking.metric.name
    second = [] if ranking.metric.name == "f1" else [f"F1{tuned}"]
    header = ["#", "Entry", objective + (tuned if ranking.metric.face == "decision" else ""), *second, "Status"]
    rows = [
        [rank_mark(p), p.name, marked(ranking, p, str), *(number(p.rows.mean("f1")) for _ in second), p.status]
        for p in places[:ROWS]
    ]
    more = len(places) - ROWS
    return table(header, rows, pipes=False) + (f"\n… and {more} more in leaderboard.md" if more > 0 else "")


def without_figures(ranking: Ranking) -> str:
    """The pairs of family and strategy of which no cell is ok, and how their cells ended."""
    tried = [p for p in ranking.places if p.entry.stage == "tuned" and not p.status.startswith(MISSING)]
    lost = [f"{p.entry.family}/{p.entry.strategy} ({p.status})" for p in tried if not p.score.n]
    more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
    return f"Without any ok cell: {'; '.join(lost[:NAMED])}{more}" if lost else ""


def _failures(scores: Scores) -> str:
    statuses = [cell.status for cell in scores.cells]
    lost = [status for status in statuses if status != "ok"]
    if not lost:
        return ""
    are = "is" if len(lost) == 1 else "are"
    return (
        f"{len(lost):,} of {count(len(statuses), 'cell')} {are} not ok ({count_statuses(lost)}): "
        "see What failed, was skipped or does not apply, in leaderboard.md"
    )
