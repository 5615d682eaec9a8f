"""Segments: groups of rows, described by a few columns, in which the positive class is frequent or rare.

A shallow decision tree (Breiman et al., Classification and Regression Trees, 1984) finds the groups on half of the rows
with an outcome. Their shares there are optimistic because they were searched for, so they are counted on the other half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.data.table import hash_rows
from harness.deploy.error_analysis import clopper_pearson_interval
from harness.deploy.insights.scored_rows import ScoredRows
from harness.deploy.schema import Feature
from harness.registry.task import take

MIN_OUTCOMES = 200  #: rows with an outcome below which half of them are too few
MAX_LEAVES, MAX_DEPTH = 8, 3
MIN_ROWS, MIN_SHARE = 25, 0.02  #: of a segment in the half that finds it
MAX_LEVELS = 15

#: Steps from the root to a leaf: question, whether the answer is above the threshold, threshold.
_Path: TypeAlias = list[tuple[int, bool, float]]


@dataclass(frozen=True)
class RowSegment:
    """A group of rows: its description and counts. The intervals (95 %) hold for all segments together."""

    conditions: tuple[str, ...]
    rows: int
    positives: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Share of positive rows; NaN without rows."""
        return self.positives / self.rows if self.rows else math.nan


@dataclass(frozen=True)
class SegmentCounts:
    """Segments, largest share of positives first, and the rows on which they were counted."""

    segments: tuple[RowSegment, ...]
    rows: int
    positives: int


@dataclass(frozen=True)
class TreeSplitQuestion:
    """A column that the tree can split on: a number, a level of a category, or whether a value is missing."""

    feature: Feature
    level: str | None = None
    missing: bool = False
    is_integer: bool = False  #: whether all values are whole numbers


def find_segments(scored: ScoredRows, seed: int) -> SegmentCounts | None:
    """Find segments of a table's rows.

    Parameters
    ----------
    scored : ScoredRows
        Rows of two classes.
    seed : int
        Seed of the division into halves and of the tree.

    Returns
    -------
    SegmentCounts or None
        None for other data than tables, for fewer than 200 known outcomes, and if the tree finds no split.

    References
    ----------
    Breiman, Friedman, Olshen & Stone (1984), Classification and Regression Trees.
    """
    from sklearn.tree import DecisionTreeClassifier

    rows = np.flatnonzero(scored.y >= 0)
    y = scored.y[rows]
    has_outcomes = len(rows) >= MIN_OUTCOMES and len(np.unique(y)) > 1
    if scored.bundle.schema.modality != "tabular" or not scored.has_two_classes or not has_outcomes:
        return None
    X = take(scored.X, rows)
    questions, answers = _answer_split_questions(scored.bundle.schema.features, X)
    search = _search_half_mask(X, seed)
    if len(np.unique(y[search])) < 2 or search.all():
        return None
    min_rows = max(MIN_ROWS, math.ceil(MIN_SHARE * search.sum()))
    tree = DecisionTreeClassifier(
        max_leaf_nodes=MAX_LEAVES, max_depth=MAX_DEPTH, min_samples_leaf=min_rows, random_state=seed % 2**32
    ).fit(answers[search], y[search])
    if tree.tree_.node_count < 3:
        return None
    leaf_of_row, counted_y = tree.apply(answers[~search]), y[~search]
    leaves = np.unique(tree.apply(answers[search])).tolist()
    segments = []
    for leaf in leaves:
        in_leaf = counted_y[leaf_of_row == leaf]
        count, positives = len(in_leaf), int(in_leaf.sum())
        low, high = clopper_pearson_interval(positives, count, 0.05 / len(leaves))
        conditions = describe_tree_path(_path_to_tree_leaf(tree.tree_, leaf), questions)
        segments.append(RowSegment(tuple(conditions), count, positives, low, high))
    segments.sort(key=lambda segment: -segment.share if segment.rows else 1.0)
    return SegmentCounts(tuple(segments), len(counted_y), int(counted_y.sum()))


