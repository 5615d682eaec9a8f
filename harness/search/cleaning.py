"""Tomek links and edited nearest neighbours without a full neighbour search.

Both ask one thing of a row: is a row of another class (an *enemy*) among its nearest? For that the distances between rows
of different classes are needed, but hardly any between rows of one class: after SMOTE a friend nearer than the nearest
enemy is found soon. Distances are in single precision, which halves the time again. The answers are those of
imbalanced-learn, save where two distances are all but equal: repeated rows, above all.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
import numpy.typing as npt
from imblearn.under_sampling import EditedNearestNeighbours, TomekLinks

Index = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]
Distance = npt.NDArray[np.float32]

#: Rows on either side of a block of distances: small enough for a processor's cache.
BLOCK = 512


class QuickTomekLinks(TomekLinks):  # type: ignore[misc]  # imbalanced-learn ships no types
    """Tomek links as imbalanced-learn defines them, found by `nearest_enemies`."""

    def _fit_resample(self, X: Matrix, y: Index) -> tuple[Matrix, Index]:
        crowd = Crowd.of(X, y)
        enemy, distance = nearest_enemies(crowd)
        linked = enemy[enemy] == np.arange(len(y))
        linked[linked] = ~friends_nearer(crowd, np.flatnonzero(linked), distance, 1)
        linked &= linked[enemy] & np.isin(y[crowd.order], list(self.sampling_strategy_))
        self.sample_indices_ = np.sort(crowd.order[~linked])
        return X[self.sample_indices_], y[self.sample_indices_]


class QuickEditedNearestNeighbours(EditedNearestNeighbours):  # type: ignore[misc]  # imbalanced-learn ships no types
    """Wilson's editing as imbalanced-learn defines it with `kind_sel="all"`, by `nearest_enemies`."""

    def _fit_resample(self, X: Matrix, y: Index) -> tuple[Matrix, Index]:
        crowd = Crowd.of(X, y)
        _, distance = nearest_enemies(crowd)
        removed = np.isin(y[crowd.order], list(self.sampling_strategy_))
        removed[removed] = ~friends_nearer(crowd, np.flatnonzero(removed), distance, self.n_neighbors)
        self.sample_indices_ = crowd.order[~removed]  # class by class, as imbalanced-learn orders them
        return X[self.sample_indices_], y[self.sample_indices_]


def quick(sampler: Any) -> Any:
    """The same cleaning step the quicker way; any other sampler as it is."""
    if type(sampler) is TomekLinks:
        return QuickTomekLinks(**sampler.get_params())
    if type(sampler) is EditedNearestNeighbours and sampler.kind_sel == "all" and isinstance(sampler.n_neighbors, int):
        return QuickEditedNearestNeighbours(**sampler.get_params())
    return sampler


@dataclass(frozen=True)
class Crowd:
    """Rows sorted by class, prepared so that one matrix product gives squared distances.

    `order` (n,) are the rows' positions before sorting; every other position here is one after it.
    """

    order: Index
    classes: tuple[slice, ...]
    left: npt.NDArray[np.float32]
    right: npt.NDArray[np.float32]

    @classmethod
    def of(cls, X: Matrix, y: Index) -> Crowd:
        """Sort the rows, centre them for precision, and append what turns a product into a squared distance."""
        order = np.argsort(y, kind="stable")
        centred = (X - X.mean(axis=0))[order]
        square, one = (centred**2).sum(axis=1, keepdims=True), np.ones((len(X), 1))
        edges = [0, *np.cumsum(np.unique(y, return_counts=True)[1]).tolist()]
        classes = tuple(slice(*edge) for edge in pairwise(edges))
        left, right = np.hstack([-2 * centred, square, one]), np.hstack([centred, one, square])
        return cls(order, classes, left.astype(np.float32), right.astype(np.float32))


def nearest_enemies(crowd: Crowd) -> tuple[Index, Distance]:
    """The nearest row of another class of every row: its position and its squared distance."""
    enemy, distance = np.zeros(len(crowd.order), dtype=np.int64), np.full(len(crowd.order), np.inf, dtype=np.float32)
    for one, other in combinations(crowd.classes, 2):
        for rows, others in product(_blocks(one), _blocks(other)):
            between = crowd.left[rows] @ crowd.right[others].T
            for mine, theirs, table in ((rows, others, between), (others, rows, between.T)):
                nearest = table.min(axis=1)
                nearer = np.flatnonzero(nearest < distance[mine])
                distance[mine.start + nearer] = nearest[nearer]
                enemy[mine.start + nearer] = theirs.start + table[nearer].argmin(axis=1)
    return enemy, distance


def friends_nearer(crowd: Crowd, rows: Index, distance: Distance, count: int) -> npt.NDArray[np.bool_]:
    """Whether each of `rows` has at least `count` other rows of its class nearer than its squared `distance`.

    Friends are gone through block by block, and a row that has enough of them is asked no more.
    """
    found = np.zeros(len(crowd.order), dtype=np.int64)
    for one in crowd.classes:
        asked = rows[(rows >= one.start) & (rows < one.stop)]
        for friends in _blocks(one):
            for start in range(0, len(asked), BLOCK):
                some = asked[start : start + BLOCK]
                between = crowd.left[some] @ crowd.right[friends].T
                itself = np.flatnonzero((some >= friends.start) & (some < friends.stop))
                between[itself, some[itself] - friends.start] = np.inf
                found[some] += np.count_nonzero(between < distance[some, None], axis=1)
            asked = asked[found[asked] < count]
    enough: npt.NDArray[np.bool_] = found[rows] >= count
    return enough


def _blocks(rows: slice) -> list[slice]:
    return [slice(start, min(start + BLOCK, rows.stop)) for start in range(rows.start, rows.stop, BLOCK)]
