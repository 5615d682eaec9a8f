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
    baseline, reference_score = ranking.baseline, math.nan
    if baseline is not None and baseline.score.n:
        reference_score = baseline.score.mean
        if baseline not in entries:
            entries.append(baseline)
    if not entries:
        return None
    rows = []
    for ranked_entry in entries:
        score = ReportCell(estimate_to_interval(ranked_entry.score), digits=ranking.digits)
        rows.append((ranked_entry.name, score, format_verdict(ranking, ranked_entry)))
    columns = (
        ReportColumn("Entry"),
        ReportColumn(metric_name(ranking.metric), "number", ranking.digits),
        ReportColumn("Against the best", "verdict"),
    )
    return ReportTable(columns, tuple(rows), foldable=False, drawn_column=1, reference=reference_score)


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
    verdicts_by_family: dict[str, dict[str, int]] = {}
    for ranking in rankings:
        if ranking.no_test_reason or ranking.best is None:
            continue
        for ranked_entry in represent_families(scores, ranking):
            verdict_text = format_verdict(ranking, ranked_entry)
            if verdict_text in VERDICTS:
                verdicts_by_family.setdefault(ranked_entry.entry.family, dict.fromkeys(VERDICTS, 0))[verdict_text] += 1
    if not verdicts_by_family:
        return None
    families = sorted(
        verdicts_by_family,
        key=lambda family: (
            _count_tasks_not_best(verdicts_by_family[family]),
            -verdicts_by_family[family]["best"],
            family,
        ),
    )
    rows: list[tuple[CellValue | ReportCell, ...]] = []
    for family in families:
        rows.append((family, *map(float, verdicts_by_family[family].values())))
    columns = [ReportColumn(verdict_text.capitalize(), "count") for verdict_text in VERDICTS]
    return ReportTable((ReportColumn("Family"), *columns), tuple(rows), foldable=False, stacked=True)


def _count_tasks_not_best(verdict_counts: Mapping[str, int]) -> int:
    """On how many tasks a family is worse or not the best."""
    return verdict_counts["worse"] + verdict_counts[NOT_THE_BEST]


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
        worse_rivals = [
            rival_entry
            for rival_entry in ranking.rivals
            if rival_entry.is_excluded or format_verdict(ranking, rival_entry) == "worse"
        ]
        not_best_text = None if ranking.no_test_reason else f"{len(worse_rivals)} of {len(ranking.rivals)}"
        row_count = scores.run["tasks"][ranking.task]["rows"]
        rows.append((ranking.task, row_count, name, metric_name(ranking.metric), score, baseline, not_best_text))
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