def _search_half_mask(X: pd.DataFrame, seed: int) -> npt.NDArray[np.bool_]:
    """Mask of the rows on which segments are searched; equal rows are in the same half."""
    keys, positions = np.unique(hash_rows(X), return_inverse=True)
    chosen = np.zeros(len(keys), dtype=bool)
    chosen[np.random.default_rng(seed).permutation(len(keys))[: len(keys) // 2]] = True
    return chosen[positions]


def _answer_split_questions(
    features: tuple[Feature, ...], X: pd.DataFrame
) -> tuple[list[TreeSplitQuestion], npt.NDArray[np.float64]]:
    """Return the questions and their answers (n, questions); a missing number is replaced by the median and has a question."""
    questions: list[TreeSplitQuestion] = []
    answers: list[npt.NDArray[np.float64]] = []
    for feature in features:
        column = X[feature.name]
        missing = column.isna().to_numpy()
        if feature.kind == "category":
            levels = column.astype("str")
            for level in feature.levels[:MAX_LEVELS]:
                questions.append(TreeSplitQuestion(feature, level))
                answers.append((levels == level).to_numpy(bool).astype(np.float64))
        else:
            numbers = column.to_numpy(np.float64)
            known = numbers[~missing]
            is_integer = feature.kind == "number" and bool((known % 1 == 0).all())
            questions.append(TreeSplitQuestion(feature, is_integer=is_integer))
            answers.append(np.where(missing, np.median(known) if len(known) else 0.0, numbers))
        if missing.any():
            questions.append(TreeSplitQuestion(feature, missing=True))
            answers.append(missing.astype(np.float64))
    return questions, np.column_stack(answers)


def _path_to_tree_leaf(tree: Any, leaf: int) -> _Path:
    """Return the splits from the root of a fitted tree to a leaf."""
    parents: dict[int, tuple[int, bool]] = {}
    for node, (low, high) in enumerate(zip(tree.children_left.tolist(), tree.children_right.tolist(), strict=True)):
        parents[low], parents[high] = (node, False), (node, True)
    path = []
    node = leaf
    while node:  # 0 is the root
        node, above = parents[node]
        path.append((int(tree.feature[node]), above, float(tree.threshold[node])))
    return path[::-1]


def describe_tree_path(path: _Path, questions: list[TreeSplitQuestion]) -> list[str]:
    """Describe the answers on a path to a leaf; several answers about one number or one category are combined.

    Parameters
    ----------
    path : list of (int, bool, float)
        Position of the question, whether the answer is above the threshold, and the threshold.
    questions : list of TreeSplitQuestion
        What the tree could ask.

    Returns
    -------
    list of str
        Conditions, such as `plan is month`, in the order in which the columns were first asked about.
    """
    bounds: dict[int, tuple[float, float]] = {}
    excluded: dict[str, list[str]] = {}
    descriptions: dict[Any, str] = {}  # a category by its name, any other question by its position
    known_categories = set()
    for position, above, _ in path:
        if above and questions[position].level is not None:
            known_categories.add(questions[position].feature.name)
    for position, above, threshold in path:
        question = questions[position]
        feature = question.feature
        if question.missing:
            descriptions[position] = f"{feature.name} is {'missing' if above else 'known'}"
        elif question.level is None:
            low, high = bounds.get(position, (-math.inf, math.inf))
            if above:
                low = max(low, threshold)
            else:
                high = min(high, threshold)
            bounds[position] = low, high
            descriptions[position] = _describe_number_range(question, low, high)
        elif above:
            descriptions[feature.name] = f"{feature.name} is {question.level}"
        elif feature.name not in known_categories:  # a known level excludes the others already
            excluded.setdefault(feature.name, []).append(question.level)
            descriptions[feature.name] = _describe_category_exclusion(feature, excluded[feature.name])
    return list(descriptions.values())


def _describe_category_exclusion(feature: Feature, levels: list[str]) -> str:
    """Describe a category without some of its levels; if only one remains, describe that."""
    remaining = [level for level in feature.levels if level not in levels]
    others, missing = feature.shares[-2:]
    if len(remaining) == 1 and not others and not missing:
        return f"{feature.name} is {remaining[0]}"
    if len(levels) == 1:
        return f"{feature.name} is not {levels[0]}"
    return f"{feature.name} is none of {', '.join(levels)}"


def _describe_number_range(question: TreeSplitQuestion, low: float, high: float) -> str:
    """Describe a number between two bounds, the lower one excluded."""
    name, written = question.feature.name, question.feature.format_number
    if not question.is_integer:
        lower, upper = f"above {written(low)}", f"up to {written(high)}"
        if not math.isfinite(low):
            return f"{name} {upper}"
        if not math.isfinite(high):
            return f"{name} {lower}"
        return f"{name} {lower}, {upper}"
    if not math.isfinite(low):
        return f"{name} at most {written(math.floor(high))}"
    least = math.floor(low) + 1
    if not math.isfinite(high):
        return f"{name} at least {written(least)}"
    most = math.floor(high)
    return f"{name} {written(least)} to {written(most)}" if least < most else f"{name} is {written(least)}"
