"""The pictures of the first screen: the best entry of every family with its interval, and over many tasks the families' verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness.evaluation.decision import recommend_entry, represent_families
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.report.content import CellValue, ReportCell, ReportColumn, ReportTable, estimate_to_interval
from harness.report.leaderboard import NOT_THE_BEST, format_verdict
from harness.report.render.markdown import metric_name

VERDICTS = ("best", "practically equal", "undecided", NOT_THE_BEST, "worse")


def tabulate_family_intervals(scores: Scores, ranking: Ranking) -> ReportTable | None:
    """Tabulate the recommended entry, the best entry of every other family and the baseline, with intervals that the page draws.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.

    Returns
    -------
    ReportTable or None
        The best score first, the baseline last; None where no entry has a score.
    """
    entries = represent_families(scores, ranking)
    baseline, reference = ranking.baseline, math.nan
    if baseline is not None and baseline.score.n:
        reference = baseline.score.mean
        if baseline not in entries:
            entries.append(baseline)
    if not entries:
        return None
    rows = []
    for ranked in entries:
        score = ReportCell(estimate_to_interval(ranked.score), digits=ranking.digits)
        rows.append((ranked.name, score, format_verdict(ranking, ranked)))
    columns = (
        ReportColumn("Entry"),
        ReportColumn(metric_name(ranking.metric), "number", ranking.digits),
        ReportColumn("Against the best", "verdict"),
    )
    return ReportTable(columns, tuple(rows), foldable=False, drawn_column=1, reference=reference)


def count_family_verdicts(scores: Scores, rankings: Sequence[Ranking]) -> ReportTable | None:
    """Count over tasks how the recommended or best entry of every family compares with the best entry of the task.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    rankings : sequence of Ranking
        The ranking of every task; those without a test are left out.

    Returns
    -------
    ReportTable or None
        A row per family, the one first that is most often best or practically equal; None where no task has a test.
    """
    counts: dict[str, dict[str, int]] = {}
    for ranking in rankings:
        if ranking.no_test_reason or ranking.best is None:
            continue
        for ranked in represent_families(scores, ranking):
            verdict = format_verdict(ranking, ranked)
            if verdict in VERDICTS:
                counts.setdefault(ranked.entry.family, dict.fromkeys(VERDICTS, 0))[verdict] += 1
    if not counts:
        return None
    families = sorted(
        counts, key=lambda family: (_count_tasks_not_best(counts[family]), -counts[family]["best"], family)
    )
    rows: list[tuple[CellValue | ReportCell, ...]] = []
    for family in families:
        rows.append((family, *map(float, counts[family].values())))
    columns = [ReportColumn(verdict.capitalize(), "count") for verdict in VERDICTS]
    return ReportTable((ReportColumn("Family"), *columns), tuple(rows), foldable=False, stacked=True)


def _count_tasks_not_best(counts: Mapping[str, int]) -> int:
    """On how many tasks a family is worse or not the best."""
    return counts["worse"] + counts[NOT_THE_BEST]


def tabulate_tasks(scores: Scores, rankings: Sequence[Ranking]) -> ReportTable:
    """Tabulate every task: its rows, what is recommended, its score with the interval, the baseline, how many are not the best."""
    rows: list[tuple[CellValue | ReportCell, ...]] = []
    for ranking in rankings:
        recommendation = recommend_entry(scores, ranking)
        name, score, baseline = "none", None, None
        if recommendation.entry is not None:
            name = recommendation.entry.entry.name
            score = ReportCell(estimate_to_interval(recommendation.entry.score), digits=ranking.digits)
        if ranking.baseline is not None and ranking.baseline.score.n:
            baseline = ranking.baseline.score.mean
        worse = [rival for rival in ranking.rivals if rival.is_excluded or format_verdict(ranking, rival) == "worse"]
        not_best = None if ranking.no_test_reason else f"{len(worse)} of {len(ranking.rivals)}"
        size = scores.run["tasks"][ranking.task]["rows"]
        rows.append((ranking.task, size, name, metric_name(ranking.metric), score, baseline, not_best))
    columns = (
        ReportColumn("Task"),
        ReportColumn("Rows", "count"),
        ReportColumn("Use"),
        ReportColumn("By"),
        ReportColumn("Score", "number"),
        ReportColumn("Baseline", "number"),
        ReportColumn("Entries that are not the best", "count"),
    )
    return ReportTable(columns, tuple(rows), foldable=False, drawn_column=4)
