"""The leaderboard as a table, a row per task, entry and decision threshold, and as `leaderboard.csv`.

The order of the columns is fixed: keys, then mean and standard deviation of the usual metrics, then what the ranking
says, then those of metrics that plug-ins declare.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import (
    EXTRA_COLUMNS,
    STAGES,
    Entry,
    ScoreRows,
    Scores,
    entry_statuses,
    recalibrated_statuses,
)
from harness.evaluation.significance import estimate
from harness.metrics.calibration import CALIBRATIONS
from harness.metrics.metric import Metric
from harness.report.render.tables import escape_formula

KEY_COLUMNS = ("task", "entry", "family", "strategy", "stage", "calibration", "threshold_kind", "folds", "status")
METRIC_COLUMNS = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "f1", "precision_negative", "recall_negative"),
    *("f1_negative", "mcc", "g_mean", "roc_auc", "average_precision", "log_loss", "brier", "ece", "lift_at_10"),
    "expected_cost",
)
RANKING_COLUMNS = {  # column → description
    "objective": "the metric that the search was after and the task is ranked by",
    "rank": "the place by it, the same for all rows of an entry; empty for *chosen*, *ensembled* and "
    "recalibrated entries and where splits are lacking",
    "tied": "`yes` where the entry is not significantly different from the first (≈), `no` where it is, else empty",
    "splits_planned": "outer splits of the task; `folds` says how many of them the means are over",
    "ci_low": "lower end of the 95 % interval of the objective, at the row's own threshold; it may pass the metric's bounds",
    "ci_high": "its upper end",
    "inner_score": "mean objective on the inner folds: what the search saw, before any recalibration; of an ensemble on inner "
    "rows that its weights were not fitted on",
    "training_score": "mean objective on the training rows, before any recalibration; empty for ensembles",
    "positive": "the positive class; empty with several classes",
}


def leaderboard_columns(metrics: Mapping[str, Metric]) -> list[str]:
    """The columns of the leaderboard in their order.

    Parameters
    ----------
    metrics : mapping of str to Metric
        The metrics by their names.

    Returns
    -------
    list of str
        The columns.
    """
    plugin_metrics = [name for name in metrics if name not in METRIC_COLUMNS]
    usual = _mean_and_deviation([*METRIC_COLUMNS, *EXTRA_COLUMNS])
    return [*KEY_COLUMNS, *usual, *RANKING_COLUMNS, *_mean_and_deviation(plugin_metrics)]


def leaderboard(scores: Scores, rankings: list[Ranking]) -> pd.DataFrame:
    """Build the leaderboard of a run.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    rankings : list of Ranking
        The rankings of its tasks.

    Returns
    -------
    DataFrame
        A row per task, entry and threshold kind. Means are unweighted, over the splits whose number is in the column
        `folds`; a metric that is missing in one of these splits has no mean.
    """
    plugin_metrics = [name for name in scores.metrics if name not in METRIC_COLUMNS]
    names = [*METRIC_COLUMNS, *EXTRA_COLUMNS, *plugin_metrics]
    lines = []
    for ranking in rankings:
        task = ranking.task
        statuses = entry_statuses(scores, task) | recalibrated_statuses(scores, task)
        for entry in sorted(statuses, key=lambda entry: _declared_order(scores, entry)):
            for kind in scores.threshold_kinds(task):
                rows = scores.rows_of(task, entry, kind)
                keys = (task, entry.name, *entry, kind, len(rows), statuses[entry])
                line = dict(zip(KEY_COLUMNS, keys, strict=True))
                lines.append(line | _summarize_splits(rows, names) | _ranking_cells(scores, ranking, entry, rows))
    return pd.DataFrame(lines, columns=leaderboard_columns(scores.metrics))


def leaderboard_csv(table: pd.DataFrame) -> str:
    """Format the leaderboard as CSV.

    Parameters
    ----------
    table : DataFrame
        The leaderboard.

    Returns
    -------
    str
        The CSV: numbers with six significant digits, missing values empty, and no name that is a formula.
    """
    escaped = table.map(lambda cell: escape_formula(cell) if isinstance(cell, str) else cell)
    return str(escaped.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def _mean_and_deviation(names: list[str]) -> list[str]:
    columns = []
    for name in names:
        columns += [name, f"{name}_sd"]
    return columns


def _summarize_splits(rows: ScoreRows, names: list[str]) -> dict[str, float]:
    """Mean and standard deviation of every metric over the splits."""
    splits = np.array([rows[name] for name in names])
    summary = np.full((len(names), 2), math.nan)
    if len(rows):
        summary[:, 0] = splits.mean(axis=1)
    if len(rows) > 1:
        summary[:, 1] = splits.std(axis=1, ddof=1)
    return dict(zip(_mean_and_deviation(names), summary.ravel().tolist(), strict=True))


def _ranking_cells(scores: Scores, ranking: Ranking, entry: Entry, rows: ScoreRows) -> dict[str, Any]:
    """The cells of RANKING_COLUMNS."""
    rank: int | None = None
    tied: str | None = None
    ranked = ranking.resolve(entry)
    if ranked is not None and entry.calibration == "none":
        rank = ranked.rank
        tied = {True: "yes", False: "no", None: None}[ranked.tied]
    interval = estimate(
        rows[ranking.metric.name],
        rows.mean("ratio"),
        can_test=not ranking.no_test_reason,
        resolution=scores.resolution(ranking.task, ranking.metric, rows),
    )
    return {
        "objective": ranking.metric.name,
        "rank": rank,
        "tied": tied,
        "splits_planned": ranking.splits,
        "ci_low": interval.mean - interval.ci_half_width,
        "ci_high": interval.mean + interval.ci_half_width,
        "inner_score": rows.mean("inner"),
        "training_score": rows.mean("train"),
        "positive": scores.run["tasks"][ranking.task].get("positive"),
    }


def _declared_order(scores: Scores, entry: Entry) -> tuple[Any, ...]:
    """The sort key of an entry: families and strategies as declared; entries chosen among all of them are last."""
    families, strategies = [*scores.run["families"], entry.family], [*scores.run["strategies"], entry.strategy]
    calibration = CALIBRATIONS.index(entry.calibration)
    return families.index(entry.family), strategies.index(entry.strategy), STAGES.index(entry.stage), calibration, entry
