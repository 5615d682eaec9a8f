"""Threshold goals without refit: chosen on the inner out-of-fold rows of every split, measured on its sealed test rows.

Nothing is fitted again and no test row is looked at until a threshold is fixed: `SplitDecision.inner` is what was promised,
`SplitDecision.sealed` is what came of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import filterfalse, product
from operator import attrgetter, itemgetter
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from harness.errors import EvenhandError
from harness.evaluation.decision_measures import (
    UNDEFINED_INTERVAL,
    Counts,
    DecisionMeasure,
    MeasureInterval,
    decision_measures,
    measure_interval,
)
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.scores import Entry, Scores, SplitKey
from harness.metrics.calibration import NO_CALIBRATION, Calibrator, Weights, cross_calibrate, make_calibrator
from harness.metrics.logits import Labels, Proba
from harness.metrics.metric import CostMatrix, Predictions
from harness.metrics.threshold import ThresholdGoal, choose_threshold, goal_obstacle, least_cost_labels, parse_goals
from harness.seeding import seed_of
from harness.store.record import Record, StoredPredictions
from harness.store.store import Store

#: The goals of a run that was made without any: those that a task does not allow are left out.
DEFAULT_GOALS = parse_goals(["f1", "cost", "recall>=0.8", "precision>=0.5", "top:0.1"])
#: The measure that every kind of goal promises.
GOAL_MEASURES = {
    "f1": "f1",
    "cost": "cost",
    "f-beta": "f_beta",
    "recall": "recall",
    "precision": "precision",
    "top": "share",
    "capacity": "share",
}
#: Whether the sealed rows kept a promise, did not but by no more than chance, did not, or whether nothing could be promised.
GoalOutcome: TypeAlias = Literal["met", "within_error", "missed", "unreached"]


class GoalPredictions(NamedTuple):
    """The labels and probabilities of the inner out-of-fold rows and of the sealed rows of one entry in one split."""

    inner_y: Labels
    inner_proba: Proba
    sealed_y: Labels
    sealed_proba: Proba
    inner_weights: Weights = None
    sealed_weights: Weights = None


@dataclass(frozen=True)
class SplitDecision:
    """What a goal gave in one split.

    `threshold` is NaN with several classes. `reached` says whether the inner rows reach the goal there. `inner` and `sealed`
    are counts (k, k), truth × prediction, of the inner and of the sealed rows.
    """

    split: SplitKey
    threshold: float
    reached: bool
    inner: Counts
    sealed: Counts


@dataclass(frozen=True)
class GoalResult:
    """What a goal gave for one entry, over all its splits.

    Attributes
    ----------
    task, entry, goal : str, Entry, ThresholdGoal
        Whose and which goal.
    decisions : tuple of SplitDecision
        Every split.
    measure : str
        The name of the measure that the goal is about.
    level : float
        What the goal asks of it; for goals that maximise or minimise it is what was promised.
    promised : float
        The measure on the inner rows of all splits together.
    attained : mapping of str to MeasureInterval
        All measures on the sealed rows of all splits together.
    outcome : {"met", "within_error", "missed", "unreached"}
        Whether the sealed rows keep the level.
    """

    task: str
    entry: Entry
    goal: ThresholdGoal
    decisions: tuple[SplitDecision, ...]
    measure: str
    level: float
    promised: float
    attained: Mapping[str, MeasureInterval]
    outcome: GoalOutcome

    @property
    def sealed_measure(self) -> MeasureInterval:
        """The measure of the goal on the sealed rows."""
        return self.attained.get(self.measure, UNDEFINED_INTERVAL)

    @property
    def count_reached_splits(self) -> int:
        """In how many splits the inner rows reach the goal."""
        return sum(map(attrgetter("reached"), self.decisions))

    @property
    def thresholds(self) -> dict[SplitKey, float]:
        """The threshold of every split."""
        return {split_decision.split: split_decision.threshold for split_decision in self.decisions}


def check_goals(goals: Iterable[ThresholdGoal], tasks: Mapping[str, tuple[int, CostMatrix]]) -> None:
    """Check that each goal makes sense for a task at least.

    Parameters
    ----------
    goals : iterable of ThresholdGoal
        The goals.
    tasks : mapping of str to (int, costs)
        The number of classes and the costs of every task.

    Raises
    ------
    EvenhandError
        If a goal makes sense for none of the tasks; the message says why for the first one.
    """
    for threshold_goal in goals:
        reasons = []
        for name, (classes, costs) in tasks.items():
            reasons.append((goal_obstacle(threshold_goal, classes, costs), name))
        if reasons and all(map(itemgetter(0), reasons)):
            reason, name = reasons[0]
            raise EvenhandError(
                f"the threshold goal {threshold_goal.text!r} makes no sense for task {name!r}: {reason}"
            )


def classes_and_costs_by_task(scores: Scores) -> dict[str, tuple[int, CostMatrix]]:
    """Look up the number of classes and the costs of every task of a run, as `check_goals` takes them."""
    return {task: (len(scores.classes(task)), scores.costs(task)) for task in scores.run["tasks"]}


def read_run_goals(scores: Scores) -> tuple[ThresholdGoal, ...]:
    """Read the goals that a run was made with; empty where it was made without any."""
    return parse_goals(map(str, scores.run.get("thresholds", ())))


def entries_with_inner_predictions(scores: Scores, task: str) -> list[Entry]:
    """List the entries of a task whose inner predictions are stored: default, tuned and chosen ones, not recalibrated."""
    entries = []
    for entry_task, entry, threshold_kind in scores.by_entry:
        has_inner_predictions = entry.stage != "ensembled" and entry.calibration == NO_CALIBRATION
        if (entry_task, threshold_kind) == (task, DEFAULT_THRESHOLD) and has_inner_predictions:
            entries.append(entry)
    return entries


def find_goal_obstacles(scores: Scores, task: str, goals: Iterable[ThresholdGoal]) -> dict[ThresholdGoal, str]:
    """Say of each goal that makes no sense for a task why."""
    classes, costs = len(scores.classes(task)), scores.costs(task)
    reasons = {}
    for threshold_goal in goals:
        reason = goal_obstacle(threshold_goal, classes, costs)
        if reason:
            reasons[threshold_goal] = reason
    return reasons


def evaluate_goals(
    store: Store, scores: Scores, task: str, entries: Sequence[Entry], goals: Sequence[ThresholdGoal]
) -> list[GoalResult]:
    """Choose a threshold for every entry, split and goal on inner rows, and measure it on the sealed rows.

    Parameters
    ----------
    store : Store
        The run folder; the predictions of each cell are read once.
    scores : Scores
        The scores of the run.
    task : str
        Name of the task.
    entries : sequence of Entry
        Default, tuned, recalibrated or chosen entries; ensembles store no inner predictions and are left out.
    goals : sequence of ThresholdGoal
        Those that make no sense for the task are left out.

    Returns
    -------
    list of GoalResult
        By entry, then by goal.
    """
    goal_obstacles = find_goal_obstacles(scores, task, goals)
    possible_goals = list(filterfalse(goal_obstacles.__contains__, goals))
    if not possible_goals:
        return []
    decisions_by_goal: dict[tuple[Entry, ThresholdGoal], list[SplitDecision]] = {}
    description = scores.run["tasks"][task]
    costs, table_rows = scores.costs(task), description.get("total_weight", description["rows"])
    for record, entry_uses in _entries_by_cell(scores, task, entries):
        stored_predictions = store.read_predictions(record)
        for entry, split, stage in entry_uses:
            predictions = select_goal_predictions(stored_predictions, record, stage)
            for threshold_goal in possible_goals:
                split_decision = choose_threshold_and_count(threshold_goal, predictions, split, costs, table_rows)
                decisions_by_goal.setdefault((entry, threshold_goal), []).append(split_decision)
    goal_results = []
    for entry, threshold_goal in product(entries, possible_goals):
        goal_decisions = sorted(decisions_by_goal.get((entry, threshold_goal), ()), key=attrgetter("split"))
        if goal_decisions:
            goal_results.append(_pool_goal_splits(task, entry, threshold_goal, goal_decisions, costs, table_rows))
    return goal_results


def _entries_by_cell(
    scores: Scores, task: str, entries: Sequence[Entry]
) -> list[tuple[Record, list[tuple[Entry, SplitKey, str]]]]:
    """The cells that hold predictions of the entries: the entries of each with their split and their stage there."""
    uses_by_cell: dict[str, list[tuple[Entry, SplitKey, str]]] = {}
    for entry in entries:
        rows = scores.score_rows_of_entry(task, entry, DEFAULT_THRESHOLD)
        for split, (cell_id, stage, _) in zip(rows.splits, rows.score_keys, strict=True):
            uses_by_cell.setdefault(cell_id, []).append((entry, split, stage))
    entry_uses = []
    for cell in scores.cells:
        if cell.record and cell.record.id in uses_by_cell:
            entry_uses.append((cell.record, uses_by_cell[cell.record.id]))
    return entry_uses


def select_goal_predictions(stored: StoredPredictions, record: Record, stage: str) -> GoalPredictions:
    """Select what a threshold is chosen on and what it is measured on.

    Parameters
    ----------
    stored : StoredPredictions
        The predictions of the cell.
    record : Record
        The cell.
    stage : str
        ``default``, ``tuned``, or ``tuned/<calibration>``: then inner rows are calibrated by calibrators that were fitted
        without them, as for the threshold of the recalibrated entry.
    """
    stage, _, calibration = stage.partition("/")
    inner_proba = stored.inner[stage]
    has_prediction = ~np.isnan(inner_proba).any(axis=1)
    inner_proba, y = inner_proba[has_prediction], stored.train_y[has_prediction]
    weights = None if stored.train_weights is None else stored.train_weights[has_prediction]
    sealed_proba = stored.test[stage]
    if not calibration or calibration == NO_CALIBRATION:
        return GoalPredictions(y, inner_proba, stored.test_y, sealed_proba, weights, stored.test_weights)
    entry_outcome = next(entry_outcome for entry_outcome in record.outcomes if entry_outcome.stage == stage)

    def fit(proba: Proba, labels: Labels, row_weights: Weights = None) -> Calibrator:
        counts = entry_outcome.counts_before, entry_outcome.counts_after
        calibrator = make_calibrator(calibration, proba, labels, *counts, row_weights)
        assert calibrator is not None  # noqa: S101 -- the name is never "none"
        return calibrator

    seed = seed_of(record.task, record.repeat, record.fold, "recalibrate")
    calibrated_proba = cross_calibrate(fit, inner_proba, y, seed, weights)
    sealed_proba = fit(inner_proba, y, weights)(sealed_proba).astype(np.float32)
    return GoalPredictions(y, calibrated_proba, stored.test_y, sealed_proba, weights, stored.test_weights)


def choose_threshold_and_count(
    goal: ThresholdGoal, predictions: GoalPredictions, split: SplitKey, costs: CostMatrix, table_rows: float
) -> SplitDecision:
    """Choose on the inner rows of one split, then count what that decides on both parts.

    Parameters
    ----------
    goal : ThresholdGoal
        A goal that makes sense for the task.
    predictions : GoalPredictions
        Inner and sealed rows.
    split : (int, int)
        Repeat and fold.
    costs : tuple of tuple of float or None
        The costs of the task.
    table_rows : float
        Rows of the whole table, or the sum of their weights.

    Returns
    -------
    SplitDecision
        With several classes every row is decided by its least expected cost, and there is no threshold.
    """
    inner_y, inner_proba, sealed_y, sealed_proba, inner_weights, sealed_weights = predictions
    if inner_proba.shape[1] > 2:
        decided_counts = []
        for y, proba, weights in (
            (inner_y, inner_proba, inner_weights),
            (sealed_y, sealed_proba, sealed_weights),
        ):
            outcomes, k = y * proba.shape[1] + least_cost_labels(proba, costs), proba.shape[1]
            decided_counts.append(np.bincount(outcomes, weights=weights, minlength=k * k).reshape(k, k))
        return SplitDecision(split, math.nan, bool(len(inner_y)), *decided_counts)
    chosen_threshold = choose_threshold(
        goal, inner_y, inner_proba, costs=costs, table_rows=table_rows, weights=inner_weights
    )
    inner_confusion = Predictions(inner_y, inner_proba, chosen_threshold.threshold, weights=inner_weights).confusion
    sealed_confusion = Predictions(sealed_y, sealed_proba, chosen_threshold.threshold, weights=sealed_weights).confusion
    return SplitDecision(split, chosen_threshold.threshold, chosen_threshold.reached, inner_confusion, sealed_confusion)


def _pool_goal_splits(
    task: str,
    entry: Entry,
    threshold_goal: ThresholdGoal,
    split_decisions: Sequence[SplitDecision],
    costs: CostMatrix,
    table_rows: float,
) -> GoalResult:
    """Pool the splits of a goal, and compare what was attained with what was promised."""
    measures_by_name = list_reported_goal_measures(threshold_goal, len(split_decisions[0].sealed), costs)
    repeats = len({split_decision.split[0] for split_decision in split_decisions})
    sealed_confusions = list(map(attrgetter("sealed"), split_decisions))
    attained_intervals = {
        name: measure_interval(measure, sealed_confusions, repeats) for name, measure in measures_by_name.items()
    }
    name = GOAL_MEASURES[threshold_goal.kind]
    if threshold_goal.kind == "f-beta" and threshold_goal.level == 1:
        name = "f1"
    inner_counts = np.sum(list(map(attrgetter("inner"), split_decisions)), axis=0)
    promised_measure = measures_by_name[name].compute(inner_counts)
    goal_level = required_goal_level(threshold_goal, promised_measure, table_rows)
    goal_outcome = compare_with_goal_level(threshold_goal, goal_level, attained_intervals[name])
    if not any(map(attrgetter("reached"), split_decisions)):
        goal_outcome = "unreached"
    return GoalResult(
        task,
        entry,
        threshold_goal,
        tuple(split_decisions),
        name,
        goal_level,
        promised_measure,
        attained_intervals,
        goal_outcome,
    )


def list_reported_goal_measures(goal: ThresholdGoal, classes: int, costs: CostMatrix) -> dict[str, DecisionMeasure]:
    """List the measures that are reported for a goal: those of every goal, and the F score of its beta."""
    return decision_measures(classes, costs, goal.level if goal.kind == "f-beta" else 1.0)


def required_goal_level(goal: ThresholdGoal, promised: float, table_rows: float) -> float:
    """What the measure of a goal should be: its level, the share of rows, or what the inner rows promise."""
    if goal.kind in ("recall", "precision"):
        return goal.level
    if goal.kind in ("top", "capacity"):
        return goal.max_row_share(table_rows)
    return promised


def compare_with_goal_level(goal: ThresholdGoal, level: float, attained: MeasureInterval) -> GoalOutcome:
    """Compare what was attained with the level: met, missed by no more than its interval, or missed."""
    is_upper_limit = goal.kind in ("cost", "top", "capacity")
    level_sign = -1 if is_upper_limit else 1
    nearest_end = attained.low if is_upper_limit else attained.high
    if math.isnan(attained.value) or math.isnan(level):
        return "unreached"
    if level_sign * (attained.value - level) >= -1e-9:
        return "met"
    return "within_error" if level_sign * (nearest_end - level) >= 0 else "missed"
