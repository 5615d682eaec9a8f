"""Permutation importance of columns: what the metric loses on sealed rows when the values of a column are shuffled.

The importances of the recommended entry are measured once per run, by refits of its configuration on the training rows of every
outer fold, and stored under `<run>/derived/importances.json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.evaluation.corrected_t import estimate
from harness.metrics.metric import Metric, Predictions
from harness.store.files import json_bytes, write_atomic
from harness.store.store import Store

REPEATS = 5  #: times that a column is shuffled in each fold
FILE_NAME = "importances.json"


@dataclass(frozen=True)
class ColumnLoss:
    """What the metric loses without a column: the mean over the folds with its 95 % interval, NaN where there is none."""

    column: str
    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class TaskImportances:
    """The importances of the columns of a task for one entry, the largest loss first.

    `key` says which stored predictions they belong to: those of another key are out of date.
    """

    task: str
    entry: str
    key: str
    metric: str
    folds: int
    columns: tuple[ColumnLoss, ...]


def permutation_losses(
    predict_proba: Callable[[pd.DataFrame], npt.ArrayLike],
    X: pd.DataFrame,
    y: npt.NDArray[np.int64],
    metric: Metric,
    units: Sequence[tuple[str, ...]],
    seed: int,
) -> list[float]:
    """Measure how far a metric falls when the values of columns are shuffled among the rows.

    Parameters
    ----------
    predict_proba : callable
        Gives the probabilities (n, k) of rows.
    X : DataFrame of n rows
        The rows.
    y : ndarray of int of shape (n,)
        Their classes.
    metric : Metric
        Computed from classes and probabilities, decisions at 0.5.
    units : sequence of tuple of str
        Columns that are shuffled together.
    seed : int
        Seed of the shuffling.

    Returns
    -------
    list of float
        The mean fall over five repeats, in units of the metric; positive is worse for metrics of which greater is better.

    References
    ----------
    Breiman (2001), Random forests.
    """
    rng, rows = np.random.default_rng(seed), np.arange(len(y))
    baseline = metric.compute(Predictions(y, np.asarray(predict_proba(X))))
    # The same permutations for every unit: their noise cancels in comparisons.
    shuffled = np.concatenate([rng.permutation(rows) for _ in range(REPEATS)])
    original = np.tile(rows, REPEATS)
    repeated = X.iloc[original].reset_index(drop=True)
    losses = []
    for columns in units:
        for name in columns:
            repeated[name] = X[name].array.take(shuffled)
        falls = []
        for proba in np.split(np.asarray(predict_proba(repeated)), REPEATS):
            falls.append(baseline - metric.compute(Predictions(y, proba)))
        losses.append(float(np.mean(falls)))
        for name in columns:
            repeated[name] = X[name].array.take(original)
    return losses


def summarize_losses(columns: Sequence[str], losses: npt.NDArray[np.float64], ratio: float) -> tuple[ColumnLoss, ...]:
    """Average the losses of every column over the folds.

    Parameters
    ----------
    columns : sequence of str
        The columns.
    losses : ndarray of shape (folds, columns)
        Losses, positive is worse.
    ratio : float
        n_test/n_train of the folds, for the interval.

    Returns
    -------
    tuple of ColumnLoss
        The largest loss first.
    """
    summaries = []
    for column, fold_losses in zip(columns, losses.T, strict=True):
        mean = estimate(fold_losses, ratio)
        summaries.append(ColumnLoss(column, mean.mean, mean.low, mean.high))
    return tuple(sorted(summaries, key=lambda summary: -summary.loss))


def write_importances(store: Store, importances: Mapping[str, TaskImportances]) -> None:
    """Store the importances of the tasks of a run, by task."""
    plain = {}
    for task, task_importances in importances.items():
        plain[task] = _without_nan(asdict(task_importances))
    write_atomic(store.folder / "derived" / FILE_NAME, json_bytes(plain))


def read_importances(store: Store) -> dict[str, TaskImportances]:
    """Read the stored importances by task; empty where there are none, or the file is damaged."""
    try:
        plain = json.loads((store.folder / "derived" / FILE_NAME).read_text(encoding="utf-8"))
        importances = {}
        for task, fields in plain.items():
            columns = [ColumnLoss(**_with_nan(column)) for column in fields["columns"]]
            importances[task] = TaskImportances(**(fields | {"columns": tuple(columns)}))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # measured again by the next run
    return importances


def _without_nan(node: Any) -> Any:
    """The same plain values with None in place of NaN, which JSON does not have."""
    if isinstance(node, dict):
        return {key: _without_nan(child) for key, child in node.items()}
    if isinstance(node, list | tuple):
        return list(map(_without_nan, node))
    return None if isinstance(node, float) and math.isnan(node) else node


def _with_nan(column: Mapping[str, Any]) -> dict[str, Any]:
    return {name: math.nan if entry is None else entry for name, entry in column.items()}
