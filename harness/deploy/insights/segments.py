"""Where the positive class is common: groups of rows that a few columns describe, found on one half, counted on the other.

A shallow tree (Breiman et al., Classification and Regression Trees, 1984) finds them on half of the rows with an outcome.
What it found there flatters, as it was looked for; the counts are those of the other half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.data.hashing import row_keys
from harness.deploy.error_analysis import exact
from harness.deploy.insights.scored_rows import ScoredRows
from harness.deploy.schema import Feature
from harness.registry.task import take

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 200  #: rows with an outcome below which no half can tell anything
LEAVES, DEPTH = 8, 3
SMALLEST, SMALLEST_SHARE = 25, 0.02  #: rows of a segment in the half that finds it
MOST_LEVELS = 15


@dataclass(frozen=True)
class Segment:
    """A group of rows: what describes it, and what the other half holds of it. Intervals hold for all segments at once."""

    conditions: tuple[str, ...]
    rows: int
    positives: int
    low: float
    high: float
    found_share: float  #: of positives in the half that found it

    @property
    def share(self) -> float:
        """The share of positive rows; NaN of none."""
        return self.positives / self.rows if self.rows else math.nan


@dataclass(frozen=True)
class Segments:
    """Segments, that with the largest share of positives first, and the half on which they were counted."""

    found: tuple[Segment, ...]
    rows: int
    positives: int


@dataclass(frozen=True)
class _Question:
    """A column that the tree may ask about: a number, a level, or whether a value is missing."""

    feature: Feature
    level: str | None = None
    missing: bool = False
    whole: bool = False  #: whether all values are whole numbers


def segments(given: ScoredRows, seed: int) -> Segments | None:
    """Segments of a table's rows; None where too few outcomes are known, or the tree finds nothing to ask."""
    from sklearn.tree import DecisionTreeClassifier

    rows = np.flatnonzero(given.y >= 0)
    y = given.y[rows]
    if given.bundle.schema.modality != "tabular" or not given.binary or len(rows) < FEWEST or len(np.unique(y)) < 2:
        return None
    X = take(given.X, rows)
    questions, matrix = _questions(given, X)
    first = _half(X, seed)
    if len(np.unique(y[first])) < 2 or first.all():
        return None
    smallest = max(SMALLEST, math.ceil(SMALLEST_SHARE * first.sum()))
    tree = DecisionTreeClassifier(
        max_leaf_nodes=LEAVES, max_depth=DEPTH, min_samples_leaf=smallest, random_state=seed % 2**32
    ).fit(matrix[first], y[first])
    if tree.tree_.node_count < 3:
        return None
    found_in, counted_in = tree.apply(matrix[first]), tree.apply(matrix[~first])
    leaves = np.unique(found_in)
    found = []
    for leaf in leaves:
        here = y[~first][counted_in == leaf]
        low, high = exact(int(here.sum()), len(here), 0.05 / len(leaves))
        conditions = tuple(_said(_path(tree.tree_, int(leaf)), questions))
        found.append(
            Segment(conditions, len(here), int(here.sum()), low, high, float(y[first][found_in == leaf].mean()))
        )
    found.sort(key=lambda one: -one.share if one.rows else 1.0)
    return Segments(tuple(found), int((~first).sum()), int(y[~first].sum()))


