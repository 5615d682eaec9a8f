"""Goals from which a decision threshold is chosen without fitting anything again, such as ``recall>=0.8``.

A goal is a frozen value that is read from text once and written as the same text. The threshold is chosen on inner
out-of-fold rows; `harness.evaluation.threshold_goals` measures on the sealed rows what became of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.errors import EvenhandError
from harness.metrics.metric import DEFAULT_CUT, CostMatrix, ThresholdCounts, best_threshold, count_by_threshold

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

GoalKind: TypeAlias = Literal["f1", "cost", "f-beta", "recall", "precision", "top", "capacity"]

GOAL_EXAMPLES = "f1, cost, f-beta:2, recall>=0.8, precision>=0.5, top:0.1, capacity:400"
#: What every kind of goal chooses, for the report and the model card.
GOAL_AIMS: dict[GoalKind, str] = {
    "f1": "the highest F1 of the positive class",
    "cost": "the lowest cost under the task's cost matrix",
    "f-beta": "the highest F score of the positive class in which recall counts more (beta above 1) or less than precision",
    "recall": "at least this recall, at the highest precision",
    "precision": "at least this precision, at the highest recall",
    "top": "at most this share of the rows, those with the highest probabilities",
    "capacity": "at most so many rows of as many as the data has, those with the highest probabilities",
}
ROUNDING = 1e-9  # shares and scores that differ by less are equal
PLAIN_KINDS = ("f1", "cost")
_LEVEL_PATTERN = re.compile(r"(f-beta|recall|precision|top|capacity)\s*(>=|:)\s*(\S+)")
_SHARE_KINDS = ("recall", "precision", "top")


@dataclass(frozen=True)
class ThresholdGoal:
    """What a decision threshold is chosen for.

    Attributes
    ----------
    kind : {"f1", "cost", "f-beta", "recall", "precision", "top", "capacity"}
        What is maximised, minimised or promised.
    level : float, default 0.0
        The beta, the promised recall or precision, the share of rows, or the number of rows; 0 for ``f1`` and ``cost``.
    """

    kind: GoalKind
    level: float = 0.0

    @property
    def text(self) -> str:
        """The goal as it is written on the command line; `parse_goal` reads it back."""
        if self.kind in PLAIN_KINDS:
            return self.kind
        level_sign = ">=" if self.kind in ("recall", "precision") else ":"
        return f"{self.kind}{level_sign}{repr(float(self.level)).removesuffix('.0')}"

    def max_row_share(self, table_rows: float) -> float:
        """The largest share of rows that may be predicted positive, of a table with so many rows; 1 without a limit."""
        if self.kind == "top":
            return self.level
        if self.kind == "capacity" and table_rows:
            return min(1.0, self.level / table_rows)
        return 1.0


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold, and whether the rows that it was chosen on reach the goal there."""

    threshold: float
    reached: bool


def parse_goal(text: str) -> ThresholdGoal:
    """Read a goal from text.

    Parameters
    ----------
    text : str
        ``f1``, ``cost``, ``f-beta:2``, ``recall>=0.8``, ``precision>=0.5``, ``top:0.1`` or ``capacity:400``; ``recall:0.8`` is
        ``recall>=0.8``, for shells that take ``>`` for themselves.

    Returns
    -------
    ThresholdGoal
        The goal.

    Raises
    ------
    EvenhandError
        If the text is none of these, or its number is out of range.
    """
    goal_text = str(text).strip().lower()
    if goal_text == "f1":
        return ThresholdGoal("f1")
    if goal_text == "cost":
        return ThresholdGoal("cost")
    if goal_text in ("recall", "precision"):
        raise EvenhandError(
            f"threshold goal {goal_text!r} lacks its level: quote it, as a shell takes > for itself: "
            f"--threshold '{goal_text}>=0.8', or write {goal_text}:0.8"
        )
    level_match = _LEVEL_PATTERN.fullmatch(goal_text)
    if level_match is None or (level_match[2] == ">=" and level_match[1] not in ("recall", "precision")):
        raise EvenhandError(f"unknown threshold goal {text!r}: goals are like {GOAL_EXAMPLES}")
    kind_by_prefix: dict[str, GoalKind] = {
        "f-beta": "f-beta",
        "recall": "recall",
        "precision": "precision",
        "top": "top",
        "capacity": "capacity",
    }
    goal_kind = kind_by_prefix[level_match[1]]
    return ThresholdGoal(goal_kind, _check_goal_level(text, goal_kind, level_match[3]))


