"""Scores per split → one line per task, entry and decision threshold → `leaderboard.csv`.

Columns keep their place: who, then a mean and a deviation per figure, then what the ranking says, then metrics from elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import EXTRAS, STAGES, Entry, ScoreRows, Scores, entries, recalibrated
from harness.evaluation.significance import estimate
from harness.metrics.calibration import CALIBRATIONS
from harness.metrics.metric import Metric
from harness.report.render.tables import harmless

WHO = ("task", "entry", "family", "strategy", "stage", "calibration", "threshold_kind", "folds", "status")
USUAL = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "f1", "precision_negative", "recall_negative"),
    *("f1_negative", "mcc", "g_mean", "roc_auc", "average_precision", "log_loss", "brier", "ece", "lift_at_10"),
    "expected_cost",
)
RANKED = {  # column → what it says
    "objective": "the metric that the search was after and the task is ranked by",
    "rank": "the place by it, the same for all rows of an entry; empty for *chosen*, *ensembled* and "
    "recalibrated entries and where splits are lacking",
    "tied": "`yes` where the entry cannot be told from the first (≈), `no` where it can, else empty",
    "splits_planned": "outer splits of the task; `folds` says how many of them the means are over",
    "ci_low": "lower end of the 95 % interval of the objective, at the row's own threshold; it may pass the metric's bounds",
    "ci_high": "its upper end",
    "inner_score": "mean objective on the inner folds: what the search saw, before any recalibration; of an ensemble on inner "
    "rows that its weights were not fitted on",
    "training_score": "mean objective on the training rows, before any recalibration; empty for ensembles",
    "positive": "the class called positive; empty with several classes",
}


def columns_of(metrics: Mapping[str, Metric]) -> list[str]:
    """The columns in their order."""
    figures, others = [*USUAL, *EXTRAS], [name for name in metrics if name not in USUAL]
    usual, last = ([column for name in names for column in (name, f"{name}_sd")] for names in (figures, others))
    return [*WHO, *usual, *RANKED, *last]


def leaderboard(scores: Scores, rankings: list[Ranking]) -> pd.DataFrame:
    """One line per task, entry and threshold kind: who, status, then mean and standard deviation of every figure.

    Means are unweighted, over the splits whose number is `folds`; a figure that one of these splits lacks has none.
    """
    names = [*USUAL, *EXTRAS, *(name for name in scores.metrics if name not in USUAL)]
    lines = []
    for ranking in rankings:
        task = ranking.task
        found = entries(scores, task) | recalibrated(scores, task)
        for entry in sorted(found, key=lambda entry: _place(scores, entry)):
            for kind in scores.kinds(task):
                rows = scores.rows_of(task, entry, kind)
                who = (task, entry.name, *entry, kind, len(rows), found[entry])
                said = _ranked(scores, ranking, entry, rows)
                lines.append(dict(zip(WHO, who, strict=True)) | _summary(rows, names) | said)
    return pd.DataFrame(lines, columns=columns_of(scores.metrics))


def csv_text(table: pd.DataFrame) -> str:
    """The leaderboard as CSV; numbers with six significant digits, nothing where there is none, and no name a formula."""
    safe = table.map(lambda cell: harmless(cell) if isinstance(cell, str) else cell)
    return str(safe.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def _summary(rows: ScoreRows, names: list[str]) -> dict[str, float]:
    figures = np.array([rows[name] for name in names])
    n = len(rows)
    means = figures.mean(axis=1) if n else np.full(len(names), math.nan)
    spreads = figures.std(axis=1, ddof=1) if n > 1 else np.full(len(names), math.nan)
    columns = [column for name in names for column in (name, f"{name}_sd")]
    return dict(zip(columns, np.stack([means, spreads], axis=1).ravel().tolist(), strict=True))


def _ranked(scores: Scores, ranking: Ranking, entry: Entry, rows: ScoreRows) -> dict[str, Any]:
    place = ranking.place_of(entry) if entry.calibration == "none" else None
    found = estimate(
        rows[ranking.metric.name],
        rows.mean("ratio"),
        claims=not ranking.no_test_reason,
        grain=scores.grain(ranking.task, ranking.metric, rows),
    )
    values = (
        ranking.metric.name,
        place.rank if place else None,
        None if place is None or place.tied is None else ("yes" if place.tied else "no"),
        ranking.splits,
        found.mean - found.half,
        found.mean + found.half,
        rows.mean("inner"),
        rows.mean("train"),
        scores.run["tasks"][ranking.task].get("positive"),
    )
    return dict(zip(RANKED, values, strict=True))


def _place(scores: Scores, entry: Entry) -> tuple[Any, ...]:
    """Declared order of families and strategies; what is chosen among all comes after them."""
    families, strategies = [*scores.run["families"]], [*scores.run["strategies"]]
    family = families.index(entry.family) if entry.family in families else len(families)
    strategy = strategies.index(entry.strategy) if entry.strategy in strategies else len(strategies)
    return family, strategy, STAGES.index(entry.stage), CALIBRATIONS.index(entry.calibration), entry
