"""Columns that give the answer away: copies of the target, and columns that carry most of the score of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from harness.findings import Finding, Severity
from harness.inspection.quick_model import (
    Index,
    ModelScore,
    levels_to_codes,
    predict_by_column,
    predict_out_of_fold,
    roc_auc_standard_error,
    score_probabilities,
)
from harness.inspection.rows import InspectedRows
from harness.inspection.summary import ColumnScore, QuickScores

MAX_LEFT_OUT = 3  #: columns that are left out in turn: those with the highest scores alone; one where none is strong
MIN_AUC_ALONE = 0.6
#: Of what is above chance. Call durations: .37 and .38; other columns of four real tables: at most .21.
MIN_LOST_SHARE = 0.25
MIN_LOST_AUC = 0.05  #: by which the ROC AUC of all columns falls without one. Call durations: .15
MIN_ERRORS = 3.0  #: standard errors that this must exceed
#: ROC AUC of a column alone, less two standard errors, from which a large share is suspicious. Call durations: .79 and .80; in
#: 15 of 200 simulated clean tables a column is so strong.
MIN_STRONG_AUC = 0.78
MIN_DOMINANT_AUC = 0.7  #: alone, less two standard errors: below, a large share says that the others are weak
MIN_RATIO = 2.0  #: to the largest share of another column. Call durations: 3.7 and more
MAX_LIMIT = 0.6
DETERMINING_AUC = 0.99
MIN_CORRELATION = 0.95  #: of ranks, from which on a column repeats another
COPY_AGREEMENT = 0.999
MIN_COPY_CLASS_ROWS = 20


def check_target_copies(rows: InspectedRows) -> Iterator[Finding]:
    """Find columns whose few values, or whose missing values, correspond to the classes one to one."""
    y, n_classes = rows.table.y, len(rows.table.classes)
    if np.bincount(y, minlength=n_classes).min() < MIN_COPY_CLASS_ROWS:
        return
    for name, column in rows.table.X.items():
        agreement, is_by_missing = _one_to_one_agreement(column, y, n_classes)
        if agreement < COPY_AGREEMENT:
            continue
        message = f"column {str(name)!r} is the target under other names: its values determine the class of {agreement:.2%} of the rows"
        if is_by_missing:
            message = f"column {str(name)!r} is missing in all rows but those of one class ({agreement:.2%} of the rows agree)"
        yield Finding("target_copy", "error", message, str(name), len(y), _advise_dropping_column(str(name)))


def _one_to_one_agreement(column: pd.Series, y: Index, n_classes: int) -> tuple[float, bool]:
    """Share of rows whose class is that of most rows with their value, if values and classes correspond one to one, else 0.

    The second value tells whether only missing values were compared.
    """
    level_codes, is_by_missing = levels_to_codes(column, bins=n_classes + 1), False
    if column.nunique(dropna=False) > n_classes:
        level_codes, is_by_missing = column.isna().to_numpy().astype(np.int64), True
    if is_by_missing and n_classes > 2:
        return 0.0, is_by_missing
    level_class_counts = np.zeros((int(level_codes.max()) + 1, n_classes), dtype=np.int64)
    np.add.at(level_class_counts, (level_codes, y), 1)
    used_counts = level_class_counts[level_class_counts.sum(axis=1) > 0]
    is_bijection = len(used_counts) == n_classes and len(set(used_counts.argmax(axis=1))) == n_classes
    return (float(used_counts.max(axis=1).sum() / len(y)) if is_bijection else 0.0), is_by_missing


def score_columns(rows: InspectedRows) -> QuickScores | None:
    """Score all columns together, every column alone, and all without each of the best ones.

    Returns
    -------
    QuickScores or None
        None where no quick model can be fitted.
    """
    folds, proba = rows.sample_folds, rows.proba
    if folds is None or proba is None:
        return None
    full_score = score_probabilities(rows.y, proba)
    columns = []
    for name, column in rows.X.items():
        score_alone = score_probabilities(rows.y, predict_by_column(column, rows.y, folds))
        columns.append(ColumnScore(str(name), score_alone.auc, score_alone.average_precision))
    columns.sort(key=lambda column: (-column.auc_alone, column.name))
    if rows.X.shape[1] > 1 and _is_auc_above_chance(full_score, rows.y):
        _leave_out_best_columns(rows, columns, folds)
    rarest_class_rows = int(np.bincount(rows.y).min())
    return QuickScores(
        full_score.auc, full_score.average_precision, full_score.chance, tuple(columns), len(rows.y), rarest_class_rows
    )


def _leave_out_best_columns(rows: InspectedRows, columns: list[ColumnScore], folds: Index) -> None:
    """Replace the scores of the best columns by those that also say what all others reach.

    Where no column is so strong that it can be reported, only the best one is left out, for the table.
    """
    max_columns = MAX_LEFT_OUT
    if columns[0].auc_alone < MIN_DOMINANT_AUC:
        max_columns = 1
    for position, candidate_column in enumerate(columns[:max_columns]):
        if candidate_column.auc_alone >= MIN_AUC_ALONE:
            columns[position] = _score_without_column(rows, candidate_column, folds)


def _is_auc_above_chance(full_score: ModelScore, y: Index) -> bool:
    rarest_class_rows = int(np.bincount(y).min())
    return full_score.auc >= MIN_AUC_ALONE and (full_score.auc - 0.5) > 4 * roc_auc_standard_error(
        0.5, rarest_class_rows, len(y) - rarest_class_rows
    )


def _score_without_column(rows: InspectedRows, column: ColumnScore, folds: Index) -> ColumnScore:
    """Score all columns without this one and those that repeat it."""
    repeats = _find_repeating_columns(rows.X, column.name)
    remaining_columns = rows.encoded.drop([column.name, *repeats])
    if remaining_columns.is_empty:
        return column
    score_without = score_probabilities(
        rows.y, predict_out_of_fold(remaining_columns, rows.y, folds, rows.seed("model"))
    )
    return replace(
        column, auc_without=score_without.auc, precision_without=score_without.average_precision, repeats=tuple(repeats)
    )


def _find_repeating_columns(X: pd.DataFrame, name: str) -> list[str]:
    """Other numeric columns whose ranks are almost those of a numeric column, and categories with its partition of the rows."""
    column = X[name]
    repeating_columns = []
    if column.dtype != "category":
        numeric_columns = X.select_dtypes("number").drop(columns=name)
        correlations = numeric_columns.rank().corrwith(column.rank())
        repeating_columns = [
            str(other_column) for other_column in correlations.index[correlations.abs() >= MIN_CORRELATION]
        ]
    for other_column in X.columns.drop(name):
        if X[other_column].dtype == "category" and _have_same_partition(
            levels_to_codes(column, 10**6), levels_to_codes(X[other_column])
        ):
            repeating_columns.append(str(other_column))
    return repeating_columns


def _have_same_partition(first_codes: Index, second_codes: Index) -> bool:
    """Whether two codings divide the rows in the same way."""
    pair_count = len(np.unique(first_codes * (int(second_codes.max()) + 1) + second_codes))
    return pair_count == len(np.unique(first_codes)) == len(np.unique(second_codes))


def check_leaky_columns(scores: QuickScores | None, copies: Mapping[str, Finding]) -> Iterator[Finding]:
    """Find columns that nearly determine the class alone, or without which most of the score is lost.

    Parameters
    ----------
    scores : QuickScores or None
        Scores of the columns.
    copies : mapping of str to Finding
        Columns that are copies of the target: nothing more is said of these.
    """
    if scores is None:
        return
    lost_score_shares = [share_of_score_lost(scores, column) for column in scores.columns]
    for position, column in enumerate(scores.columns):
        if column.name in copies:
            continue
        outstanding_limit = _outstanding_share_limit(
            [*lost_score_shares[:position], *lost_score_shares[position + 1 :]]
        )
        leak_severity = _leak_severity(scores, column, stands_out=lost_score_shares[position] >= outstanding_limit)
        if leak_severity is None:
            continue
        message = f"column {column.name!r} alone reaches ROC AUC {column.auc_alone:.3f}"
        if not np.isnan(lost_score_shares[position]):
            score_comparison = _compare_with_and_without(scores, column)
            message += (
                f"; {score_comparison}, so that it carries {lost_score_shares[position]:.0%} of what is above chance"
            )
        yield Finding("leaky_column", leak_severity, message, column.name, advice=_advise_dropping_column(column.name))


def _leak_severity(scores: QuickScores, column: ColumnScore, *, stands_out: bool) -> Severity | None:
    """Severity of what a column contributes alone and to the score; None where it is no more than a good column does."""
    if column.auc_alone >= DETERMINING_AUC:
        return "warning"
    lost_auc = scores.auc - column.auc_without
    if not stands_out or not lost_auc >= max(MIN_LOST_AUC, MIN_ERRORS * _area_error(scores, scores.auc)):
        return None
    lowest_auc = column.auc_alone - 2 * _area_error(scores, column.auc_alone)
    if lowest_auc >= MIN_STRONG_AUC:
        return "warning"
    return "note" if lowest_auc >= MIN_DOMINANT_AUC else None


def _area_error(scores: QuickScores, auc: float) -> float:
    return roc_auc_standard_error(auc, scores.rarest_rows, scores.rows - scores.rarest_rows)


def _outstanding_share_limit(other_shares: Sequence[float]) -> float:
    """Share from which on a column stands out from the others: of few equally good columns, each carries much."""
    largest_share = np.nanmax([0.0, *other_shares])
    return float(np.clip(MIN_RATIO * largest_share, MIN_LOST_SHARE, MAX_LIMIT))


def share_of_score_lost(scores: QuickScores, column: ColumnScore) -> float:
    """Share of the score above chance that is lost without a column; NaN where it was not left out."""
    if np.isnan(scores.average_precision):
        return (scores.auc - column.auc_without) / (scores.auc - 0.5)
    return (scores.average_precision - column.precision_without) / (scores.average_precision - scores.chance)


def _compare_with_and_without(scores: QuickScores, column: ColumnScore) -> str:
    names = "it"
    if column.repeats:
        names = f"it and {', '.join(map(repr, column.repeats[:3]))}, which repeat it,"
    if np.isnan(scores.average_precision):
        return f"all columns reach ROC AUC {scores.auc:.3f} with {names} and {column.auc_without:.3f} without"
    return (
        f"all columns reach average precision {scores.average_precision:.3f} with {names} "
        f"and {column.precision_without:.3f} without"
    )


def _advise_dropping_column(name: str) -> str:
    return f"is it known when the prediction is made? if not, drop it: --drop {name}"
