"""Weights of rows in fits: those of the table, those of a strategy, and their product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.preprocessing.tabular import PreparedRows
from harness.registry.strategy import Strategy

Labels: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Costs: TypeAlias = tuple[tuple[float, ...], ...] | None

#: Rows that stand for the weighted class counts where these are no whole numbers, or too many.
SURROGATE_ROWS, MAX_WHOLE_ROWS = 1_000_000, 10_000_000

#: Copies of a row, on average, where weights are no whole numbers; the most where they are.
COPIES_PER_ROW, MAX_COPIES_PER_ROW = 4.0, 10.0


def compute_fit_weights(
    strategy: Strategy, params: Mapping[str, Any], y: Labels, costs: Costs, row_weights: Floats | None
) -> Floats | None:
    """Compute the weights that a classifier is fitted with.

    Parameters
    ----------
    strategy : Strategy
        A strategy of kind ``"weight"`` weights the rows by their class; others do not weight them.
    params : mapping
        Parameters of the strategy.
    y : array of shape (n_rows,), int
        Labels of the rows that are fitted.
    costs : tuple of tuple of float or None
        The costs of the task.
    row_weights : array of shape (n_rows,) or None
        Weights of the rows in the table.

    Returns
    -------
    array of shape (n_rows,) or None
        The product of both; None where neither weights rows.
    """
    if strategy.kind != "weight":
        return row_weights
    assert strategy.build is not None  # noqa: S101 -- checked where strategies are declared
    if row_weights is None:
        return np.asarray(strategy.build(y, costs, **params), dtype=np.float64)
    labels = _labels_in_weighted_shares(y, row_weights)
    weights = np.asarray(strategy.build(labels, costs, **params), dtype=np.float64)
    classes, first = np.unique(labels, return_index=True)
    class_weights = np.zeros(int(y.max()) + 1)
    class_weights[classes] = weights[first]
    return class_weights[y] * row_weights


def expand_weighted_rows(weights: Floats) -> tuple[Labels, Floats]:
    """Repeat rows as often as their weights say, for strategies that draw rows and count them.

    Parameters
    ----------
    weights : array of shape (n_rows,)
        Weights of the rows, above 0.

    Returns
    -------
    positions : array of shape (n_copies,), int
        The row of each copy, ascending. Whole weights are numbers of copies; others, and weights with a high mean, are
        scaled to `COPIES_PER_ROW` on average, and rounded.
    copy_weights : array of shape (n_copies,)
        The weight of a row, divided among its copies.
    """
    copies = np.rint(weights)
    is_whole = bool((copies == weights).all())
    if not is_whole or weights.mean() > MAX_COPIES_PER_ROW:
        copies = np.maximum(np.rint(weights * (COPIES_PER_ROW / weights.mean())), 1)
    positions = np.repeat(np.arange(len(weights)), copies.astype(np.int64))
    return positions, (weights / copies)[positions]


def repeat_weighted_rows(strategy: Strategy, rows: PreparedRows, y: Labels) -> tuple[PreparedRows, Labels]:
    """Repeat rows by their weights for a strategy that counts rows; the same rows for another, or without weights."""
    if rows.weights is None or not strategy.counts_rows:
        return rows, y
    copies, weights = expand_weighted_rows(rows.weights)
    return replace(rows.take(copies), weights=weights), y[copies]


def count_rows_per_class(y: Labels, weights: Floats | None, classes: int) -> list[float]:
    """Count the rows of each class, or add their weights."""
    counts: list[float] = np.bincount(y, weights=weights, minlength=classes).tolist()
    return counts


def _labels_in_weighted_shares(y: Labels, row_weights: Floats) -> Labels:
    """Labels of as many rows as the weights stand for: a strategy counts classes by their rows and knows no weights.

    Where the sums of weights are whole numbers, class weights are exactly those of repeated rows.
    """
    counts = np.bincount(y, weights=row_weights)
    whole = np.rint(counts)
    if counts.sum() > MAX_WHOLE_ROWS or np.abs(counts - whole).max() > 1e-9 * counts.sum():
        whole = np.rint(counts / counts.sum() * SURROGATE_ROWS)
        whole = np.where(counts > 0, np.maximum(whole, 1), 0)
    return np.repeat(np.arange(len(counts)), whole.astype(np.int64))
