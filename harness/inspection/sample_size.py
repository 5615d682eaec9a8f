"""Whether there are enough rows: rows of the rarest class in a test part, and the smallest difference that can be detected."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from harness.data.splits import Fold
from harness.evaluation.significance import CONFIDENCE
from harness.evaluation.task_comparisons import MIN_SPLITS
from harness.evaluation.variance import ERROR_STRETCH, MAX_PRIOR_DEGREES
from harness.findings import Finding
from harness.inspection.quick_model import Index, roc_auc_standard_error
from harness.inspection.rows import InspectedRows
from harness.inspection.summary import FoldSummary

POWER = 0.8
FEW_CLASS_ROWS = 50
FEW_TEST_ROWS = 10
COARSE_DIFFERENCE = 0.05
#: Assumed correlation of the errors of two similar models on the same test rows.
ERROR_CORRELATION = 0.8
ASSUMED_AUC = 0.8  #: where no quick model could be fitted
MAX_AUC = 0.95  #: nearer to 1, the standard error of the area is 0


def describe_folds(rows: InspectedRows, auc: float | None) -> FoldSummary | None:
    """Describe the splits that a run would use; None where the rows cannot be split.

    Parameters
    ----------
    rows : InspectedRows
        The rows with their splits.
    auc : float or None
        ROC AUC that models are expected to reach.
    """
    if not rows.folds:
        return None
    table = rows.table
    split_kind = "stratified"
    if table.has_predefined_split:
        split_kind = "published"
    elif table.time is not None:
        split_kind = "forward"
    class_counts = np.bincount(table.y, minlength=len(table.classes))
    rarest_class = int(class_counts.argmin())
    fewest_test_rows = min(int((table.y[fold.test] == rarest_class).sum()) for fold in rows.folds)
    return FoldSummary(
        split_kind,
        len(rows.folds),
        rows.protocol.inner_folds,
        None if table.groups is None else len(np.unique(table.groups)),
        table.classes[rarest_class],
        fewest_test_rows,
        detectable_difference(table.y, rarest_class, rows.folds, min(auc or ASSUMED_AUC, MAX_AUC)),
    )


def detectable_difference(y: Index, rarest: int, folds: Sequence[Fold], auc: float) -> float:
    """Estimate the smallest difference of ROC AUC that a run with such splits finds with a power of 0.8, as a single comparison.

    The standard deviation of a difference in one split is taken from the standard error of the ROC AUC on its test part (see
    `roc_auc_standard_error`) and an assumed correlation of the errors of two models; training is taken to be stable, and
    known to be so from other entries of the run (see `harness.evaluation.variance`).

    Parameters
    ----------
    y : array of shape (n_rows,), int
        Class of each row.
    rarest : int
        The class that is compared with all others.
    folds : sequence of Fold
        The outer splits.
    auc : float
        ROC AUC that the models reach.

    Returns
    -------
    float
        The difference; NaN with fewer than three splits.
    """
    if len(folds) < MIN_SPLITS:
        return math.nan
    errors = []
    for fold in folds:
        rarest_rows = int((y[fold.test] == rarest).sum())
        errors.append(roc_auc_standard_error(auc, rarest_rows, len(fold.test) - rarest_rows))
    difference_deviation = float(np.mean(errors)) * math.sqrt(2 * (1 - ERROR_CORRELATION))
    standard_error = ERROR_STRETCH * difference_deviation / math.sqrt(len(folds))
    critical_value = float(stats.t.ppf((1 + CONFIDENCE) / 2, MAX_PRIOR_DEGREES + len(folds) - 1))
    return (critical_value + float(stats.norm.ppf(POWER)) / ERROR_STRETCH) * standard_error


def check_sample_size(rows: InspectedRows, folds: FoldSummary | None) -> Iterator[Finding]:
    """Find classes with few rows, and splits in which only large differences can be detected."""
    class_counts = np.bincount(rows.table.y, minlength=len(rows.table.classes))
    detectable_auc_gap = float("nan") if folds is None else folds.detectable_difference
    for name, class_count in zip(rows.table.classes, class_counts.tolist(), strict=True):
        if class_count < FEW_CLASS_ROWS:
            message = (
                f"class {name!r} has {class_count} of {len(rows.table.y):,} rows: scores vary much from fold to fold"
            )
            if not math.isnan(detectable_auc_gap):
                message += f", and a difference of ROC AUC below {detectable_auc_gap:.2f} cannot be detected"
            finding_advice = "collect more rows of this class, or use more --repeats and read the intervals"
            yield Finding("few_positives", "warning", message, rows=class_count, advice=finding_advice)
    if folds is None or class_counts.min() < FEW_CLASS_ROWS:
        return
    if detectable_auc_gap >= COARSE_DIFFERENCE or folds.rarest_test_rows < FEW_TEST_ROWS:
        message = (
            f"a test part has only {folds.rarest_test_rows} rows of class {folds.rarest_class!r}; a difference of ROC AUC below "
            f"about {detectable_auc_gap:.2f} between two models cannot be detected"
        )
        finding_advice = "use fewer --folds or more --repeats, or collect more rows of this class"
        yield Finding("low_power", "note", message, rows=folds.rarest_test_rows, advice=finding_advice)