def _check_goal_level(text: str, goal_kind: GoalKind, level_text: str) -> float:
    """The number of a goal; raises `EvenhandError` where it is out of range."""
    try:
        goal_level = float(level_text)
    except ValueError:
        raise EvenhandError(f"threshold goal {text!r}: {level_text!r} is no number") from None
    if goal_kind in _SHARE_KINDS and not 0 < goal_level <= 1:
        raise EvenhandError(f"threshold goal {text!r}: a share above 0 and at most 1 is expected, but got {level_text}")
    if goal_kind == "f-beta" and not 0 < goal_level < math.inf:
        raise EvenhandError(f"threshold goal {text!r}: a beta above 0 is expected, but got {level_text}")
    if goal_kind == "capacity" and not (1 <= goal_level < math.inf and goal_level.is_integer()):
        raise EvenhandError(
            f"threshold goal {text!r}: a whole number of rows from 1 on is expected, but got {level_text}"
        )
    return goal_level


def parse_goals(texts: str | Iterable[str] | None) -> tuple[ThresholdGoal, ...]:
    """Read one goal or several; a goal that is named twice is taken once."""
    if texts is None:
        return ()
    goal_texts = [texts] if isinstance(texts, str) else list(texts)
    return tuple(dict.fromkeys(map(parse_goal, goal_texts)))


def parse_single_goal(texts: str | Iterable[str] | None) -> str | None:
    """Read at most one goal, for a model that decides at one threshold, and return its text."""
    parsed_goals = parse_goals(texts)
    if len(parsed_goals) > 1:
        named_goals = ", ".join(parsed_goal.text for parsed_goal in parsed_goals)
        raise EvenhandError(
            f"an exported model has one threshold, so name one goal and not {len(parsed_goals)} ({named_goals})"
        )
    return parsed_goals[0].text if parsed_goals else None


def goal_obstacle(goal: ThresholdGoal, classes: int, costs: CostMatrix) -> str:
    """Say why a goal makes no sense for a task; empty where it does.

    Parameters
    ----------
    goal : ThresholdGoal
        The goal.
    classes : int
        Number of classes.
    costs : tuple of tuple of float or None
        The costs of decisions, where the task declares them.
    """
    if goal.kind == "cost":
        return "" if costs is not None else "the task declares no costs of decisions (costs= of its Task)"
    if classes > 2:
        return f"it has {classes} classes, and only the goal 'cost' (with costs) is defined for several classes"
    return ""


def choose_threshold(
    goal: ThresholdGoal,
    y: npt.NDArray[np.int64],
    proba: npt.NDArray[np.floating],
    *,
    costs: CostMatrix = None,
    table_rows: float = 0,
    weights: npt.NDArray[np.float64] | None = None,
) -> ChosenThreshold:
    """Choose the decision threshold of two classes that reaches a goal on these rows.

    Only thresholds between distinct probabilities are tried, so rows of equal probability are never separated: where many are
    tied, ``top`` and ``capacity`` may select fewer rows than they are allowed to.

    Parameters
    ----------
    goal : ThresholdGoal
        What is wanted of the decisions.
    y : ndarray of shape (n,)
        0 and 1.
    proba : ndarray of shape (n, 2) or (n,)
        Out-of-fold probabilities, or those of the positive class. Rows with NaN are left out.
    costs : tuple of tuple of float, optional
        ``costs[true][predicted]``; needed for ``cost``.
    table_rows : int, default 0
        Rows of the whole table, of which ``capacity`` counts its rows: these rows may have the same share of them. With a
        capacity above it every row is predicted positive.
    weights : ndarray of shape (n,), optional
        Weights of the rows; `table_rows` is then the sum of those of the table.

    Returns
    -------
    ChosenThreshold
        A row is predicted positive if its probability is ``>=`` the threshold. Where no threshold reaches a precision, it is
        the one with the highest precision; where nothing can be chosen (no rows, no positive rows), 0.5.
    """
    threshold_counts = count_by_threshold(y, proba, weights)
    if threshold_counts is None or (
        not threshold_counts.positives and goal.kind in ("f1", "f-beta", "recall", "precision")
    ):
        return ChosenThreshold(DEFAULT_CUT, reached=False)
    if goal.kind in ("top", "capacity"):
        return _threshold_of_largest_selection(threshold_counts, goal.max_row_share(table_rows))
    if goal.kind == "recall":
        return _most_precise_threshold(threshold_counts, goal.level)
    if goal.kind == "precision":
        return _highest_recall_threshold(threshold_counts, goal.level)
    f_beta = goal.level if goal.kind == "f-beta" else 1.0
    threshold = best_threshold(y, proba, costs if goal.kind == "cost" else None, beta=f_beta, weights=weights)
    return ChosenThreshold(threshold, reached=True)


