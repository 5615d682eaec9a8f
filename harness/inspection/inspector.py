"""The inspection of a table: all checks in their order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.row_roles import drop_unweighted_rows
from harness.data.splits import Fold, Splitter, make_splitter
from harness.data.table import make_table
from harness.data.target import read_labelled_rows
from harness.errors import DataError
from harness.findings import Finding
from harness.inspection.columns import check_levels, check_reading, describe_columns, list_omitted_columns
from harness.inspection.duplicates import check_equal_rows, check_large_blocks, check_near_duplicates
from harness.inspection.labels import check_class_overlap, check_label_noise
from harness.inspection.leakage import check_leaky_columns, check_target_copies, score_columns
from harness.inspection.missing import check_missing_values
from harness.inspection.neighbors import find_neighbors
from harness.inspection.order import check_drift, check_identifiers, check_row_order, class_shares_by_position
from harness.inspection.rows import InspectedRows
from harness.inspection.sample_size import check_sample_size, describe_folds
from harness.inspection.structure import (
    check_published_split,
    check_time,
    check_ungrouped_codes,
    compare_with_forward_split,
)
from harness.inspection.summary import Inspection, sort_findings
from harness.registry.protocol import EvaluationProtocol
from harness.registry.task import Raw, Table, Task

if TYPE_CHECKING:
    import pandas as pd


def inspect_rows(task: Task, raw: Raw, protocol: EvaluationProtocol) -> Inspection:
    """Inspect the rows of a task before a run.

    Parameters
    ----------
    task : Task
        The task.
    raw : DataFrame or LabeledImages
        What ``task.load`` returned.
    protocol : EvaluationProtocol
        Folds, repeats and seed of the run.

    Returns
    -------
    Inspection
        Columns, folds and findings; the same rows and the same protocol give the same inspection.

    Raises
    ------
    DataError
        If the rows cannot be read as the task declares them.
    """
    table = make_table(task, raw)
    splitter = make_splitter(table)
    folds, split_findings = _make_splits(splitter, protocol)
    frame = None
    if hasattr(raw, "columns"):
        frame = _drop_unlabelled_rows(task, raw)
    rows = InspectedRows(task, table, frame, protocol, splitter, folds)
    scores = None
    findings = [*split_findings, *check_reading(rows)]
    if hasattr(table.X, "columns"):
        copies_by_column = {finding.column: finding for finding in check_target_copies(rows)}
        scores = score_columns(rows)
        findings += [*copies_by_column.values(), *check_leaky_columns(scores, copies_by_column)]
        findings += _check_features(rows, tuple(findings))
    fold_summary = describe_folds(rows, scores.auc if scores else None)
    findings += [*check_sample_size(rows, fold_summary), *check_equal_rows(rows), *check_large_blocks(rows)]
    n_classes = len(table.classes)
    return Inspection(
        source=task.title or task.name,
        target=task.target,
        classes=table.classes,
        counts=tuple(np.bincount(table.y, minlength=n_classes).tolist()),
        features=_describe_features(table),
        columns=describe_columns(rows),
        folds=fold_summary,
        scores=scores,
        class_shares=class_shares_by_position(table.y, n_classes),
        sampled_rows=len(rows.sample),
        findings=sort_findings(findings),
    )


def _drop_unlabelled_rows(task: Task, raw_rows: pd.DataFrame) -> pd.DataFrame:
    """Raw rows as `make_table` keeps them: without those of weight 0, and without a label where the task says so."""
    labelled_rows = raw_rows.reset_index(drop=True).set_axis(list(map(str, raw_rows.columns)), axis=1)
    labelled_rows, _ = drop_unweighted_rows(task, labelled_rows)
    labels, _ = read_labelled_rows(task, labelled_rows[task.target])
    return labelled_rows.loc[labels.index].reset_index(drop=True)


def _make_splits(splitter: Splitter, protocol: EvaluationProtocol) -> tuple[tuple[Fold, ...], list[Finding]]:
    """Make the outer splits, and try the inner ones; an error finding where a run could not."""
    try:
        folds = splitter.outer(protocol)
        for fold in folds:
            splitter.take(fold.train).inner(protocol.inner_folds, seed=0)
    except DataError as error:
        return (), [Finding("no_split", "error", f"the rows cannot be split: {error}")]
    return tuple(folds), []


def _check_features(rows: InspectedRows, earlier_findings: Iterable[Finding]) -> list[Finding]:
    """Run the checks of tables."""
    findings: list[Finding] = list(earlier_findings)
    earlier_finding_count = len(findings)
    findings += check_identifiers(rows)
    findings += check_row_order(rows)
    findings += check_drift(rows, tuple(findings))
    findings += check_time(rows)
    findings += compare_with_forward_split(rows, tuple(findings))
    findings += check_ungrouped_codes(rows)
    findings += check_published_split(rows)
    findings += check_missing_values(rows)
    findings += list_omitted_columns(rows)
    findings += check_levels(rows)
    neighbors = find_neighbors(rows)
    findings += check_near_duplicates(rows, neighbors)
    findings += check_label_noise(rows, neighbors)
    findings += check_class_overlap(rows, neighbors)
    return findings[earlier_finding_count:]


def _describe_features(table: Table) -> str:
    """Kind and number of features."""
    X: Any = table.X
    if hasattr(X, "columns"):
        return f"{X.shape[1]} features"
    return "texts" if X.ndim == 1 else "images"
