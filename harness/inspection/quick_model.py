"""A quick model for checks: gradient boosting with few trees, its out-of-fold probabilities, and scores of single columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.data.splits import assign_folds

if TYPE_CHECKING:
    import pandas as pd

Index: TypeAlias = npt.NDArray[np.int64]
Proba: TypeAlias = npt.NDArray[np.float64]

FOLDS = 3
MAX_LEVELS = 40  #: the most frequent levels of a category are distinguished, all others are one
COLUMN_BINS = 20  #: quantile bins of a number that is scored alone
PRIOR_ROWS = 5.0  #: a level counts as if it had so many more rows with the overall shares of the classes


@dataclass(frozen=True)
class ModelScore:
    """Scores of out-of-fold probabilities.

    Attributes
    ----------
    average_precision : float
        Of the positive class; NaN with more than two classes.
    auc : float
        ROC AUC, averaged over classes with more than two.
    chance : float
        Average precision without information: the share of the positive class.
    """

    average_precision: float
    auc: float
    chance: float

    @property
    def gain(self) -> float:
        """How far the score is above chance: average precision with two classes, else ROC AUC."""
        return self.auc - 0.5 if np.isnan(self.average_precision) else self.average_precision - self.chance


def draw_folds(y: Index, blocks: Index, seed: int) -> Index | None:
    """Assign rows to `FOLDS` folds, equal rows and groups together; None where a class has too few of them."""
    from harness.errors import DataError

    try:
        return assign_folds(y, blocks, FOLDS, seed)
    except DataError:
        return None


def encode_columns(X: pd.DataFrame) -> pd.DataFrame:
    """Prepare columns for the quick model: numbers as they are, of categories the most frequent levels."""
    import pandas as pd

    columns: dict[Any, Any] = {}
    for name, column in X.items():
        if column.dtype != "category":
            columns[name] = column.to_numpy(np.float64)
            continue
        codes = column.cat.codes.to_numpy()
        counts = np.bincount(codes[codes >= 0], minlength=1)
        frequent = np.argsort(-counts, kind="stable")[:MAX_LEVELS]
        ranks = np.full(len(counts), MAX_LEVELS, dtype=np.int64)
        ranks[frequent] = np.arange(len(frequent))
        folded = np.where(codes >= 0, ranks[codes], -1)
        columns[name] = pd.Categorical.from_codes(folded, categories=pd.Index(range(MAX_LEVELS + 1)))
    return pd.DataFrame(columns)


def out_of_fold(X: pd.DataFrame, y: Index, folds: Index, seed: int) -> Proba:
    """Predict every row by a model of the other folds.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        Columns as `encode_columns` returns them.
    y, folds : array of shape (n_rows,), int
        Class and fold of each row.
    seed : int
        Seed of the model.

    Returns
    -------
    array of shape (n_rows, n_classes)
        Probabilities.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    proba = np.zeros((len(y), int(y.max()) + 1))
    with threadpool_limits(1):  # sums over several threads differ in their last digits
        for fold in np.unique(folds):
            is_test = folds == fold
            train = X[~is_test]
            known = train.columns[train.notna().any()]  # a column without any known value cannot be binned
            if known.empty:
                proba[is_test] = np.bincount(y[~is_test], minlength=proba.shape[1]) / len(train)
                continue
            model = _create_model(len(train), proba.shape[1], seed)
            model.fit(train[known], y[~is_test])
            proba[is_test] = model.predict_proba(X.loc[is_test, known])
    return proba


def _create_model(n_train: int, n_classes: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=30 if n_classes == 2 else 15,
        learning_rate=0.2,
        max_leaf_nodes=12,
        min_samples_leaf=int(np.clip(n_train // 50, 5, 20)),
        max_bins=63,
        categorical_features="from_dtype",
        early_stopping=False,
        random_state=seed,
    )


def column_shares(column: pd.Series, y: Index, folds: Index) -> Proba:
    """Predict every row by one column: the shares of the classes in its level or bin, counted in the other folds.

    Parameters
    ----------
    column : Series
        Numbers, which are divided at their quantiles, or a category; missing values are a level.
    y, folds : array of shape (n_rows,), int
        Class and fold of each row.

    Returns
    -------
    array of shape (n_rows, n_classes)
        Probabilities.
    """
    return group_shares(level_codes(column), y, folds)


def level_codes(column: pd.Series, bins: int = COLUMN_BINS) -> Index:
    """Number the levels of a category or the quantile bins of a number; 0 is missing."""
    if column.dtype == "category":
        return column.cat.codes.to_numpy().astype(np.int64) + 1
    numbers = column.to_numpy(np.float64)
    known = np.isfinite(numbers)
    codes = np.zeros(len(numbers), dtype=np.int64)
    if known.any():
        distinct = np.unique(numbers[known])
        edges = distinct[1:]
        if len(distinct) > bins:
            edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, bins + 1)[1:-1]))
        codes[known] = np.searchsorted(edges, numbers[known], side="right") + 1
    return codes


def group_shares(codes: Index, y: Index, folds: Index) -> Proba:
    """Predict every row by the shares of the classes among the rows of other folds that have its code."""
    n_classes, n_codes = int(y.max()) + 1, int(codes.max()) + 1
    totals = np.bincount(codes * n_classes + y, minlength=n_codes * n_classes).reshape(n_codes, n_classes)
    proba = np.empty((len(y), n_classes))
    for fold in np.unique(folds):
        is_test = folds == fold
        inside = np.bincount(codes[is_test] * n_classes + y[is_test], minlength=n_codes * n_classes)
        outside = totals - inside.reshape(n_codes, n_classes)
        prior = outside.sum(axis=0) / outside.sum()
        smoothed = (outside + PRIOR_ROWS * prior) / (outside.sum(axis=1, keepdims=True) + PRIOR_ROWS)
        proba[is_test] = smoothed[codes[is_test]]
    return proba


def score(y: Index, proba: Proba) -> ModelScore:
    """Score probabilities."""
    from sklearn.metrics import average_precision_score

    n_classes = proba.shape[1]
    shares = np.bincount(y, minlength=n_classes) / len(y)
    areas = [rank_area(proba[:, label], y == label) for label in (range(n_classes) if n_classes > 2 else (1,))]
    if n_classes > 2:
        return ModelScore(np.nan, float(np.mean(areas)), np.nan)
    return ModelScore(float(average_precision_score(y, proba[:, 1])), areas[0], float(shares[1]))


def rank_area(scores: npt.NDArray[np.float64], in_class: npt.NDArray[np.bool_]) -> float:
    """ROC AUC of scores for the rows of a class; NaN where all rows or none are in the class."""
    from scipy.stats import rankdata

    n_class, n_other = int(in_class.sum()), int((~in_class).sum())
    if not n_class or not n_other:
        return float("nan")
    rank_sum = float(rankdata(scores)[in_class].sum())
    return (rank_sum - n_class * (n_class + 1) / 2) / (n_class * n_other)


def area_error(area: float, n_class: int, n_other: int) -> float:
    """Standard error of a ROC AUC.

    References
    ----------
    Hanley & McNeil (1982), The meaning and use of the area under a ROC curve, Radiology 143.
    """
    if not n_class or not n_other:
        return float("nan")
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (n_class - 1) * (first - area**2) + (n_other - 1) * (second - area**2)
    return float(np.sqrt(max(variance, 0.0) / (n_class * n_other)))
