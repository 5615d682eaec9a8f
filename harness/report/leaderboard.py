"""Scores per split → one line per task, entry and decision threshold → `leaderboard.csv`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.declare.metric import Metric
from harness.report.scores import EXTRAS, STAGES, Entry, Rows, Scores, entries

WHO = ("task", "entry", "family", "strategy", "stage", "calibration", "threshold_kind", "folds", "status")
USUAL = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "f1", "precision_negative", "recall_negative"),
    *("f1_negative", "mcc", "g_mean", "roc_auc", "average_precision", "log_loss", "brier", "ece", "lift_at_10"),
    "expected_cost",
)


def figure_names(metrics: Mapping[str, Metric]) -> list[str]:
    """The figures of a leaderboard in the order of its columns; metrics from elsewhere come last."""
    return [*USUAL, *EXTRAS, *(name for name in metrics if name not in USUAL)]


def leaderboard(scores: Scores) -> pd.DataFrame:
    """One line per task, entry and threshold kind: who, status, then mean and standard deviation of every figure.

    Means are unweighted, over the splits whose number is `folds`; a figure that one of these splits lacks has none.
    """
    names = figure_names(scores.metrics)
    lines = []
    for task in scores.run["tasks"]:
        found = entries(scores, task)
        for entry in sorted(found, key=lambda entry: _place(scores, entry)):
            for kind in scores.kinds(task):
                rows = scores.rows_of(task, entry, kind)
                who = (task, entry.name, *entry, kind, len(rows), found[entry])
                lines.append(dict(zip(WHO, who, strict=True)) | _summary(rows, names))
    columns = [*WHO, *(column for name in names for column in (name, f"{name}_sd"))]
    return pd.DataFrame(lines, columns=columns)


def csv_text(table: pd.DataFrame) -> str:
    """The leaderboard as CSV; numbers with six significant digits, nothing where there is none."""
    return str(table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def _summary(rows: Rows, names: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in names:
        found[name] = rows.mean(name)
        found[f"{name}_sd"] = float(rows[name].std(ddof=1)) if len(rows) > 1 else math.nan
    return found


def _place(scores: Scores, entry: Entry) -> tuple[Any, ...]:
    """Declared order of families and strategies; what is chosen among all comes after them."""
    families, strategies = [*scores.run["families"]], [*scores.run["strategies"]]
    family = families.index(entry.family) if entry.family in families else len(families)
    strategy = strategies.index(entry.strategy) if entry.strategy in strategies else len(strategies)
    return family, strategy, STAGES.index(entry.stage), entry
