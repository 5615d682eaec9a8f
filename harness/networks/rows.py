"""The rows that a network trains on and predicts: validation, conversion and weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.networks.losses import Floats, Labels

#: Validates features and converts them to the input array of a network, whose first axis are the rows.
InputConverter: TypeAlias = Callable[[npt.ArrayLike], npt.NDArray[Any]]


@dataclass(frozen=True)
class MixedRows:
    """Rows of numbers and of categories that are still integer codes.

    A network without embeddings takes them `one_hot`, one with embeddings `index_encoded`.

    Attributes
    ----------
    numbers : array of shape (n_rows, n_numbers), float32
        Numeric columns.
    codes : array of shape (n_rows, n_categories), int32
        Level of each category, from 0.
    levels : tuple of int
        Number of levels of each category.
    """

    numbers: Floats
    codes: npt.NDArray[np.int32]
    levels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> MixedRows:
        """Select rows by position."""
        return MixedRows(self.numbers[index], self.codes[index], self.levels)

    @property
    def embedded_categories(self) -> tuple[int, ...]:
        """Positions of the categories with more than two levels; a category of two levels is always one 0/1 column."""
        return tuple(j for j, levels in enumerate(self.levels) if levels > 2)

    def one_hot(self) -> Floats:
        """Return the numbers and a 0/1 column per level: one column for two levels, none for a single level."""
        column_blocks = [self.numbers]
        for level_codes, levels in zip(self.codes.T, self.levels, strict=True):
            if levels > 2:
                column_blocks.append((level_codes[:, None] == np.arange(levels)).astype(np.float32))
            elif levels == 2:
                column_blocks.append((level_codes[:, None] == 1).astype(np.float32))
        return np.ascontiguousarray(np.hstack(column_blocks), dtype=np.float32)

    def index_encoded(self) -> Floats:
        """Return the numbers, a 0/1 column per category of two levels, and a column of level indices per embedded category.

        The indices count through all embedded categories: those of the second start where those of the first end.
        """
        two_level_columns = [j for j, levels in enumerate(self.levels) if levels == 2]
        embedded_columns = list(self.embedded_categories)
        level_offsets = np.cumsum([0, *(self.levels[j] for j in embedded_columns)])[:-1]
        level_indices = self.codes[:, embedded_columns] + level_offsets
        return np.ascontiguousarray(
            np.hstack([self.numbers, self.codes[:, two_level_columns], level_indices]), dtype=np.float32
        )


@dataclass(frozen=True)
class MatrixInput:
    """Converter of rows to the matrix that a dense network of `columns` columns takes.

    Attributes
    ----------
    columns : int
        Number of columns that the network expects.
    index_encoded : bool, default False
        Whether categories become level indices instead of 0/1 columns.
    """

    columns: int
    index_encoded: bool = False

    def __call__(self, X: Any) -> Floats:
        """Return rows as `keras_model` takes them, shape (n_rows, columns), or raise `DataError`."""
        features = convert_to_matrix(X, self.index_encoded)
        if features.shape[1] != self.columns:
            raise DataError(f"expected {self.columns} columns as in training, but got {features.shape[1]}")
        return features


@dataclass(frozen=True)
class WeightedRows:
    """Training or validation rows: features (n_rows, …), labels (n_rows,) in 0..k-1, weights (n_rows,) with mean 1."""

    X: npt.NDArray[Any]
    y: Labels
    weight: Floats


def make_training_rows(
    X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None, convert: InputConverter | None = None
) -> tuple[WeightedRows, npt.NDArray[Any]]:
    """Validate the rows to train on.

    Parameters
    ----------
    X : array-like of shape (n_rows, …)
        Features.
    y : array-like of shape (n_rows,)
        Classes.
    sample_weight : array-like of shape (n_rows,) or None
        Weights, which are divided by their mean; None stands for equal weights.
    convert : callable, optional
        Validates the features and converts them to the input of the network; `convert_to_matrix` by default.

    Returns
    -------
    rows : WeightedRows
        The rows, with labels in 0..k-1.
    classes : array of shape (k,)
        The sorted classes.

    Raises
    ------
    DataError
        If there is only one class, the lengths differ, or the weights are negative, not finite or all zero.
    """
    features = (convert or convert_to_matrix)(X)
    classes, labels = np.unique(np.asarray(y), return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"a classifier needs rows of two classes or more, but got only {list(classes)}")
    row_weights = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if not (len(features) == len(labels) == len(row_weights)):
        raise DataError(f"X, y and sample_weight differ in length: {len(features)}, {len(labels)}, {len(row_weights)}")
    if not np.isfinite(row_weights).all() or (row_weights < 0).any() or row_weights.sum() == 0:
        raise DataError("sample weights must be finite, not negative, and not all zero")
    return WeightedRows(
        features, labels.astype(np.int64), (row_weights / row_weights.mean()).astype(np.float32)
    ), classes


def make_validation_rows(
    validation: tuple[npt.ArrayLike, ...],
    rows: WeightedRows,
    classes: npt.NDArray[Any],
    convert: InputConverter | None = None,
) -> WeightedRows | None:
    """Prepare validation rows, weighted so that classes have their shares among the weighted training rows.

    A strategy moves the class prior on purpose, and that alone must not look like overfitting.

    Parameters
    ----------
    validation : tuple of (X, y) or (X, y, weights)
        Features, classes and perhaps weights of real rows.
    rows : WeightedRows
        The training rows.
    classes : array of shape (k,)
        Classes of the training rows.
    convert : callable, optional
        As in `make_training_rows`.

    Returns
    -------
    WeightedRows or None
        The validation rows of classes that occur in training; None if there are none.
    """
    features, y = (convert or convert_to_matrix)(validation[0]), np.asarray(validation[1])
    is_known_class = np.isin(y, classes)
    labels: Labels = np.searchsorted(classes, y[is_known_class]).astype(np.int64)
    if len(labels) == 0:
        return None
    target = np.bincount(rows.y, weights=rows.weight, minlength=len(classes))
    row_weights = np.ones(len(labels))
    if len(validation) > 2:
        row_weights = np.asarray(validation[2], dtype=np.float64)[is_known_class]
    weighted = np.bincount(labels, weights=row_weights, minlength=len(classes))
    weight = (target / np.where(weighted > 0, weighted, 1))[labels] * row_weights
    return WeightedRows(features[is_known_class], labels, (weight / weight.mean()).astype(np.float32))


def convert_to_matrix(X: Any, index_encoded: bool = False) -> Floats:
    """Return rows as a finite float32 matrix (n_rows, n_columns).

    Parameters
    ----------
    X : array-like of shape (n_rows, n_columns) or MixedRows
        The rows.
    index_encoded : bool, default False
        Whether the categories of `MixedRows` become level indices instead of 0/1 columns.

    Raises
    ------
    DataError
        If the array is not two-dimensional or not finite.
    """
    if isinstance(X, MixedRows):
        X = X.index_encoded() if index_encoded else X.one_hot()
    features = np.ascontiguousarray(X, dtype=np.float32)
    if features.ndim != 2:
        raise DataError(f"expected a matrix of rows and columns, but got an array of shape {features.shape}")
    if not np.isfinite(features).all():
        raise DataError("a network needs finite features, but some are NaN or infinite: impute them first")
    return features


def check_images(images: npt.NDArray[Any]) -> None:
    """Raise `DataError` for an array that is not images (n_images, height, width, 1 or 3) in uint8."""
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in {1, 3}:
        raise DataError(
            f"expected images as uint8 of shape (n, height, width, 3 or 1), but got {images.dtype} of {images.shape}"
        )


def limit_blas_to_one_thread() -> Any:
    """Return a context manager that limits BLAS to one thread: several round differently and are slower at these sizes."""
    return _thread_pools().limit(limits=1, user_api="blas")


@cache
def _thread_pools() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # it ships no types

    return ThreadpoolController()
