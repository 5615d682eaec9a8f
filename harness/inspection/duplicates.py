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
    y, row_count = rows.table.y, len(rows.table.y)
    _, first_rows, row_keys = np.unique(hash_rows(rows.table.X), return_index=True, return_inverse=True)
    is_repeated = np.ones(row_count, dtype=bool)
    is_repeated[first_rows] = False
    repeated_count = int(is_repeated.sum())
    if not repeated_count:
        return
    repeated_share = repeated_count / row_count
    crossing_rows = _count_train_test_duplicates(row_keys, rows.folds)
    message = f"{repeated_count:,} rows ({repeated_share:.1%}) repeat the features of an earlier row"
    finding_advice = "splits keep equal rows on one side; remove them if they are copies of one case"
    finding_severity: Severity = "note"
    if crossing_rows:
        message += f"; {crossing_rows:,} test rows have an equal training row"
        finding_advice = "their classes are known when they are predicted; remove the copies unless they are new cases"
        finding_severity = "warning"
    elif repeated_share >= MANY_DUPLICATES and _has_continuous_columns(rows):
        finding_severity = "warning"
    example_rows = tuple(np.flatnonzero(is_repeated)[:MAX_EXAMPLES].tolist())
    yield Finding("duplicates", finding_severity, message, "", repeated_count, finding_advice, example_rows)
    yield from _find_conflicting_labels(y, row_keys)


def _count_train_test_duplicates(row_keys: Index, folds: Sequence[Fold]) -> int:
    """How many test rows have the features of a training row of the same split."""
    crossing_rows = 0
    for fold in folds:
        crossing_rows += int(np.isin(row_keys[fold.test], row_keys[fold.train]).sum())
    return crossing_rows


def _find_conflicting_labels(y: Index, row_keys: Index) -> Iterator[Finding]:
    lowest_labels, highest_labels = np.full(row_keys.max() + 1, y.max() + 1), np.full(row_keys.max() + 1, -1)
    np.minimum.at(lowest_labels, row_keys, y)
    np.maximum.at(highest_labels, row_keys, y)
    conflicting_rows = np.flatnonzero((lowest_labels < highest_labels)[row_keys])
    if len(conflicting_rows):
        message = f"{len(conflicting_rows):,} rows ({len(conflicting_rows) / len(y):.1%}) have equal features and different labels"
        finding_advice = "no model can separate them: look for a feature that is missing, or for wrong labels"
        example_rows = tuple(conflicting_rows[:MAX_EXAMPLES].tolist())
        yield Finding("conflicting_labels", "note", message, "", len(conflicting_rows), finding_advice, example_rows)


def check_near_duplicates(rows: InspectedRows, neighbors: Neighbors | None) -> Iterator[Finding]:
    """Find sampled rows that are unequal, but far closer to another row than rows usually are.

    The limit is a share of the median distance to the nearest row, as in cleanlab's check of near duplicates, but a smaller
    one: only tables with several continuous numbers are checked, in which chance does not bring rows that close.
    """
    if neighbors is None or _count_continuous_columns(rows) < MIN_NEAR_NUMBERS:
        return
    distances, nearest_rows = neighbors.distances[:, 0], neighbors.rows[:, 0]
    median = float(np.median(distances))
    is_equal = rows.splitter.blocks[rows.sample] == rows.splitter.blocks[rows.sample][nearest_rows]
    near_duplicates = np.flatnonzero((distances < NEAR_SHARE * median) & (median > 0) & ~is_equal)
    if not len(near_duplicates):
        return
    is_conflict = rows.y[near_duplicates] != rows.y[nearest_rows[near_duplicates]]
    crossing_rows = _count_near_duplicate_leaks(rows, near_duplicates, nearest_rows[near_duplicates])
    duplicate_share = len(near_duplicates) / len(rows.y)
    message = f"{len(near_duplicates):,} of {len(rows.y):,} rows that were compared nearly equal another row"
    if is_conflict.any():
        message += f", {int(is_conflict.sum()):,} of them with another label"
    if crossing_rows:
        message += f"; {crossing_rows:,} are in the test part of a split whose training part has their counterpart"
    finding_advice = "if they describe one case, name what they share: --group COLUMN, or remove the copies"
    example_rows = tuple(rows.sample[near_duplicates][:MAX_EXAMPLES].tolist())
    finding_severity: Severity = "warning" if duplicate_share >= MANY_NEAR else "note"
    yield Finding("near_duplicates", finding_severity, message, "", len(near_duplicates), finding_advice, example_rows)


def _count_near_duplicate_leaks(rows: InspectedRows, near_duplicates: Index, counterpart_rows: Index) -> int:
    """How many rows are tested in a first-repeat split that trains on their counterpart."""
    part_of_row = np.full(len(rows.table.y), -1)
    for fold in rows.folds:
        if fold.repeat == 0:
            part_of_row[fold.test] = fold.fold
    duplicate_parts, counterpart_parts = (
        part_of_row[rows.sample[near_duplicates]],
        part_of_row[rows.sample[counterpart_rows]],
    )
    return int(((duplicate_parts >= 0) & (duplicate_parts != counterpart_parts)).sum())


def check_large_blocks(rows: InspectedRows) -> Iterator[Finding]:
    """Find blocks of equal or grouped rows that fill a large part of a fold."""
    sizes = np.bincount(rows.splitter.blocks)
    largest_block, row_count = int(sizes.max()), len(rows.table.y)
    if rows.table.has_predefined_split or rows.table.time is not None or largest_block <= 1:
        return
    if largest_block < LARGE_BLOCK * row_count / rows.protocol.folds:
        return
    block_kind = "equal features" if rows.table.groups is None else "equal features or one group"
    message = f"{largest_block:,} rows ({largest_block / row_count:.0%}) have {block_kind} and are always on one side of a split"
    finding_advice = (
        "folds differ in size and difficulty: use fewer --folds, or add a feature that separates these rows"
    )
    example_rows = tuple(np.flatnonzero(rows.splitter.blocks == sizes.argmax())[:MAX_EXAMPLES].tolist())
    yield Finding("large_block", "warning", message, "", largest_block, finding_advice, example_rows)


def _has_continuous_columns(rows: InspectedRows) -> bool:
    return _count_continuous_columns(rows) >= MIN_NEAR_NUMBERS


def _count_continuous_columns(rows: InspectedRows) -> int:
    """How many numeric columns have so many values that equal ones are no chance."""
    if not hasattr(rows.table.X, "columns"):
        return 0
    numeric_columns = rows.X.select_dtypes("number")
    return int((numeric_columns.nunique() >= len(rows.y) / 5).sum())
