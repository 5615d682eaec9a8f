"""A quick model for checks: gradient boosting with few trees, its out-of-fold probabilities, and scores of single columns."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.data.splits import assign_folds

if TYPE_CHECKING:
    import pandas as pd

Index: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Proba: TypeAlias = Floats

FOLDS = 3
MAX_ENCODED_CLASSES = 5  #: classes whose shares encode a category, with more than two classes
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


def draw_quick_model_folds(y: Index, blocks: Index, seed: int) -> Index | None:
    """Assign rows to `FOLDS` folds, equal rows and groups together; None where a class has too few of them."""
    from harness.errors import DataError

    try:
        return assign_folds(y, blocks, FOLDS, seed)
    except DataError:
        return None


@dataclass(frozen=True)
class QuickColumns:
    """Columns as the quick model takes them.

    Attributes
    ----------
    numbers : dict of str to array of shape (n_rows,), float64
        Numeric columns, missing values NaN.
    codes : dict of str to array of shape (n_rows,), int
        Level of each row for every category, 0 where it is missing.
    """

    numbers: dict[str, Floats]
    codes: dict[str, Index]

    def drop(self, names: Collection[str]) -> QuickColumns:
        """The columns without some of them."""
        remaining_numbers = {name: column for name, column in self.numbers.items() if name not in names}
        remaining_codes = {name: column for name, column in self.codes.items() if name not in names}
        return QuickColumns(remaining_numbers, remaining_codes)

    @property
    def is_empty(self) -> bool:
        """Whether there are no columns."""
        return not self.numbers and not self.codes


def encode_columns(X: pd.DataFrame) -> QuickColumns:
    """Convert columns to what the quick model takes."""
    numeric_columns, category_codes = {}, {}
    for name, column in X.items():
        if column.dtype == "category":
            category_codes[str(name)] = levels_to_codes(column)
        else:
            numeric_columns[str(name)] = column.to_numpy(np.float64)
    return QuickColumns(numeric_columns, category_codes)


def predict_out_of_fold(
    columns: QuickColumns, y: Index, folds: Index, seed: int, tested_folds: Collection[int] | None = None
) -> Proba:
    """Predict every row by a model of the other folds.

    Categories are encoded by the class shares of their levels, so that none of a thousand levels is merged with others; rows
    of training are encoded by the labels of other rows of training.

    Parameters
    ----------
    columns : QuickColumns
        Columns of all rows.
    y, folds : array of shape (n_rows,), int
        Class and fold of each row.
    seed : int
        Seed of the model.
    tested_folds : collection of int, optional
        Folds to predict; all by default.

    Returns
    -------
    array of shape (n_rows, n_classes)
        Probabilities; 0 for rows of other folds.
    """
    # Loaded first: a library that is loaded within the limit is not limited, and its idle threads took 15 CPU seconds.
    import sklearn.ensemble  # noqa: F401
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    proba = np.zeros((len(y), int(y.max()) + 1))
    with threadpool_limits(1):  # sums over several threads differ in their last digits
        for fold in tested_folds or np.unique(folds):
            is_train = folds != fold
            X = _fold_features(columns, y, is_train, seed)
            X = X[:, np.isfinite(X[is_train]).any(axis=0)]  # a column without any known value cannot be binned
            if not X.shape[1]:
                proba[~is_train] = np.bincount(y[is_train], minlength=proba.shape[1]) / is_train.sum()
                continue
            model = _create_quick_model(int(is_train.sum()), proba.shape[1], seed)
            model.fit(X[is_train], y[is_train])
            proba[~is_train] = model.predict_proba(X[~is_train])
    return proba


def _fold_features(columns: QuickColumns, y: Index, is_train: npt.NDArray[np.bool_], seed: int) -> Floats:
    """Numbers, and the class shares of the levels of categories in the rows of training."""
    features: list[Floats] = [column[:, None] for column in columns.numbers.values()]
    training_rows, test_rows, class_count = np.flatnonzero(is_train), np.flatnonzero(~is_train), int(y.max()) + 1
    inner_folds = np.random.default_rng(seed).permutation(len(training_rows)) % FOLDS
    classes = _encoded_classes(y[training_rows])
    for column_codes in columns.codes.values():
        class_shares = np.empty((len(y), class_count))
        class_shares[training_rows] = predict_by_code_shares(
            column_codes[training_rows], y[training_rows], inner_folds, class_count
        )
        training_counts = _count_codes(
            column_codes[training_rows], y[training_rows], int(column_codes.max()) + 1, class_count
        )
        class_shares[test_rows] = _smooth_shares(training_counts)[column_codes[test_rows]]
        features.append(class_shares[:, classes])
    if not features:
        return np.empty((len(y), 0))
    return np.hstack(features)


def _encoded_classes(y: Index) -> Index:
    """The classes whose shares encode categories: the second of two, of several the most frequent ones."""
    class_counts = np.bincount(y)
    if len(class_counts) == 2:
        return np.array([1])
    return np.sort(np.argsort(-class_counts, kind="stable")[:MAX_ENCODED_CLASSES])


def _create_quick_model(n_train: int, n_classes: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=30 if n_classes == 2 else 15,
        learning_rate=0.2,
        max_leaf_nodes=8,
        min_samples_leaf=int(np.clip(n_train // 50, 5, 20)),
        max_bins=63,
        categorical_features=None,
        early_stopping=False,
        random_state=seed,
    )


def predict_by_column(column: pd.Series, y: Index, folds: Index) -> Proba:
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
    return predict_by_code_shares(levels_to_codes(column), y, folds)


def levels_to_codes(column: pd.Series, bins: int = COLUMN_BINS) -> Index:
    """Number the levels of a category or the quantile bins of a number; 0 is missing."""
    if column.dtype == "category":
        return column.cat.codes.to_numpy().astype(np.int64) + 1
    column_numbers = column.to_numpy(np.float64)
    is_known = np.isfinite(column_numbers)
    level_codes = np.zeros(len(column_numbers), dtype=np.int64)
    if is_known.any():
        distinct_numbers = np.unique(column_numbers[is_known])
        bin_edges = distinct_numbers[1:]
        if len(distinct_numbers) > bins:
            bin_edges = np.unique(np.quantile(column_numbers[is_known], np.linspace(0, 1, bins + 1)[1:-1]))
        level_codes[is_known] = np.searchsorted(bin_edges, column_numbers[is_known], side="right") + 1
    return level_codes


def predict_by_code_shares(codes: Index, y: Index, folds: Index, n_classes: int = 0) -> Proba:
    """Predict every row by the shares of the classes among the rows of other folds that have its code."""
    n_classes, code_count = max(n_classes, int(y.max()) + 1), int(codes.max()) + 1
    class_totals = _count_codes(codes, y, code_count, n_classes)
    proba = np.empty((len(y), n_classes))
    for fold in np.unique(folds):
        is_test = folds == fold
        counts_inside_fold = _count_codes(codes[is_test], y[is_test], code_count, n_classes)
        proba[is_test] = _smooth_shares(class_totals - counts_inside_fold)[codes[is_test]]
    return proba


def _count_codes(codes: Index, y: Index, code_count: int, n_classes: int) -> Index:
    """Count the rows of every class with every code."""
    return np.bincount(codes * n_classes + y, minlength=code_count * n_classes).reshape(code_count, n_classes)


def _smooth_shares(code_counts: Index) -> Proba:
    """Shares of the classes among the rows of every code, and of `PRIOR_ROWS` rows with the overall shares."""
    prior = code_counts.sum(axis=0) / code_counts.sum()
    smoothed_counts = code_counts + PRIOR_ROWS * prior
    return np.asarray(smoothed_counts / (code_counts.sum(axis=1, keepdims=True) + PRIOR_ROWS), dtype=np.float64)


def score_probabilities(y: Index, proba: Proba) -> ModelScore:
    """Score probabilities."""
    from sklearn.metrics import average_precision_score

    n_classes = proba.shape[1]
    class_shares = np.bincount(y, minlength=n_classes) / len(y)
    class_aucs = [
        rank_roc_auc(proba[:, class_label], y == class_label)
        for class_label in (range(n_classes) if n_classes > 2 else (1,))
    ]
    if n_classes > 2:
        return ModelScore(np.nan, float(np.mean(class_aucs)), np.nan)
    return ModelScore(float(average_precision_score(y, proba[:, 1])), class_aucs[0], float(class_shares[1]))


def rank_roc_auc(scores: npt.NDArray[np.float64], in_class: npt.NDArray[np.bool_]) -> float:
    """ROC AUC of scores for the rows of a class; NaN where all rows or none are in the class."""
    from scipy.stats import rankdata

    class_rows, other_rows = int(in_class.sum()), int((~in_class).sum())
    if not class_rows or not other_rows:
        return float("nan")
    rank_sum = float(rankdata(scores)[in_class].sum())
    return (rank_sum - class_rows * (class_rows + 1) / 2) / (class_rows * other_rows)


def roc_auc_standard_error(area: float, n_class: int, n_other: int) -> float:
    """Standard error of a ROC AUC.

    References
    ----------
    Hanley & McNeil (1982), The meaning and use of the area under a ROC curve, Radiology 143.
    """
    if not n_class or not n_other:
        return float("nan")
    first_term, second_term = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (n_class - 1) * (first_term - area**2) + (n_other - 1) * (second_term - area**2)
    return float(np.sqrt(max(variance, 0.0) / (n_class * n_other)))
