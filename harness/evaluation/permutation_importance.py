"""Permutation importance of columns: what the metric loses on sealed rows when the values of a column are shuffled.

The losses of the recommended entry are measured once per run, by refits of its configuration on the training rows of every outer
fold (`harness.execution.importances`), and stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.evaluation.corrected_t import estimate_mean_with_interval
from harness.store.importances import TaskImportances


@dataclass(frozen=True)
class ColumnLoss:
    """What the metric loses without a column: the mean over the folds with its 95 % interval, NaN where there is none."""

    column: str
    loss: float
    low: float
    high: float


def average_column_losses(importances: TaskImportances) -> tuple[ColumnLoss, ...]:
    """Average the losses of every column over the folds.

    Parameters
    ----------
    importances : TaskImportances
        Losses per fold.

    Returns
    -------
    tuple of ColumnLoss
        The largest loss first.

    References
    ----------
    Breiman (2001), Random forests, Machine Learning 45.
    """
    summaries = []
    for column, fold_losses in zip(importances.columns, np.array(importances.losses).T, strict=True):
        mean_loss = estimate_mean_with_interval(fold_losses, importances.ratio)
        summaries.append(ColumnLoss(column, mean_loss.mean, mean_loss.low, mean_loss.high))
    return tuple(sorted(summaries, key=lambda summary: -summary.loss))
