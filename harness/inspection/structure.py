"""Structure that a random split ignores: dates without a column of time, codes that occur in several rows without groups."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.data.reader import column_to_text, dtype_to_numbers
from harness.data.splits import assign_folds
from harness.errors import DataError
from harness.findings import Finding
from harness.inspection.quick_model import (
    FOLDS,
    Index,
    predict_out_of_fold,
    roc_auc_standard_error,
    score_probabilities,
)
from harness.inspection.rows import InspectedRows

MIN_ROWS = 200
MIN_GAP = 0.02  #: of ROC AUC between random and other splits
MIN_ERRORS = 3.0  #: standard errors of ROC AUC that such a gap must exceed
MIN_LEVELS = 20
MAX_ROWS_PER_LEVEL = 50
MIN_REPEATED_SHARE = 0.05  #: of rows whose code occurs in another row too
MAX_PAIRS = 5_000
WITHIN_AGREEMENT = 0.95  #: share of pairs of rows with one code that are equal in a column that belongs to the code
RANDOM_AGREEMENT = 0.7  #: up to this share of all pairs are equal in a column that tells anything
MIN_CONSTANT_COLUMNS = 2
MIN_CONSTANT_SHARE = 0.3  #: of the columns that tell anything
MIN_CONSTANT_OF_NUMBER = 0.5  #: where the codes are numbers
SPLIT_WORDS = (
    {"train", "test"},
    {"training", "test"},
    {"train", "valid", "test"},
    {"train", "val", "test"},
    {"train", "valid"},
)
IDENTIFIER_NAME = re.compile(
    r"(^|[_\W])(id|uid|uuid|guid)$|[a-z](ID|Id|Nr|No)$"
    r"|^(customer|client|patient|user|subject|person|member|account|household|session|policy|contract|employee)"
    r"([_\W]?(id|no|nr|num|number|code|key))?$",
)


def check_time(rows: InspectedRows) -> Iterator[Finding]:
    """Find dates among the features of rows that are split at random, and what forward splits would give."""
    if rows.table.time is not None or rows.table.has_predefined_split:
        return
    for name in rows.table.dates[:1]:
        message = f"column {name!r} holds dates, but the rows are split at random"
        finding_advice = f"if predictions are made for later rows, test on later rows: --time {name}"
        gap_text = ""
        if len(rows.y) >= MIN_ROWS:
            gap_text = _describe_forward_split_gap(rows, rows.X[name].to_numpy(np.float64))
        yield Finding(
            "undeclared_time", "warning" if gap_text else "note", f"{message}{gap_text}", name, advice=finding_advice
        )


def compare_with_forward_split(rows: InspectedRows, earlier: tuple[Finding, ...]) -> Iterator[Finding]:
    """Compare random splits with a test on the last rows of the file, where its order seems to matter."""
    finding_codes = {finding.code for finding in earlier}
    if (
        not finding_codes & {"row_order", "drift"}
        or finding_codes & {"undeclared_time", "sorted_rows"}
        or rows.table.time is not None
    ):
        return
    if gap_text := _describe_forward_split_gap(rows, rows.sample.astype(np.float64)):
        message = f"random splits are optimistic about the last third of the file{gap_text}"
        finding_advice = "if the rows are in order of time, name the column of time with --time, or add the position as such a column"
        yield Finding("optimistic_split", "warning", message, advice=finding_advice)


def _describe_forward_split_gap(rows: InspectedRows, row_order: npt.NDArray[np.float64]) -> str:
    """Say what the latest third scores with random splits and with a model of the earlier rows; empty where no gap is clear."""
    if rows.proba is None or not np.isfinite(row_order).all():
        return ""
    latest_third_start = np.quantile(row_order, 2 / 3)
    is_late = row_order > latest_third_start
    y_early, y_late = rows.y[~is_late], rows.y[is_late]
    n_classes = len(rows.table.classes)
    if min(np.bincount(y_early, minlength=n_classes).min(), np.bincount(y_late, minlength=n_classes).min()) < 10:
        return ""
    random_auc = score_probabilities(y_late, rows.proba[is_late]).auc
    part_of_row = np.where(is_late, 1, 0)
    forward_proba = predict_out_of_fold(rows.encoded, rows.y, part_of_row, rows.seed("model"), (1,))
    forward_auc = score_probabilities(y_late, forward_proba[is_late]).auc
    if not _is_clear_gap(random_auc - forward_auc, random_auc, y_late):
        return ""
    return f": the latest third reaches ROC AUC {random_auc:.3f} with random splits, {forward_auc:.3f} with earlier rows only"


def _is_clear_gap(auc_gap: float, auc: float, y: Index) -> bool:
    rarest_class_rows = int(np.bincount(y).min())
    return (
        auc_gap >= MIN_GAP
        and auc_gap > MIN_ERRORS * roc_auc_standard_error(auc, rarest_class_rows, len(y) - rarest_class_rows) / 2
    )


def check_published_split(rows: InspectedRows) -> Iterator[Finding]:
    """Find categories whose levels say in which part of an earlier split a row was."""
    for name, column in rows.table.X.items():
        if column.dtype == "category" and set(map(str.lower, column.cat.categories)) in SPLIT_WORDS:
            message = f"column {str(name)!r} says which rows were for training and which for a test: it is no feature"
            finding_advice = f"split the rows as it says, --split {name}, or leave it out, --drop {name}"
            yield Finding("published_split", "warning", message, str(name), advice=finding_advice)


def check_ungrouped_codes(rows: InspectedRows) -> Iterator[Finding]:
    """Find codes, such as those of customers, that occur in several rows which are not kept together."""
    if rows.raw is None or rows.table.groups is not None or rows.table.has_predefined_split:
        return
    for name in find_code_columns(rows):
        row_codes = pd.factorize(column_to_text(rows.raw[name]).fillna(""))[0].astype(np.int64)
        constant_columns = _find_case_columns(rows, row_codes, name)
        if not constant_columns and not IDENTIFIER_NAME.search(name):
            continue
        code_count = int(row_codes.max()) + 1
        message = f"column {name!r} has {code_count:,} codes in {len(row_codes):,} rows, and rows of one code are split at random"
        if constant_columns:
            message += f" although they agree in {', '.join(map(repr, constant_columns[:3]))}"
        finding_advice = f"if a code is a customer, patient or case, keep its rows together: --group {name}"
        message += _describe_group_split_gap(rows, row_codes)
        yield Finding("undeclared_group", "warning", message, name, _count_rows_sharing_code(row_codes), finding_advice)
        return


def _find_case_columns(rows: InspectedRows, row_codes: Index, name: str) -> list[str]:
    """Columns in which rows of one code agree, where these are so many that a code seems to be a case; else none."""
    assert rows.raw is not None  # noqa: S101 -- the caller has checked it
    constant_columns, informative_columns = columns_constant_per_code(rows, row_codes, name)
    min_share = MIN_CONSTANT_SHARE
    if dtype_to_numbers(rows.raw[name]) is not None:  # an age determines the year of birth and the age group
        min_share = MIN_CONSTANT_OF_NUMBER
    if len(constant_columns) < max(MIN_CONSTANT_COLUMNS, min_share * informative_columns):
        return []
    return constant_columns


def find_code_columns(rows: InspectedRows) -> list[str]:
    """Names of columns whose values look like codes that occur in a few rows each; those with the name of an identifier first."""
    assert rows.raw is not None  # noqa: S101 -- the caller has checked it
    columns_with_roles = rows.task.column_roles.keys() - {rows.task.group}
    names = []
    for name in map(str, rows.raw.columns):
        if name in columns_with_roles or name in rows.table.dates or not _may_hold_codes(rows.raw[name]):
            continue
        value_counts = column_to_text(rows.raw[name]).value_counts()
        known_rows = int(value_counts.sum())
        repeated_rows = int(value_counts[value_counts > 1].sum())
        if len(value_counts) < MIN_LEVELS or known_rows > MAX_ROWS_PER_LEVEL * len(value_counts):
            continue
        if repeated_rows >= MIN_REPEATED_SHARE * known_rows and known_rows > 0.9 * len(rows.raw):
            names.append(name)
    return sorted(names, key=lambda name: (not IDENTIFIER_NAME.search(name), names.index(name)))


def _may_hold_codes(column: pd.Series) -> bool:
    """Whether a column has as many different values as codes that occur in a few rows each, and holds texts or whole numbers."""
    distinct_count = column.nunique()
    return distinct_count >= max(MIN_LEVELS, 0.9 * len(column) / MAX_ROWS_PER_LEVEL) and _holds_codes(column)


def _holds_codes(column: pd.Series) -> bool:
    """Whether a column holds texts, or whole numbers."""
    column_numbers = dtype_to_numbers(column)
    if column_numbers is None:
        return not pd.api.types.is_bool_dtype(column)
    known_numbers = column_numbers.dropna()
    return (
        bool(len(known_numbers))
        and bool((known_numbers % 1 == 0).all())
        and not pd.api.types.is_datetime64_any_dtype(column)
    )


def columns_constant_per_code(rows: InspectedRows, codes: Index, name: str) -> tuple[list[str], int]:
    """List the features in which rows of one code agree although other rows do not.

    Parameters
    ----------
    rows : InspectedRows
        The rows.
    codes : array of shape (n_rows,), int
        Code of each row.
    name : str
        Column of the codes, which is not compared.

    Returns
    -------
    names : list of str
        Columns in which pairs of rows with one code agree.
    informative : int
        Number of columns in which rows usually differ.
    """
    rng = np.random.default_rng(rows.seed("pairs"))
    code_order = np.argsort(codes, kind="stable")
    is_pair = codes[code_order[1:]] == codes[code_order[:-1]]
    first_rows, second_rows = code_order[:-1][is_pair], code_order[1:][is_pair]
    if len(first_rows) > MAX_PAIRS:
        drawn_pairs = rng.choice(len(first_rows), MAX_PAIRS, replace=False)
        first_rows, second_rows = first_rows[drawn_pairs], second_rows[drawn_pairs]
    random_rows = rng.permutation(len(codes))[: len(first_rows)]
    stranger_rows = rng.permutation(len(codes))[: len(first_rows)]
    names, informative_columns = [], 0
    for column_name, column in rows.table.X.items():
        column_values = column.cat.codes.to_numpy() if column.dtype == "category" else column.fillna(-np.inf).to_numpy()
        if (
            column_name == name
            or (column_values[random_rows] == column_values[stranger_rows]).mean() > RANDOM_AGREEMENT
        ):
            continue
        informative_columns += 1
        if (column_values[first_rows] == column_values[second_rows]).mean() >= WITHIN_AGREEMENT:
            names.append(str(column_name))
    return names, informative_columns


def _count_rows_sharing_code(row_codes: Index) -> int:
    """How many rows have a code that occurs in another row too."""
    code_counts = np.bincount(row_codes)
    return int(code_counts[code_counts > 1].sum())


def _describe_group_split_gap(rows: InspectedRows, row_codes: Index) -> str:
    """Say what a quick model scores with rows of one code on both sides and on one side; empty where no gap is clear."""
    if rows.proba is None:
        return ""
    try:
        folds = assign_folds(rows.y, row_codes[rows.sample], FOLDS, rows.seed("folds"))
    except DataError:
        return ""
    random_auc = score_probabilities(rows.y, rows.proba).auc
    grouped_auc = score_probabilities(rows.y, predict_out_of_fold(rows.encoded, rows.y, folds, rows.seed("model"))).auc
    if not _is_clear_gap(random_auc - grouped_auc, random_auc, rows.y):
        return ""
    return f": ROC AUC {random_auc:.3f} with random splits, {grouped_auc:.3f} with the rows of a code on one side"