def _precision_per_threshold(threshold_counts: ThresholdCounts) -> npt.NDArray[np.float64]:
    """The precision of every cut; below every precision where nothing is predicted positive."""
    import numpy as np

    undefined_precisions = np.full(len(threshold_counts.hits), -1.0)
    precisions: npt.NDArray[np.float64] = np.divide(
        threshold_counts.hits,
        threshold_counts.predicted,
        out=undefined_precisions,
        where=threshold_counts.predicted > 0,
    )
    return precisions


def _most_precise_threshold(threshold_counts: ThresholdCounts, required_recall: float) -> ChosenThreshold:
    """The cut with the highest precision among those with at least this recall; of several the one that finds most."""
    import numpy as np

    feasible_cuts = np.flatnonzero(threshold_counts.hits / threshold_counts.positives >= required_recall - ROUNDING)
    feasible_precisions = _precision_per_threshold(threshold_counts)[feasible_cuts]
    best_cuts = feasible_cuts[feasible_precisions >= feasible_precisions.max() - ROUNDING]
    return ChosenThreshold(float(threshold_counts.cuts[best_cuts[0]]), reached=True)  # the lowest cut finds most


def _highest_recall_threshold(threshold_counts: ThresholdCounts, required_precision: float) -> ChosenThreshold:
    """The cut with the highest recall among those with at least this precision; else the cut with the highest precision."""
    import numpy as np

    precisions = _precision_per_threshold(threshold_counts)
    feasible_cuts = np.flatnonzero(precisions >= required_precision - ROUNDING)
    if len(feasible_cuts):
        best_cuts = feasible_cuts[threshold_counts.hits[feasible_cuts] == threshold_counts.hits[feasible_cuts].max()]
        return ChosenThreshold(
            float(threshold_counts.cuts[best_cuts[-1]]), reached=True
        )  # the highest cut has fewest false positives
    closest_cuts = np.flatnonzero(precisions >= precisions.max() - ROUNDING)
    return ChosenThreshold(float(threshold_counts.cuts[closest_cuts[0]]), reached=False)


def _threshold_of_largest_selection(threshold_counts: ThresholdCounts, max_selected_share: float) -> ChosenThreshold:
    """The lowest cut that predicts at most this share of the rows as positive."""
    import numpy as np

    feasible_cuts = np.flatnonzero(threshold_counts.predicted <= max_selected_share * threshold_counts.rows + ROUNDING)
    lowest_cut = feasible_cuts[0]
    return ChosenThreshold(
        float(threshold_counts.cuts[lowest_cut]), reached=bool(threshold_counts.predicted[lowest_cut] > 0)
    )


def least_cost_labels(proba: npt.NDArray[np.floating], costs: CostMatrix) -> npt.NDArray[np.int64]:
    """Predict the class (n,) with the lowest expected cost under the probabilities (n, k).

    Parameters
    ----------
    proba : ndarray of shape (n, k)
        Probabilities; decisions are only as good as their calibration.
    costs : tuple of tuple of float
        ``costs[true][predicted]``.

    Returns
    -------
    ndarray of shape (n,)
        Classes; of equal costs the first class.

    References
    ----------
    Elkan (2001), The Foundations of Cost-Sensitive Learning, IJCAI.
    """
    import numpy as np

    expected_costs = proba.astype(float) @ np.asarray(costs, dtype=float)
    labels: npt.NDArray[np.int64] = expected_costs.argmin(axis=1)
    return labels
