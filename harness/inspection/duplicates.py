"""Rows that repeat others: equal rows, nearly equal rows, and large blocks of equal or grouped rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.data.splits import Fold
from harness.data.table import hash_rows
from harness.findings import Finding, Severity
from harness.inspection.neighbors import Neighbors
from harness.inspection.quick_model import Index
from harness.inspection.rows import InspectedRows

MAX_EXAMPLES = 5
MANY_DUPLICATES = 0.05
MANY_NEAR = 0.01
LARGE_BLOCK = 0.5  #: of the rows of a fold
NEAR_SHARE = 0.05  #: of the median distance to the nearest row
MIN_NEAR_NUMBERS = 4  #: with fewer columns of continuous numbers, rows are close by chance


def check_equal_rows(rows: InspectedRows) -> Iterator[Finding]:
    """Find rows with the features of an earlier row, those among them with another class, and those in both parts of a split."""
    y, n_rows = rows.table.y, len(rows.table.y)
    _, first, keys = np.unique(hash_rows(rows.table.X), return_index=True, return_inverse=True)
    is_repeated = np.ones(n_rows, dtype=bool)
    is_repeated[first] = False
    repeated = int(is_repeated.sum())
    if not repeated:
        return
    share = repeated / n_rows
    crossing = _count_train_test_duplicates(keys, rows.folds)
    message = f"{repeated:,} rows ({share:.1%}) repeat the features of an earlier row"
    advice = "splits keep equal rows on one side; remove them if they are copies of one case"
    severity: Severity = "note"
    if crossing:
        message += f"; {crossing:,} test rows have an equal training row"
        advice = "their classes are known when they are predicted; remove the copies unless they are new cases"
        severity = "warning"
    elif share >= MANY_DUPLICATES and _has_continuous_columns(rows):
        severity = "warning"
    examples = tuple(np.flatnonzero(is_repeated)[:MAX_EXAMPLES].tolist())
    yield Finding("duplicates", severity, message, "", repeated, advice, examples)
    yield from _find_conflicting_labels(y, keys)


def _count_train_test_duplicates(keys: Index, folds: Sequence[Fold]) -> int:
    """How many test rows have the features of a training row of the same split."""
    crossing = 0
    for fold in folds:
        crossing += int(np.isin(keys[fold.test], keys[fold.train]).sum())
    return crossing


def _find_conflicting_labels(y: Index, keys: Index) -> Iterator[Finding]:
    lowest, highest = np.full(keys.max() + 1, y.max() + 1), np.full(keys.max() + 1, -1)
    np.minimum.at(lowest, keys, y)
    np.maximum.at(highest, keys, y)
    conflicting = np.flatnonzero((lowest < highest)[keys])
    if len(conflicting):
        message = (
            f"{len(conflicting):,} rows ({len(conflicting) / len(y):.1%}) have equal features and different labels"
        )
        advice = "no model can separate them: look for a feature that is missing, or for wrong labels"
        examples = tuple(conflicting[:MAX_EXAMPLES].tolist())
        yield Finding("conflicting_labels", "note", message, "", len(conflicting), advice, examples)


def check_near_duplicates(rows: InspectedRows, neighbors: Neighbors | None) -> Iterator[Finding]:
    """Find sampled rows that are unequal, but far closer to another row than rows usually are.

    The limit is a share of the median distance to the nearest row, as in cleanlab's check of near duplicates, but a smaller
    one: only tables with several continuous numbers are checked, in which chance does not bring rows that close.
    """
    if neighbors is None or _count_continuous_columns(rows) < MIN_NEAR_NUMBERS:
        return
    distances, nearest = neighbors.distances[:, 0], neighbors.rows[:, 0]
    median = float(np.median(distances))
    is_equal = rows.splitter.blocks[rows.sample] == rows.splitter.blocks[rows.sample][nearest]
    near = np.flatnonzero((distances < NEAR_SHARE * median) & (median > 0) & ~is_equal)
    if not len(near):
        return
    is_conflict = rows.y[near] != rows.y[nearest[near]]
    crossing = _count_near_duplicate_leaks(rows, near, nearest[near])
    share = len(near) / len(rows.y)
    message = f"{len(near):,} of {len(rows.y):,} rows that were compared nearly equal another row"
    if is_conflict.any():
        message += f", {int(is_conflict.sum()):,} of them with another label"
    if crossing:
        message += f"; {crossing:,} are in the test part of a split whose training part has their counterpart"
    advice = "if they describe one case, name what they share: --group COLUMN, or remove the copies"
    examples = tuple(rows.sample[near][:MAX_EXAMPLES].tolist())
    severity: Severity = "warning" if share >= MANY_NEAR else "note"
    yield Finding("near_duplicates", severity, message, "", len(near), advice, examples)


def _count_near_duplicate_leaks(rows: InspectedRows, near: Index, counterparts: Index) -> int:
    """How many rows are tested in a first-repeat split that trains on their counterpart."""
    part = np.full(len(rows.table.y), -1)
    for fold in rows.folds:
        if fold.repeat == 0:
            part[fold.test] = fold.fold
    first, second = part[rows.sample[near]], part[rows.sample[counterparts]]
    return int(((first >= 0) & (first != second)).sum())


def check_large_blocks(rows: InspectedRows) -> Iterator[Finding]:
    """Find blocks of equal or grouped rows that fill a large part of a fold."""
    sizes = np.bincount(rows.splitter.blocks)
    largest, n_rows = int(sizes.max()), len(rows.table.y)
    if rows.table.has_predefined_split or rows.table.time is not None or largest <= 1:
        return
    if largest < LARGE_BLOCK * n_rows / rows.protocol.folds:
        return
    kind = "equal features" if rows.table.groups is None else "equal features or one group"
    message = f"{largest:,} rows ({largest / n_rows:.0%}) have {kind} and are always on one side of a split"
    advice = "folds differ in size and difficulty: use fewer --folds, or add a feature that separates these rows"
    examples = tuple(np.flatnonzero(rows.splitter.blocks == sizes.argmax())[:MAX_EXAMPLES].tolist())
    yield Finding("large_block", "warning", message, "", largest, advice, examples)


def _has_continuous_columns(rows: InspectedRows) -> bool:
    return _count_continuous_columns(rows) >= MIN_NEAR_NUMBERS


def _count_continuous_columns(rows: InspectedRows) -> int:
    """How many numeric columns have so many values that equal ones are no chance."""
    if not hasattr(rows.table.X, "columns"):
        return 0
    numbers = rows.X.select_dtypes("number")
    return int((numbers.nunique() >= len(rows.y) / 5).sum())
