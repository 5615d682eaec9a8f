"""Missing values: columns that miss many, and columns in which missing tells the class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness.findings import Finding, Severity
from harness.inspection.quick_model import rank_roc_auc
from harness.inspection.rows import InspectedRows

Flags: TypeAlias = npt.NDArray[np.bool_]

HIGH_MISSING_SHARE = 0.2
MIN_MISSING_ROWS = 20
MAX_P_VALUE = 0.001  #: divided by the number of columns
MIN_AUC = 0.55
LEAKY_AUC = 0.9


def check_missing_values(rows: InspectedRows) -> Iterator[Finding]:
    """Find columns with many missing values, and those whose missing values predict the class."""
    y, classes = rows.table.y, rows.table.classes
    for name, column in rows.table.X.items():
        is_missing = column.isna().to_numpy()
        missing_count, n_rows = int(is_missing.sum()), len(column)
        if min(missing_count, n_rows - missing_count) >= MIN_MISSING_ROWS:
            missing_by_class = np.array(
                [
                    np.bincount(y[is_missing == is_missing_group], minlength=len(classes))
                    for is_missing_group in (False, True)
                ]
            )
            p_value = stats.chi2_contingency(missing_by_class).pvalue * rows.table.X.shape[1]
            auc = max(_roc_auc_of_flag(is_missing, y == class_label) for class_label in range(len(classes)))
            if p_value < MAX_P_VALUE and auc >= MIN_AUC:
                yield _predictive_missing_finding(rows, str(name), is_missing, auc)
                continue
        if missing_count / n_rows >= HIGH_MISSING_SHARE:
            message = f"column {str(name)!r} is missing in {missing_count / n_rows:.1%} of the rows"
            yield Finding("missing", "note", message, str(name), missing_count)


def _roc_auc_of_flag(row_flag: Flags, in_class: Flags) -> float:
    flag_auc = rank_roc_auc(row_flag.astype(np.float64), in_class)
    return max(flag_auc, 1 - flag_auc)


def _predictive_missing_finding(rows: InspectedRows, name: str, is_missing: Flags, auc: float) -> Finding:
    """A finding with the shares of the class that differs most between missing and known values."""
    y, n_classes = rows.table.y, len(rows.table.classes)
    missing_shares = np.bincount(y[is_missing], minlength=n_classes) / is_missing.sum()
    known_shares = np.bincount(y[~is_missing], minlength=n_classes) / (~is_missing).sum()
    class_label = 1 if n_classes == 2 else int(np.abs(missing_shares - known_shares).argmax())
    message = (
        f"column {name!r}: where it is missing ({is_missing.mean():.1%} of the rows), {missing_shares[class_label]:.1%} are of class "
        f"{rows.table.classes[class_label]!r}, elsewhere {known_shares[class_label]:.1%}"
    )
    finding_advice = (
        "missing values are used as information; make sure that the column is not filled in after the outcome"
    )
    finding_severity: Severity = "warning" if auc >= LEAKY_AUC else "note"
    return Finding(
        "predictive_missing",
        finding_severity,
        message,
        name,
        int(is_missing.sum()),
        finding_advice,
    )
