"""The order of the rows: whether position and identifiers predict the class, and drift from the first to the last rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from harness.data.reader import column_to_text
from harness.findings import Finding, Severity
from harness.inspection.quick_model import (
    COLUMN_BINS,
    Index,
    predict_by_code_shares,
    roc_auc_standard_error,
    score_probabilities,
)
from harness.inspection.rows import InspectedRows

MIN_ROWS = 200
MIN_AUC = 0.55
SORTED_AUC = 0.97
MIN_ERRORS = 6.0  #: standard errors between a ROC AUC and 0.5
MIN_DRIFT = 0.1  #: Kolmogorov's distance, or half the sum of differences of shares
LARGE_DRIFT = 0.3
MAX_P_VALUE = 1e-6
MAX_NAMES = 3


def class_shares_by_position(y: Index, n_classes: int, parts: int = 20) -> tuple[tuple[float, ...], ...]:
    """Share of every class in equal parts of the file, from its first to its last row."""
    class_shares = []
    for part_labels in np.array_split(y, min(parts, max(1, len(y) // 5))):
        class_shares.append(tuple((np.bincount(part_labels, minlength=n_classes) / len(part_labels)).tolist()))
    return tuple(class_shares)


def check_row_order(rows: InspectedRows) -> Iterator[Finding]:
    """Find out whether the position of a row in the file predicts its class."""
    if rows.table.time is not None or rows.sample_folds is None or len(rows.y) < MIN_ROWS:
        return
    auc = _auc_of_row_order(rows, rows.sample.astype(np.float64))
    if auc >= SORTED_AUC:
        message = f"the rows are sorted by class (ROC AUC of the position {auc:.3f})"
        finding_advice = (
            "splits are drawn at random, so that scores are not affected; never cut such a file into training and test"
        )
        yield Finding("sorted_rows", "note", message, advice=finding_advice)
    elif _is_order_predictive(auc, rows.y):
        message = f"the position of a row in the file predicts its class (ROC AUC {auc:.3f}): shares of classes change along the file"
        finding_advice = (
            "if the rows are in order of time, random splits let a model learn from the future: name the column of time with "
            "--time, or add a column with the position"
        )
        yield Finding("row_order", "warning", message, advice=finding_advice)


def check_identifiers(rows: InspectedRows) -> Iterator[Finding]:
    """Find identifiers among the features, and identifiers whose order predicts the class."""
    if rows.raw is None:
        return
    omitted_columns = {finding.column for finding in rows.table.notes if finding.code == "omitted_identifier"}
    for name in [*sorted(omitted_columns), *columns_of_distinct_numbers(rows)]:
        auc = 0.5
        if rows.sample_folds is not None and len(rows.y) >= MIN_ROWS:
            auc = _auc_of_row_order(rows, _identifiers_to_numbers(rows.raw[name])[rows.sample])
        predicts_class = _is_order_predictive(auc, rows.y)
        if name not in omitted_columns:
            message = f"column {name!r} has a different whole number in every row"
            if predicts_class:
                message += f", which predicts the class (ROC AUC {auc:.3f} alone)"
            yield Finding("id_like", "warning", message, name, advice=f"if it is an identifier, drop it: --drop {name}")
        elif predicts_class:
            message = f"identifier {name!r} is left out, but its order predicts the class (ROC AUC {auc:.3f})"
            finding_advice = "identifiers are given in order of time or by outcome: look for drift, and consider --time"
            yield Finding("predictive_identifier", "note", message, name, advice=finding_advice)


def columns_of_distinct_numbers(rows: InspectedRows) -> list[str]:
    """Names of numeric features that have a different whole number in every row."""
    names = []
    for name, column in rows.table.X.drop(columns=list(rows.table.dates)).select_dtypes("number").items():
        if _is_identifier_column(column):
            names.append(str(name))
    return names


def _is_identifier_column(column: pd.Series) -> bool:
    """Whether a column has a different whole number in every row."""
    if column.dtype == "category" or len(column) < 2 or column.isna().any():
        return False
    return column.is_unique and bool((column % 1 == 0).all())


def _identifiers_to_numbers(column: pd.Series) -> npt.NDArray[np.float64]:
    """Digits of identifiers as numbers; ranks of their texts where these have no digits."""
    text = column_to_text(column).fillna("")
    digits = pd.to_numeric(text.str.replace(r"\D", "", regex=True).str[:15], errors="coerce")
    if digits.notna().mean() > 0.9:
        return np.asarray(digits, dtype=np.float64)
    return np.asarray(text.rank(), dtype=np.float64)


def _auc_of_row_order(rows: InspectedRows, row_order: npt.NDArray[np.float64]) -> float:
    """ROC AUC, out of fold, of shares of classes in equal parts of an order."""
    assert rows.sample_folds is not None  # noqa: S101 -- the callers have checked it
    bins = min(COLUMN_BINS, max(2, int(np.bincount(rows.y).min() // 10)))
    order_bins = (stats.rankdata(row_order, nan_policy="omit") - 1) / len(row_order) * bins
    order_bins = np.where(np.isfinite(order_bins), np.minimum(order_bins, bins - 1) + 1, 0).astype(np.int64)
    return score_probabilities(rows.y, predict_by_code_shares(order_bins, rows.y, rows.sample_folds)).auc


def _is_order_predictive(auc: float, y: Index) -> bool:
    rarest_class_rows = int(np.bincount(y).min())
    return auc >= MIN_AUC and auc - 0.5 > MIN_ERRORS * roc_auc_standard_error(
        0.5, rarest_class_rows, len(y) - rarest_class_rows
    )


@dataclass(frozen=True)
class ColumnDrift:
    """Distance between the distributions of a column in the first and in the last third of the rows, and its p value."""

    name: str
    distance: float
    p_value: float


def measure_column_drifts(X: pd.DataFrame, dates: tuple[str, ...] = ()) -> list[ColumnDrift]:
    """Compare the first with the last third of the rows column by column, the most different first; dates are left out."""
    third_of_rows = len(X) // 3
    column_drifts = []
    for name, column in X.items():
        if name in dates or _is_identifier_column(column):
            continue
        column_drifts.append(
            _compare_distributions(str(name), column.iloc[:third_of_rows], column.iloc[-third_of_rows:])
        )
    return sorted(column_drifts, key=lambda drift: (-drift.distance, drift.name))


def _compare_distributions(name: str, first_rows: pd.Series, last_rows: pd.Series) -> ColumnDrift:
    if first_rows.dtype == "category":
        level_count = len(first_rows.cat.categories) + 1
        level_counts = [
            np.bincount(part_column.cat.codes.to_numpy() + 1, minlength=level_count)
            for part_column in (first_rows, last_rows)
        ]
        table = np.array(level_counts)[:, np.sum(level_counts, axis=0) > 0]
        distance = float(np.abs(np.diff(table / table.sum(axis=1, keepdims=True), axis=0)).sum() / 2)
        p_value = float(stats.chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0
        # Of many rare levels, shares differ by chance.
        expected_distance = float(
            np.sqrt(2 / np.pi * table.mean(axis=0) / len(first_rows)).sum() / np.sqrt(len(first_rows)) / 2
        )
        return ColumnDrift(name, max(0.0, distance - expected_distance), p_value)
    known_first, known_last = first_rows.dropna().to_numpy(), last_rows.dropna().to_numpy()
    if not len(known_first) or not len(known_last):
        return ColumnDrift(name, abs(float(first_rows.isna().mean() - last_rows.isna().mean())), 0.0)
    ks_test = stats.ks_2samp(known_first, known_last, method="asymp")
    return ColumnDrift(name, float(ks_test.statistic), float(ks_test.pvalue))


def check_drift(rows: InspectedRows, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """Find columns whose distribution differs between the first and the last rows of the file.

    Nothing is said of rows that are sorted by class: all that depends on the class differs there.
    """
    if len(rows.y) < MIN_ROWS or any(finding.code == "sorted_rows" for finding in earlier):
        return
    max_p_value = MAX_P_VALUE / max(1, rows.X.shape[1])
    column_drifts = []
    for column_drift in measure_column_drifts(rows.X, rows.table.dates):
        if column_drift.distance >= MIN_DRIFT and column_drift.p_value < max_p_value:
            column_drifts.append(column_drift)
    if column_drifts:
        finding_severity: Severity = "warning" if column_drifts[0].distance >= LARGE_DRIFT else "note"
        finding_advice = (
            "if the rows are in order of time, new rows will differ again: use --time, which tests on later rows"
        )
        yield Finding(
            "drift",
            finding_severity,
            _describe_drifts(column_drifts, rows.X.shape[1]),
            column_drifts[0].name,
            advice=finding_advice,
        )


def _describe_drifts(column_drifts: Sequence[ColumnDrift], n_columns: int) -> str:
    names = []
    for column_drift in column_drifts[:MAX_NAMES]:
        names.append(f"{column_drift.name!r} ({column_drift.distance:.2f})")
    message = f"{len(column_drifts)} of {n_columns} columns differ between the first and the last third of the rows: {', '.join(names)}"
    if len(column_drifts) > MAX_NAMES:
        message += f" and {len(column_drifts) - MAX_NAMES} more"
    return message
