"""The short tables of a task: its first entries with their verdicts, what is derived from entries, and the strategies by family."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.evaluation.decision import represent_families
from harness.evaluation.ranking import RankedEntry, Ranking
from harness.evaluation.scores import ANY_NAME, COMBINED_STAGES, Entry, Scores
from harness.evaluation.strategy_effects import NO_READING, ONLY_THRESHOLD, strategy_readings
from harness.report.content import CellValue, ReportCell, ReportColumn, ReportTable, estimate_to_interval
from harness.report.leaderboard import format_verdict
from harness.report.render.markdown import metric_name
from harness.report.sections.recommendation import format_entry_name

MAX_ENTRIES = 10
SHORT_METRICS = ("roc_auc", "average_precision", "f1", "precision", "recall", "brier")
DERIVED_METRICS = ("f1", "precision", "recall", "brier")
#: Phrases of readings, and how they are written in the matrix.
SHORT_READINGS = {ONLY_THRESHOLD: "threshold", "worse probabilities": "p↓", "better probabilities": "p↑"}
MATRIX_NOTE = (
    "Each strategy against `none` of the same family, tuned parameters. *threshold*: decisions at 0.5 change as "
    "another threshold changes them, and no gain at the tuned threshold is shown; p↑ and p↓: better and worse probabilities."
)
ENSEMBLE_NAMES = {"greedy": "greedy ensemble of all entries", "stacking": "stacked ensemble of all entries"}


def select_displayed_entries(scores: Scores, ranking: Ranking) -> list[RankedEntry]:
    """Choose at most `MAX_ENTRIES` entries in the order of the ranking.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.

    Returns
    -------
    list of RankedEntry
        The baseline, the best and the recommended entry, the best one of every other family, and the first others that have
        scores; nothing that is derived from other entries.
    """
    competing_entries = [
        ranked_entry
        for ranked_entry in ranking.entries
        if ranked_entry.score.n and ranked_entry.entry.stage not in COMBINED_STAGES
    ]
    preferred_entries = [*represent_families(scores, ranking), *competing_entries]
    preferred_entries = [
        ranked_entry
        for ranked_entry in (ranking.baseline, ranking.best, *preferred_entries)
        if ranked_entry is not None
    ]
    names = dict.fromkeys(ranked_entry.name for ranked_entry in preferred_entries if ranked_entry in competing_entries)
    selected_names = list(names)[:MAX_ENTRIES]
    return [ranked_entry for ranked_entry in competing_entries if ranked_entry.name in selected_names]


def select_derived_entries(ranking: Ranking) -> list[RankedEntry]:
    """List what inner scores choose or combine of all entries, in the order of the ranking; `details.md` has that of families."""
    derived_entries = []
    for ranked_entry in ranking.entries:
        if (
            ranked_entry.score.n
            and ranked_entry.entry.stage in COMBINED_STAGES
            and ranked_entry.entry.family == ANY_NAME
        ):
            derived_entries.append(ranked_entry)
    return derived_entries


def tabulate_entries(scores: Scores, ranking: Ranking, entries: Sequence[RankedEntry]) -> ReportTable:
    """Tabulate entries: rank, objective with its interval, verdict against the best, the usual metrics, time to fit.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.
    entries : sequence of RankedEntry
        The entries to tabulate; decisions are those at the tuned threshold, where there is one.

    Returns
    -------
    ReportTable
        A row per entry. The verdict is left out where nothing is tested.
    """
    columns = [ReportColumn("#", "count"), ReportColumn("Entry"), _objective_column(ranking)]
    cells: list[Sequence[CellValue | ReportCell]] = [
        [ranked_entry.rank for ranked_entry in entries],
        [format_entry_name(scores, ranking, ranked_entry) for ranked_entry in entries],
        [_objective_cell(ranked_entry) for ranked_entry in entries],
    ]
    if not ranking.no_test_reason:
        columns.append(ReportColumn("Against the best", "verdict"))
        cells.append([format_verdict(ranking, ranked_entry) for ranked_entry in entries])
    metric_columns, metric_cells = _make_metric_columns(scores, ranking, entries, SHORT_METRICS)
    return _table_from_columns((*columns, *metric_columns), (*cells, *metric_cells))


def tabulate_derived_entries(scores: Scores, ranking: Ranking) -> ReportTable:
    """Tabulate what is derived from entries: the choice by inner scores, and the ensembles."""
    entries = select_derived_entries(ranking)
    columns = (ReportColumn("Derived"), _objective_column(ranking))
    cells: tuple[Sequence[CellValue | ReportCell], ...] = (
        [describe_derived_entry(ranked_entry.entry) for ranked_entry in entries],
        [_objective_cell(ranked_entry) for ranked_entry in entries],
    )
    metric_columns, metric_cells = _make_metric_columns(scores, ranking, entries, DERIVED_METRICS)
    return _table_from_columns((*columns, *metric_columns), (*cells, *metric_cells))


def describe_derived_entry(entry: Entry) -> str:
    """Say in words how an entry is derived: ``any`` stands for a choice in one name and for all entries in another."""
    if entry.stage == "ensembled":
        return ENSEMBLE_NAMES.get(entry.strategy, f"{entry.strategy} ensemble of all entries")
    return "best inner score of all"


def tabulate_strategy_readings(scores: Scores, task: str) -> ReportTable | None:
    """Tabulate the reading of every strategy against none, a row per family and a column per strategy; None without any."""
    reading_by_pair = {}
    for strategy_reading in strategy_readings(scores, task):
        if strategy_reading.reading != NO_READING:
            reading_by_pair[strategy_reading.family, strategy_reading.strategy] = _shorten_reading(
                strategy_reading.reading
            )
    families = list(dict.fromkeys(family for family, _ in reading_by_pair))
    strategies = list(dict.fromkeys(strategy for _, strategy in reading_by_pair))
    if not reading_by_pair:
        return None
    rows = []
    for family in families:
        rows.append((family, *(reading_by_pair.get((family, strategy)) for strategy in strategies)))
    columns = [ReportColumn("Family"), *(ReportColumn(strategy, "verdict") for strategy in strategies)]
    return ReportTable(tuple(columns), tuple(rows), foldable=False)


def _shorten_reading(reading_text: str) -> str:
    for reading_phrase, short_reading in SHORT_READINGS.items():
        reading_text = reading_text.replace(reading_phrase, short_reading)
    return reading_text


def _objective_column(ranking: Ranking) -> ReportColumn:
    return ReportColumn(metric_name(ranking.metric), "number", ranking.digits)


def _objective_cell(ranked_entry: RankedEntry) -> ReportCell:
    return ReportCell(estimate_to_interval(ranked_entry.score))


def _make_metric_columns(
    scores: Scores, ranking: Ranking, entries: Sequence[RankedEntry], names: Sequence[str]
) -> tuple[list[ReportColumn], list[list[float]]]:
    """The columns of metrics other than the objective that are known of any entry, and the time to fit."""
    threshold_kind = scores.threshold_kinds(ranking.task)[-1]
    shown_columns, cells = [], []
    for name in names:
        metric_means = [
            scores.score_rows_of_entry(ranking.task, ranked_entry.entry, threshold_kind).mean(name)
            for ranked_entry in entries
        ]
        if name != ranking.metric.name and not all(map(math.isnan, metric_means)):
            shown_columns.append(ReportColumn(metric_name(scores.metrics[name]), "number"))
            cells.append(metric_means)
    cells.append([ranked_entry.rows.mean("fit_seconds") for ranked_entry in entries])
    return [*shown_columns, ReportColumn("Fit s", "quantity")], cells


def _table_from_columns(
    columns: tuple[ReportColumn, ...], cells: Sequence[Sequence[CellValue | ReportCell]]
) -> ReportTable:
    return ReportTable(columns, tuple(zip(*cells, strict=True)), foldable=False)
