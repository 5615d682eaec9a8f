"""The rows a network is given: checked, weighted, and learned from on one thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.networks.losses import Floats, Labels

if TYPE_CHECKING:
    from harness.networks.losses import Floats


@dataclass(frozen=True)
class Mixed:
    """Rows whose categories are still level indices: numbers (n, p), codes (n, q), and how many levels each category has.

    A network of no embeddings takes them as `spread` columns, one with embeddings as `coded` ones.
    """

    numbers: Floats
    codes: npt.NDArray[np.int32]
    levels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Mixed:
        """The rows at these positions."""
        return Mixed(self.numbers[index], self.codes[index], self.levels)

    @property
    def embedded(self) -> tuple[int, ...]:
        """Positions of the categories of more than two levels: two are one column of 0 and 1 in any case."""
        return tuple(j for j, levels in enumerate(self.levels) if levels > 2)

    def spread(self) -> Floats:
        """The numbers, then a column of 0 and 1 for every level; one for a category of two levels, none for one level."""
        blocks = [self.numbers]
        for codes, levels in zip(self.codes.T, self.levels, strict=True):
            if levels > 1:
                blocks.append((codes[:, None] == (np.arange(levels) if levels > 2 else 1)).astype(np.float32))
        return np.ascontiguousarray(np.hstack(blocks), dtype=np.float32)

    def coded(self) -> Floats:
        """The numbers, a column of 0 and 1 per category of two levels, then one of level indices per embedded category.

        The indices count through all embedded categories: those of the second begin where those of the first end.
        """
        pairs = [j for j, levels in enumerate(self.levels) if levels == 2]
        starts = np.cumsum([0, *(self.levels[j] for j in self.embedded)])[:-1]
        indices = self.codes[:, list(self.embedded)] + starts
        return np.ascontiguousarray(np.hstack([self.numbers, self.codes[:, pairs], indices]), dtype=np.float32)


#: Checks features and brings them into the form that a network takes, its first axis the rows.
Read: TypeAlias = Callable[[npt.ArrayLike], npt.NDArray[Any]]


@dataclass(frozen=True)
class Rows:
    """Rows to learn from or to watch: features (n, …), labels (n,) in 0..k-1, weights (n,) that are 1 on average."""

    X: npt.NDArray[Any]
    y: Labels
    weight: Floats


def training_rows(
    X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None, read: Read | None = None
) -> tuple[Rows, npt.NDArray[Any]]:
    """The rows to learn from, and the k classes (k,) that their labels count through; weights are 1 on average.

    `read` checks the features and brings them into the form that the network takes; by default that is `matrix`.

    Raises `DataError` where one class, rows that do not fit together, or weights that make no sense are given.
    """
    features = (read or matrix)(X)
    classes, labels = np.unique(np.asarray(y), return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"a classifier needs rows of two classes or more, but got only {list(classes)}")
    weight = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if not (len(features) == len(labels) == len(weight)):
        raise DataError(f"X, y and sample_weight differ in length: {len(features)}, {len(labels)}, {len(weight)}")
    if not np.isfinite(weight).all() or (weight < 0).any() or weight.sum() == 0:
        raise DataError("sample weights must be finite, not negative, and not all zero")
    return Rows(features, labels.astype(np.int64), (weight / weight.mean()).astype(np.float32)), classes


def watched_rows(
    validation: tuple[npt.ArrayLike, npt.ArrayLike], rows: Rows, classes: npt.NDArray[Any], read: Read | None = None
) -> Rows | None:
    """Validation rows weighted to the class shares of the training rows; None where no known class is among them."""
    features, y = (read or matrix)(validation[0]), np.asarray(validation[1])
    known = np.isin(y, classes)
    labels: Labels = np.searchsorted(classes, y[known]).astype(np.int64)
    if len(labels) == 0:
        return None
    wanted = np.bincount(rows.y, weights=rows.weight, minlength=len(classes))
    weight = (wanted / np.maximum(np.bincount(labels, minlength=len(classes)), 1))[labels]
    return Rows(features[known], labels, (weight / weight.mean()).astype(np.float32))


def matrix(X: npt.ArrayLike, columns: int | None = None) -> Floats:
    """Features (n, d) as finite float32 numbers, or a `DataError`; `columns` is the d that is expected, if one is."""
    features = np.ascontiguousarray(X, dtype=np.float32)
    if features.ndim != 2:
        raise DataError(f"expected a matrix of rows and columns, but got an array of shape {features.shape}")
    if not np.isfinite(features).all():
        raise DataError("a network needs finite features, but some are NaN or infinite: impute them first")
    if columns is not None and features.shape[1] != columns:
        raise DataError(f"expected {columns} columns as in training, but got {features.shape[1]}")
    return features


def one_thread() -> Any:
    """BLAS on one thread: several would round differently, and are slower at these sizes."""
    return _thread_pools().limit(limits=1, user_api="blas")


@cache
def _thread_pools() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # it ships no types

    return ThreadpoolController()
