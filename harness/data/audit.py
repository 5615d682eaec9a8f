"""What is wrong with a table, before anything is trained on it: one function a finding, each with a code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.data.hashing import row_keys
from harness.registry.task import Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

Severity: TypeAlias = Literal["note", "warning"]

FEW_ROWS = 50  #: with fewer rows of a class, scores over folds are mostly chance
LEAKY_AUC = 0.99
MANY_LEVELS = 50
MUCH_MISSING = 0.2
NEARLY_ALL = 0.999


@dataclass(frozen=True)
class Finding:
    """Something about a table that its results should be read with."""

    code: str
    severity: Severity
    message: str


def audit(table: Table) -> tuple[Finding, ...]:
    """Everything found, in the order of `CHECKS`, of texts and images what concerns rows; warnings may make results meaningless."""
    checks = CHECKS if hasattr(table.X, "columns") else ABOUT_ROWS
    return tuple(finding for check in checks for finding in check(table))


def few_positives(table: Table) -> Iterator[Finding]:
    """Classes with so few rows that a fold holds a handful."""
    import numpy as np

    counts = np.bincount(table.y, minlength=len(table.classes))
    for name, count in zip(table.classes, counts, strict=True):
        if count < FEW_ROWS:
            message = f"class {name!r} has {count} of {len(table.y)} rows: scores vary much from fold to fold"
            yield Finding("few_positives", "warning", message)


def duplicates(table: Table) -> Iterator[Finding]:
    """Rows whose features repeat those of an earlier row."""
    import numpy as np

    if repeated := len(table.y) - len(np.unique(row_keys(table.X))):
        share = repeated / len(table.y)
        kept = "splits keep such rows on one side"
        if table.time is not None:
            kept = "with a time column they may stand on both sides: what was seen before is known by then"
        message = f"rows that repeat an earlier row: {repeated} ({share:.1%}); {kept}"
        yield Finding("duplicates", "note", message)


def conflicting_labels(table: Table) -> Iterator[Finding]:
    """Rows with equal features and different labels, which nothing can tell apart."""
    import pandas as pd

    labels = pd.Series(table.y).groupby(row_keys(table.X)).transform("nunique")
    if conflicting := int((labels > 1).sum()):
        message = f"rows with equal features and different labels: {conflicting} ({conflicting / len(table.y):.1%})"
        yield Finding("conflicting_labels", "note", message)


def leaky_column(table: Table) -> Iterator[Finding]:
    """Columns that alone nearly decide the class: often something known only after the fact."""
    for name, column in table.X.items():
        auc = _column_auc(column, table.y, len(table.classes))
        if auc >= LEAKY_AUC:
            message = f"column {name!r} alone tells the classes apart (ROC AUC {auc:.3f}): is it known beforehand?"
            yield Finding("leaky_column", "warning", message)


def id_like(table: Table) -> Iterator[Finding]:
    """Whole numbers that differ in every row: a quantity, or an identifier that should be dropped."""
    for name, column in table.X.drop(columns=list(table.dates)).select_dtypes("number").items():
        if len(column) > 1 and column.notna().all() and column.is_unique and bool((column % 1 == 0).all()):
            message = f"column {name!r} has a different whole number in every row: if it is an identifier, drop it"
            yield Finding("id_like", "warning", message)


def constant(table: Table) -> Iterator[Finding]:
    """Columns with one value in nearly all rows."""
    for name, column in table.X.items():
        share = column.value_counts(dropna=False).iloc[0] / len(column)
        if share >= NEARLY_ALL:
            yield Finding("constant", "note", f"column {name!r} has one value in {share:.2%} of the rows")


def high_cardinality(table: Table) -> Iterator[Finding]:
    """Categories with many levels, most of them rare."""
    for name, column in table.X.select_dtypes("category").items():
        levels = len(column.cat.categories)
        if levels > MANY_LEVELS:
            yield Finding("high_cardinality", "note", f"category {name!r} has {levels} levels: rare ones are folded")


def missing(table: Table) -> Iterator[Finding]:
    """Columns with many missing values."""
    for name, share in table.X.isna().mean().items():
        if share >= MUCH_MISSING:
            yield Finding("missing", "note", f"column {name!r} is missing in {share:.1%} of the rows")


ABOUT_ROWS = (few_positives, conflicting_labels, duplicates)
CHECKS = (few_positives, leaky_column, id_like, conflicting_labels, duplicates, constant, high_cardinality, missing)


def _column_auc(column: pd.Series, y: npt.NDArray[np.int64], classes: int) -> float:
    """How well one column alone ranks the classes, one against the rest, averaged; 0.5 is not at all.

    A category is ranked by the class's share in each level, counted in the other half of the rows: counted in the same
    rows, a level of a single row would seem to decide its class.
    """
    import numpy as np
    from scipy.stats import rankdata

    codes = column.cat.codes.to_numpy().astype(np.int64) + 1 if column.dtype == "category" else None
    ranks = rankdata(column.fillna(-np.inf).to_numpy()) if codes is None else np.empty(0)
    scores = []
    for k in range(1, classes) if classes == 2 else range(classes):
        truth = y == k
        if codes is not None:
            ranks = rankdata(_shares(codes, truth))
        ones = int(truth.sum())
        area = (ranks[truth].sum() - ones * (ones + 1) / 2) / (ones * (len(y) - ones))
        scores.append(max(area, 1 - area))
    return float(np.mean(scores))


def _shares(codes: npt.NDArray[np.int64], truth: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    import numpy as np

    odd = np.arange(len(codes)) % 2 == 1
    levels = int(codes.max()) + 1
    result = np.empty(len(codes))
    for half in (odd, ~odd):
        count = np.bincount(codes[~half], minlength=levels)
        true = np.bincount(codes[~half], weights=truth[~half], minlength=levels)
        prior = truth[~half].mean()
        result[half] = ((true + prior) / (count + 1))[codes[half]]
    return result