def _half(X: pd.DataFrame, seed: int) -> npt.NDArray[np.bool_]:
    """Which rows find segments; equal rows are in one half."""
    keys, place = np.unique(row_keys(X), return_inverse=True)
    chosen = np.zeros(len(keys), dtype=bool)
    chosen[np.random.default_rng(seed).permutation(len(keys))[: len(keys) // 2]] = True
    return chosen[place]


def _questions(given: ScoredRows, X: pd.DataFrame) -> tuple[list[_Question], npt.NDArray[np.float64]]:
    """What the tree may ask, and the answers (n, questions): missing numbers are answered by the median, and asked about."""
    asked: list[_Question] = []
    columns: list[npt.NDArray[np.float64]] = []
    for feature in given.bundle.schema.features:
        column = X[feature.name]
        missing = column.isna().to_numpy()
        if feature.kind == "category":
            text = column.astype("str")
            for level in feature.levels[:MOST_LEVELS]:
                asked.append(_Question(feature, level))
                columns.append((text == level).to_numpy(bool).astype(np.float64))
        else:
            values = column.to_numpy(np.float64)
            known = values[~missing]
            whole = feature.kind == "number" and bool((known % 1 == 0).all())
            asked.append(_Question(feature, whole=whole))
            columns.append(np.where(missing, np.median(known) if len(known) else 0.0, values))
        if missing.any():
            asked.append(_Question(feature, missing=True))
            columns.append(missing.astype(np.float64))
    return asked, np.column_stack(columns)


def _path(tree: Any, leaf: int) -> list[tuple[int, bool, float]]:
    """The questions on the way to a leaf: which, whether the answer lies above the threshold, the threshold."""
    parent = {
        int(child): (node, above)
        for node in range(tree.node_count)
        for above, child in ((False, tree.children_left[node]), (True, tree.children_right[node]))
        if child >= 0
    }
    path = []
    while leaf in parent:
        leaf, above = parent[leaf]
        path.append((int(tree.feature[leaf]), above, float(tree.threshold[leaf])))
    return path[::-1]


def _said(path: list[tuple[int, bool, float]], questions: list[_Question]) -> list[str]:
    """The answers in words; several about one number or one category become one."""
    bounds: dict[int, list[float]] = {}
    others: dict[str, list[str]] = {}
    said: dict[int, str] = {}
    is_one = {questions[at].feature.name for at, above, _ in path if questions[at].level is not None and above}
    for number, above, threshold in path:
        question = questions[number]
        name = question.feature.name
        if question.missing:
            said[number] = f"{name} is {'missing' if above else 'known'}"
        elif question.level is not None:
            if name in is_one and not above:
                continue  # being one level says that it is none of the others
            if not above:
                others.setdefault(name, []).append(question.level)
            key = next(
                at for at, _, _ in path if questions[at].feature.name == name and questions[at].level is not None
            )
            said[key] = f"{name} is {question.level}" if above else _none_of(question.feature, others[name])
        else:
            low, high = bounds.setdefault(number, [-math.inf, math.inf])
            bounds[number] = [max(low, threshold), high] if above else [low, min(high, threshold)]
            said[number] = _range(question, *bounds[number])
    return list(said.values())


def _none_of(feature: Feature, levels: list[str]) -> str:
    """A category without some of its levels; where one alone is left, that it is this one."""
    left = [level for level in feature.levels if level not in levels]
    others, missing = feature.shares[-2:]
    if len(left) == 1 and not others and not missing:
        return f"{feature.name} is {left[0]}"
    return (
        f"{feature.name} is not {levels[0]}" if len(levels) == 1 else f"{feature.name} is none of {', '.join(levels)}"
    )


def _range(question: _Question, low: float, high: float) -> str:
    """A number between two bounds, the lower one not in it."""
    name, shown = question.feature.name, question.feature.shown
    if question.whole:
        least, most = (
            math.floor(low) + 1 if math.isfinite(low) else low,
            math.floor(high) if math.isfinite(high) else high,
        )
        if not math.isfinite(least):
            return f"{name} at most {shown(most)}"
        if not math.isfinite(most):
            return f"{name} at least {shown(least)}"
        return f"{name} {shown(least)} to {shown(most)}" if least < most else f"{name} is {shown(least)}"
    if not math.isfinite(low):
        return f"{name} up to {shown(high)}"
    return (
        f"{name} above {shown(low)}" if not math.isfinite(high) else f"{name} above {shown(low)}, up to {shown(high)}"
    )
