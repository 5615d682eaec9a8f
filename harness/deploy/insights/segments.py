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
    split_questions, question_answers = _answer_split_questions(scored.bundle.schema.features, X)
    is_search_half = _search_half_mask(X, seed)
    if len(np.unique(y[is_search_half])) < 2 or is_search_half.all():
        return None
    min_rows = max(MIN_ROWS, math.ceil(MIN_SHARE * is_search_half.sum()))
    tree = DecisionTreeClassifier(
        max_leaf_nodes=MAX_LEAVES, max_depth=MAX_DEPTH, min_samples_leaf=min_rows, random_state=seed % 2**32
    ).fit(question_answers[is_search_half], y[is_search_half])
    if tree.tree_.node_count < 3:
        return None
    leaf_of_row, counted_y = tree.apply(question_answers[~is_search_half]), y[~is_search_half]
    tree_leaves = np.unique(tree.apply(question_answers[is_search_half])).tolist()
    segments = []
    for tree_leaf in tree_leaves:
        leaf_outcomes = counted_y[leaf_of_row == tree_leaf]
        count, positives = len(leaf_outcomes), int(leaf_outcomes.sum())
        share_low, share_high = clopper_pearson_interval(positives, count, 0.05 / len(tree_leaves))
        leaf_conditions = describe_tree_path(_path_to_tree_leaf(tree.tree_, tree_leaf), split_questions)
        segments.append(RowSegment(tuple(leaf_conditions), count, positives, share_low, share_high))
    segments.sort(key=lambda segment: -segment.share if segment.rows else 1.0)
    return SegmentCounts(tuple(segments), len(counted_y), int(counted_y.sum()))


def _search_half_mask(X: pd.DataFrame, seed: int) -> npt.NDArray[np.bool_]:
    """Mask of the rows on which segments are searched; equal rows are in the same half."""
    keys, positions = np.unique(hash_rows(X), return_inverse=True)
    is_chosen = np.zeros(len(keys), dtype=bool)
    is_chosen[np.random.default_rng(seed).permutation(len(keys))[: len(keys) // 2]] = True
    return is_chosen[positions]


def _answer_split_questions(
    features: tuple[Feature, ...], X: pd.DataFrame
) -> tuple[list[TreeSplitQuestion], npt.NDArray[np.float64]]:
    """Return the questions and their answers (n, questions); a missing number is replaced by the median and has a question."""
    split_questions: list[TreeSplitQuestion] = []
    question_answers: list[npt.NDArray[np.float64]] = []
    for feature in features:
        column = X[feature.name]
        is_missing = column.isna().to_numpy()
        if feature.kind == "category":
            levels = column.astype("str")
            for level in feature.levels[:MAX_LEVELS]:
                split_questions.append(TreeSplitQuestion(feature, level))
                question_answers.append((levels == level).to_numpy(bool).astype(np.float64))
        else:
            column_numbers = column.to_numpy(np.float64)
            known_numbers = column_numbers[~is_missing]
            is_integer = feature.kind == "number" and bool((known_numbers % 1 == 0).all())
            split_questions.append(TreeSplitQuestion(feature, is_integer=is_integer))
            question_answers.append(
                np.where(is_missing, np.median(known_numbers) if len(known_numbers) else 0.0, column_numbers)
            )
        if is_missing.any():
            split_questions.append(TreeSplitQuestion(feature, missing=True))
            question_answers.append(is_missing.astype(np.float64))
    return split_questions, np.column_stack(question_answers)


def _path_to_tree_leaf(tree: Any, tree_leaf: int) -> _Path:
    """Return the splits from the root of a fitted tree to a leaf."""
    node_parents: dict[int, tuple[int, bool]] = {}
    for node, (low_child, high_child) in enumerate(
        zip(tree.children_left.tolist(), tree.children_right.tolist(), strict=True)
    ):
        node_parents[low_child], node_parents[high_child] = (node, False), (node, True)
    path = []
    node = tree_leaf
    while node:  # 0 is the root
        node, is_above = node_parents[node]
        path.append((int(tree.feature[node]), is_above, float(tree.threshold[node])))
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
    bounds_by_question: dict[int, tuple[float, float]] = {}
    excluded_levels: dict[str, list[str]] = {}
    descriptions: dict[Any, str] = {}  # a category by its name, any other question by its position
    known_categories = set()
    for position, is_above, _ in path:
        if is_above and questions[position].level is not None:
            known_categories.add(questions[position].feature.name)
    for position, is_above, threshold in path:
        split_question = questions[position]
        feature = split_question.feature
        if split_question.missing:
            descriptions[position] = f"{feature.name} is {'missing' if is_above else 'known'}"
        elif split_question.level is None:
            lower_bound, upper_bound = bounds_by_question.get(position, (-math.inf, math.inf))
            if is_above:
                lower_bound = max(lower_bound, threshold)
            else:
                upper_bound = min(upper_bound, threshold)
            bounds_by_question[position] = lower_bound, upper_bound
            descriptions[position] = _describe_number_range(split_question, lower_bound, upper_bound)
        elif is_above:
            descriptions[feature.name] = f"{feature.name} is {split_question.level}"
        elif feature.name not in known_categories:  # a known level excludes the others already
            excluded_levels.setdefault(feature.name, []).append(split_question.level)
            descriptions[feature.name] = _describe_category_exclusion(feature, excluded_levels[feature.name])
    return list(descriptions.values())


def _describe_category_exclusion(feature: Feature, levels: list[str]) -> str:
    """Describe a category without some of its levels; if only one remains, describe that."""
    remaining_levels = [level for level in feature.levels if level not in levels]
    other_levels_share, missing_share = feature.shares[-2:]
    if len(remaining_levels) == 1 and not other_levels_share and not missing_share:
        return f"{feature.name} is {remaining_levels[0]}"
    if len(levels) == 1:
        return f"{feature.name} is not {levels[0]}"
    return f"{feature.name} is none of {', '.join(levels)}"


def _describe_number_range(split_question: TreeSplitQuestion, lower_bound: float, upper_bound: float) -> str:
    """Describe a number between two bounds, the lower one excluded."""
    name, to_text = split_question.feature.name, split_question.feature.format_number
    if not split_question.is_integer:
        lower_text, upper_text = f"above {to_text(lower_bound)}", f"up to {to_text(upper_bound)}"
        if not math.isfinite(lower_bound):
            return f"{name} {upper_text}"
        if not math.isfinite(upper_bound):
            return f"{name} {lower_text}"
        return f"{name} {lower_text}, {upper_text}"
    if not math.isfinite(lower_bound):
        return f"{name} at most {to_text(math.floor(upper_bound))}"
    lowest_int = math.floor(lower_bound) + 1
    if not math.isfinite(upper_bound):
        return f"{name} at least {to_text(lowest_int)}"
    highest_int = math.floor(upper_bound)
    return (
        f"{name} {to_text(lowest_int)} to {to_text(highest_int)}"
        if lowest_int < highest_int
        else f"{name} is {to_text(lowest_int)}"
    )
