"""Audit of a table before anything is trained on it: one function per kind of finding, each with a code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.data.table import hash_rows
from harness.findings import Finding
from harness.registry.task import Table

if TYPE_CHECKING:
    import pandas as pd

MIN_CLASS_ROWS = 50  #: with fewer rows of a class, differences between folds are mostly chance
LEAKY_AUC = 0.99
MAX_LEVELS = 50
CONSTANT_SHARE = 0.999


def audit_table(table: Table) -> tuple[Finding, ...]:
    """Check a table.

    Parameters
    ----------
    table : Table
        All rows of a task; of texts and images only `ROW_CHECKS` apply.

    Returns
    -------
    tuple of Finding
        The findings in the order of the checks.
    """
    table_checks = CHECKS if hasattr(table.X, "columns") else ROW_CHECKS
    findings: list[Finding] = []
    for table_check in table_checks:
        findings += table_check(table)
    return tuple(findings)


def check_few_positives(table: Table) -> Iterator[Finding]:
    """Find classes with so few rows that a fold has only a handful."""
    counts = np.bincount(table.y, minlength=len(table.classes))
    for name, count in zip(table.classes, counts, strict=True):
        if count < MIN_CLASS_ROWS:
            message = f"class {name!r} has {count} of {len(table.y)} rows: scores vary much from fold to fold"
            yield Finding("few_positives", "warning", message, rows=int(count))


def check_duplicates(table: Table) -> Iterator[Finding]:
    """Find rows with the features of an earlier row."""
    if repeated_rows := len(table.y) - len(np.unique(hash_rows(table.X))):
        repeated_share = repeated_rows / len(table.y)
        consequence_text = "splits keep such rows on one side"
        if table.time is not None:
            consequence_text = "with a time column they may stand on both sides: what was seen before is known by then"
        message = f"rows that repeat an earlier row: {repeated_rows} ({repeated_share:.1%}); {consequence_text}"
        yield Finding("duplicates", "note", message, rows=repeated_rows)


def check_conflicting_labels(table: Table) -> Iterator[Finding]:
    """Find rows with equal features and different labels, which no classifier can separate."""
    import pandas as pd

    labels = pd.Series(table.y).groupby(hash_rows(table.X)).transform("nunique")
    if conflicting_rows := int((labels > 1).sum()):
        message = (
            f"rows with equal features and different labels: {conflicting_rows} ({conflicting_rows / len(table.y):.1%})"
        )
        yield Finding("conflicting_labels", "note", message, rows=conflicting_rows)


def check_leaky_columns(table: Table) -> Iterator[Finding]:
    """Find columns that nearly determine the class: often they are known only after the event."""
    for name, column in table.X.items():
        column_auc = _single_column_auc(column, table.y, len(table.classes))
        if column_auc >= LEAKY_AUC:
            message = (
                f"column {name!r} alone tells the classes apart (ROC AUC {column_auc:.3f}): is it known beforehand?"
            )
            yield Finding("leaky_column", "warning", message, column=str(name))


def check_identifiers(table: Table) -> Iterator[Finding]:
    """Find whole numbers that differ in every row: a quantity, or an identifier that should be dropped."""
    for name, column in table.X.drop(columns=list(table.dates)).select_dtypes("number").items():
        is_complete = len(column) > 1 and column.notna().all()
        if is_complete and column.is_unique and bool((column % 1 == 0).all()):
            message = f"column {name!r} has a different whole number in every row: if it is an identifier, drop it"
            yield Finding("id_like", "warning", message, column=str(name))


def check_constant_columns(table: Table) -> Iterator[Finding]:
    """Find columns with one value in nearly all rows."""
    for name, column in table.X.items():
        count = int(column.value_counts(dropna=False).iloc[0])
        constant_share = count / len(column)
        if constant_share >= CONSTANT_SHARE:
            message = f"column {name!r} has one value in {constant_share:.2%} of the rows"
            yield Finding("constant", "note", message, column=str(name), rows=count)


def check_high_cardinality(table: Table) -> Iterator[Finding]:
    """Find categories with many levels, most of them rare."""
    for name, column in table.X.select_dtypes("category").items():
        n_levels = len(column.cat.categories)
        if n_levels > MAX_LEVELS:
            message = f"category {name!r} has {n_levels} levels: rare ones are merged or target-encoded"
            yield Finding("high_cardinality", "note", message, column=str(name))


def check_missing_values(table: Table) -> Iterator[Finding]:
    """Find columns with missing values."""
    for name, column in table.X.items():
        count = int(column.isna().sum())
        if count:
            message = f"column {name!r} is missing in {count / len(column):.1%} of the rows"
            yield Finding("missing", "note", message, column=str(name), rows=count)


#: Checks of rows, whatever their features are, and checks of tables.
ROW_CHECKS = (check_few_positives, check_conflicting_labels, check_duplicates)
CHECKS = (
    check_few_positives,
    check_leaky_columns,
    check_identifiers,
    check_conflicting_labels,
    check_duplicates,
    check_constant_columns,
    check_high_cardinality,
    check_missing_values,
)


def _single_column_auc(column: pd.Series, y: npt.NDArray[np.int64], n_classes: int) -> float:
    """ROC AUC of a column as the score of a class against the rest, averaged over classes; at least 0.5 for each.

    The score of a level of a category is the share of the class in it, counted in the other half of the rows: counted in the
    same rows, a level of a single row would seem to determine its class.
    """
    from scipy.stats import rankdata

    is_category = column.dtype == "category"
    if is_category:
        level_codes = column.cat.codes.to_numpy().astype(np.int64) + 1
    else:
        ranks = rankdata(column.fillna(-np.inf).to_numpy())
    areas_by_class = []
    labels = range(n_classes)
    if n_classes == 2:
        labels = range(1, 2)
    for label in labels:
        is_in_class = y == label
        if is_category:
            ranks = rankdata(_class_shares_of_levels(level_codes, is_in_class))
        n_in_class = int(is_in_class.sum())
        rank_sum = ranks[is_in_class].sum() - n_in_class * (n_in_class + 1) / 2
        class_area = rank_sum / (n_in_class * (len(y) - n_in_class))
        areas_by_class.append(max(class_area, 1 - class_area))
    return float(np.mean(areas_by_class))


def _class_shares_of_levels(
    level_codes: npt.NDArray[np.int64], is_in_class: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Share of a class in the level of each row, counted in the half of the rows to which the row does not belong."""
    is_odd = np.arange(len(level_codes)) % 2 == 1
    n_levels = int(level_codes.max()) + 1
    class_shares = np.empty(len(level_codes))
    for is_in_half in (is_odd, ~is_odd):
        counts = np.bincount(level_codes[~is_in_half], minlength=n_levels)
        class_counts = np.bincount(level_codes[~is_in_half], weights=is_in_class[~is_in_half], minlength=n_levels)
        prior = is_in_class[~is_in_half].mean()
        class_shares[is_in_half] = ((class_counts + prior) / (counts + 1))[level_codes[is_in_half]]
    return class_shares
