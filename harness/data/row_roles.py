"""Columns that are no features: groups, times and predefined splits of rows, their weights, and what names a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.data.dates import (
    find_common_date_order,
    learn_date_format,
    looks_like_date,
    parse_consistent_dates,
    to_days,
)
from harness.data.omissions import AMBIGUOUS_DATES
from harness.data.reader import column_to_text, count_texts
from harness.errors import DataError
from harness.findings import Finding
from harness.registry.task import Task

if TYPE_CHECKING:
    import pandas as pd

#: Words of a split column → the part that they mean. The rows of a validation part are training rows.
PART_WORDS = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
MAX_FOLDS = 100  #: different numbers in a split column
#: Means of weights below and above which regularization, which counts rows, is noticeably stronger or weaker.
USUAL_MEAN_WEIGHTS = (0.2, 5.0)


@dataclass(frozen=True)
class RowRoles:
    """What the columns with a role say about each row, None where the task has none, and remarks about these columns.

    The fields are those of `Table`.
    """

    groups: npt.NDArray[np.int64] | None = None
    time: npt.NDArray[np.int64] | None = None
    test: npt.NDArray[np.bool_] | None = None
    folds: npt.NDArray[np.int64] | None = None
    weights: npt.NDArray[np.float64] | None = None
    ids: pd.DataFrame | None = None
    notes: tuple[Finding, ...] = ()


def read_row_roles(task: Task, frame: pd.DataFrame) -> RowRoles:
    """Read the columns of a table that are no features.

    Parameters
    ----------
    task : Task
        Names the columns.
    frame : DataFrame
        The raw rows that are used.

    Returns
    -------
    RowRoles
        Groups, times, parts of a predefined split, weights and names of the rows.

    Raises
    ------
    DataError
        If such a column has missing values, or values that it cannot have.
    """
    import pandas as pd

    groups, is_test_row, folds, weights, row_ids = None, None, None, None, None
    role_notes: list[Finding] = []
    if task.group:
        groups = pd.factorize(_check_no_missing_values(column_to_text(frame[task.group]), "group"))[0].astype("int64")
    if task.split:
        is_test_row, folds, role_notes = _read_split(frame[task.split])
    if task.weights:
        weights = read_weights(frame[task.weights])
        role_notes += _weight_notes(weights, task.weights)
    if task.ids:
        row_ids = pd.DataFrame({name: column_to_text(frame[name]).fillna("") for name in task.ids}).reset_index(
            drop=True
        )
    time_ranks = _rank_time_column(frame[task.time]) if task.time else None
    return RowRoles(groups, time_ranks, is_test_row, folds, weights, row_ids, tuple(role_notes))


def drop_unweighted_rows(task: Task, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """Leave out the rows of weight 0, which count nowhere; the remark says how many there were."""
    if not task.weights:
        return frame, []
    weights = read_weights(frame[task.weights])
    unweighted_rows = int((weights == 0).sum())
    if unweighted_rows == len(weights):
        raise DataError(f"weight column {task.weights!r} is 0 in all {unweighted_rows} rows: no row counts")
    if not unweighted_rows:
        return frame, []
    message = f"{unweighted_rows} rows of weight 0 are left out"
    finding = Finding("zero_weight", "note", message, column=task.weights, rows=unweighted_rows)
    return frame.loc[weights > 0].reset_index(drop=True), [finding]


def read_weights(column: pd.Series) -> npt.NDArray[np.float64]:
    """Read the weights of rows.

    Parameters
    ----------
    column : Series
        The raw column.

    Returns
    -------
    ndarray of shape (n,), float64
        The weights, 0 or more.

    Raises
    ------
    DataError
        If a weight is missing, negative, infinite or no number.
    """
    import pandas as pd

    _check_no_missing_values(column, "weight")
    weight_numbers = pd.to_numeric(column, errors="coerce").astype("float64").to_numpy()
    is_bad = ~np.isfinite(weight_numbers)
    reason = "is no finite number"
    if not is_bad.any():
        is_bad, reason = weight_numbers < 0, "is negative"
    if is_bad.any():
        bad_row = int(np.flatnonzero(is_bad)[0])
        raise DataError(
            f"weight column {column.name!r}: {str(column.iloc[bad_row])!r} in row {bad_row + 1:,} {reason} ({int(is_bad.sum()):,} such "
            "rows): weights are numbers from 0 on"
        )
    return np.asarray(weight_numbers, dtype=np.float64)


def _weight_notes(weights: npt.NDArray[np.float64], name: str) -> list[Finding]:
    """What the weights are, and a warning where their scale changes how strongly models are regularized."""
    total_weight, mean = float(weights.sum()), float(weights.mean())
    message = (
        f"row weights from {weights.min():.4g} to {weights.max():.4g}: {len(weights):,} rows count as {total_weight:,.6g}, as much as "
        f"{total_weight**2 / float((weights**2).sum()):,.0f} equally weighted rows in a mean"
    )
    findings = [Finding("row_weights", "note", message, column=name)]
    usual_mean_low, usual_mean_high = USUAL_MEAN_WEIGHTS
    if not usual_mean_low <= mean <= usual_mean_high:
        message = (
            f"the mean weight is {mean:.4g}: a row counts as so many rows wherever rows are counted, as in the strength of "
            "regularization. If only the ratios of the weights matter, divide them by their mean"
        )
        findings.append(Finding("scale_of_weights", "warning", message, column=name))
    return findings


def _read_split(
    column: pd.Series,
) -> tuple[npt.NDArray[np.bool_] | None, npt.NDArray[np.int64] | None, list[Finding]]:
    """Read a column of train, test and perhaps val as test rows, and a column of whole numbers as folds."""
    import pandas as pd

    text = _check_no_missing_values(column_to_text(column), "split").str.strip().str.lower()
    words = sorted(text.unique())
    split_parts = {PART_WORDS.get(word, "") for word in words}
    if split_parts in ({"train", "test"}, {"train", "validation", "test"}, {"train", "validation"}):
        return _read_parts(text.map(PART_WORDS), str(column.name))
    fold_numbers = pd.to_numeric(pd.Series(words), errors="coerce")
    if 2 <= len(words) <= MAX_FOLDS and bool((fold_numbers.mod(1) == 0).all()):
        _, folds = np.unique(pd.to_numeric(text).to_numpy(), return_inverse=True)
        return None, folds.astype(np.int64), []
    raise DataError(
        f"split column {column.name!r} must say train or test in every row (or val, for training rows), or hold 2 to {MAX_FOLDS} "
        f"numbers of folds, but says: {', '.join(words[:10])}"
    )


def _read_parts(
    split_parts: pd.Series, name: str
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64] | None, list[Finding]]:
    """Test rows by the part of each row: those of the test part, or of the validation part where there is no other."""
    test_part = "validation"
    findings = []
    if (split_parts == "test").any():
        test_part = "test"
        if validation := int((split_parts == "validation").sum()):
            message = (
                f"the {validation} rows of the validation part are training rows: the search makes inner folds of all rows that are "
                "not tested"
            )
            findings.append(Finding("validation_part", "note", message, column=name, rows=validation))
    return (split_parts == test_part).to_numpy(bool), None, findings


def _check_no_missing_values(column: pd.Series, column_role: str) -> pd.Series:
    if missing_rows := int(column.isna().sum()):
        raise DataError(
            f"{column_role} column {column.name!r} is missing in {missing_rows} of {len(column)} rows: fill them in"
        )
    return column


def _rank_time_column(column: pd.Series) -> npt.NDArray[np.int64]:
    """Dense ranks of times: only their order matters."""
    import pandas as pd

    _check_no_missing_values(column, "time")
    time_values: pd.Series | None = pd.to_numeric(column, errors="coerce")
    if pd.api.types.is_datetime64_any_dtype(column):
        time_values = to_days(column)
    elif time_values is None or time_values.isna().any():
        text = column_to_text(column)
        time_values = parse_consistent_dates(text)
        if time_values is None:
            time_values = _parse_unambiguous_dates(text)
    if time_values is None or time_values.isna().any():
        raise DataError(_make_time_column_error(column))
    ranks: npt.NDArray[np.int64] = time_values.rank(method="dense").to_numpy().astype("int64")
    return ranks


def _parse_unambiguous_dates(text: pd.Series) -> pd.Series | None:
    """Days of dates in one of the less common formats, all of which exist; None for any other."""
    learned_format = learn_date_format(count_texts(text))
    if (
        learned_format is None
        or learned_format.order != "year first"
        or learned_format.strangers
        or learned_format.impossible
    ):
        return None
    return text.map(learned_format.days)


def _make_time_column_error(column: pd.Series) -> str:
    """Message about a time column, with its first value that is neither number nor date."""
    import pandas as pd

    text = column_to_text(column)
    if find_common_date_order(text) == "unclear":
        return f"time column {column.name!r} holds dates like {text.iloc[0]!r}: {AMBIGUOUS_DATES} or 31.01.2024"
    unreadable_texts = text[pd.to_numeric(text, errors="coerce").isna() & ~looks_like_date(text)]
    if unreadable_texts.empty:
        unreadable_texts = text
    first_unreadable = str(unreadable_texts.iloc[0])
    return f"time column {column.name!r} holds {first_unreadable!r}: expected numbers, or dates all like 2024-01-31 or 31.01.2024"
