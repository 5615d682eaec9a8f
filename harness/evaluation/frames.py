"""The results of a run as data frames: scores, configurations, predictions, failures, differences of two entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import EvenhandError
from harness.evaluation.decision_measures import measure_interval
from harness.evaluation.paired_comparison import EntryPair, adjust_difference_p_values, compare_metrics
from harness.evaluation.scores import STATUS_MISSING, Entry, Scores
from harness.evaluation.threshold_goals import GoalResult, list_reported_goal_measures
from harness.metrics.metric import DEFAULT_CUT, CostMatrix
from harness.metrics.threshold import ThresholdGoal
from harness.store.record import EntryResult, Record
from harness.store.row_ids import read_row_ids
from harness.store.store import Store

#: Columns that identify a row of the scores.
SCORE_KEYS = ("task", "entry", "family", "strategy", "stage", "calibration", "threshold_kind", "repeat", "fold")
#: Columns of `ScoreRows` besides the metrics → their names in the frame.
SCORE_EXTRAS = {
    "threshold": "threshold",
    "inner": "inner_score",
    "train": "training_score",
    "trial": "trial",
    "trials": "trials",
    "fit_seconds": "fit_seconds",
    "predict_us_per_row": "predict_us_per_row",
    "parameters": "parameters",
    "model_bytes": "model_bytes",
}
#: Columns of predictions that no column of the user replaces.
PREDICTION_COLUMNS = ("row", "repeat", "fold", "y", "decision")
DECISION_COLUMNS = ("precision", "recall", "share", "f1", "f_beta", "accuracy", "cost")
THRESHOLD_COLUMNS = (
    *("task", "entry", "family", "strategy", "stage", "calibration", "goal", "repeat", "fold", "threshold", "reached"),
    *("measure", "level", "promised", "attained", "attained_low", "attained_high"),
    *(f"inner_{name}" for name in DECISION_COLUMNS),
    *DECISION_COLUMNS,
)
FAILURE_COLUMNS = ("task", "entry", "repeat", "fold", "status", "trials", "code", "reason")
DIFFERENCE_COLUMNS = (
    *("metric", "metric_type", "threshold_kind", "a", "b", "difference", "ci_low", "ci_high", "adjusted_p", "better"),
)


def collect_score_frame(scores: Scores) -> pd.DataFrame:
    """Collect every score of a run.

    Parameters
    ----------
    scores : Scores
        The scores.

    Returns
    -------
    DataFrame
        A row per task, entry (with its calibration), kind of threshold and outer split; a column per metric, then the
        threshold, the inner and the training score, and the effort.
    """
    # Measured on the quick suite: 0.02 s of CPU; a frame per entry, joined at the end, took 1.6 s.
    keys: list[tuple[Any, ...]] = []
    for (task, entry, threshold_kind), rows in scores.by_entry.items():
        for repeat, fold in rows.splits:
            keys.append((task, entry.name, *entry, threshold_kind, repeat, fold))
    frame = pd.DataFrame(keys, columns=list(SCORE_KEYS))
    columns = {}
    for name in (*scores.metrics, *SCORE_EXTRAS):
        parts = [rows[name] for rows in scores.by_entry.values()]
        columns[SCORE_EXTRAS.get(name, name)] = np.concatenate(parts) if parts else np.empty(0)
    return pd.concat([frame, pd.DataFrame(columns)], axis=1)


def collect_param_frame(scores: Scores, task: str, entry: Entry) -> pd.DataFrame:
    """Collect the configuration that an entry has in every split.

    Parameters
    ----------
    scores : Scores
        The scores.
    task : str
        The task.
    entry : Entry
        The entry.

    Returns
    -------
    DataFrame
        A row per outer split: repeat, fold, number of the trial, inner score, threshold, and a column per parameter.

    Raises
    ------
    EvenhandError
        If the entry combines several configurations.
    """
    lines = []
    for record, outcome in _entry_results_with_records(scores, task, entry):
        line: dict[str, Any] = {"repeat": record.repeat, "fold": record.fold, "trial": outcome.trial}
        line |= {"inner_score": outcome.inner_score, "threshold": outcome.threshold}
        lines.append(line | outcome.params)
    return pd.DataFrame(lines)


def collect_prediction_frame(store: Store, scores: Scores, task: str, entry: Entry) -> pd.DataFrame:
    """Collect the predictions of an entry for its sealed test rows.

    Parameters
    ----------
    store : Store
        The run.
    scores : Scores
        Its scores.
    task : str
        The task.
    entry : Entry
        The entry.

    Returns
    -------
    DataFrame
        A row per test row and repeat: position of the row in the table, the columns that name it, repeat, fold, true class, a column
        ``proba_<class>`` per class, and the decision: at the tuned threshold of the split with two classes, else the most
        probable class.

    Raises
    ------
    EvenhandError
        If the predictions of the entry are not stored: those of calibrated and combined entries are not.
    """
    classes = np.array(scores.classes(task), dtype=object)
    parts, ids = [], read_row_ids(store, task)
    for record, outcome in _entry_results_with_records(scores, task, entry):
        stored = store.read_predictions(record)
        proba = stored.test[outcome.stage]
        if len(classes) == 2:
            threshold = DEFAULT_CUT if outcome.threshold is None else outcome.threshold
            decisions = (proba[:, 1] >= threshold).astype(np.int64)
        else:
            decisions = proba.argmax(axis=1)
        columns: dict[str, Any] = {"row": stored.test_rows}
        columns |= _id_columns(ids, stored.test_rows)
        columns |= {"repeat": record.repeat, "fold": record.fold}
        columns["y"] = classes[stored.test_y]
        columns |= {f"proba_{name}": proba[:, label] for label, name in enumerate(classes)}
        columns["decision"] = classes[decisions]
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _id_columns(ids: pd.DataFrame | None, rows: Any) -> dict[str, Any]:
    """The columns that name rows, under names that no other column of predictions has."""
    columns: dict[str, Any] = {}
    if ids is not None:
        for name, column in ids.items():
            is_taken = name in PREDICTION_COLUMNS or str(name).startswith("proba_")
            columns[f"id_{name}" if is_taken else str(name)] = column.to_numpy()[rows]
    return columns


def collect_failure_frame(scores: Scores) -> pd.DataFrame:
    """Collect what did not work: cells that are not `ok`, trials that failed, metrics that raised an error.

    Parameters
    ----------
    scores : Scores
        The scores.

    Returns
    -------
    DataFrame
        A row per cell, or per cell and reason for failed trials: task, entry, split, status, number of trials, code
        and reason. In runs that were stored before there were codes, those of cells are empty and those of trials
        ``unknown``.
    """
    lines: list[tuple[Any, ...]] = []
    for cell in scores.cells:
        entry, record = f"{cell.family}/{cell.strategy}", cell.record
        repeat, fold, code = None, None, ""
        if record:
            repeat, fold, code = record.repeat, record.fold, record.code
        if cell.status not in ("ok", STATUS_MISSING):
            lines.append((cell.task, entry, repeat, fold, cell.status, None, code, cell.reason))
        if record:
            for reason, count in record.trial_failures.items():
                lines.append((cell.task, entry, repeat, fold, "trial failed", count, reason.code, reason.message))
    for name, messages in scores.metric_failures.items():
        message = f"{name}: {messages[0]} ({len(messages)} times)"
        lines.append((None, None, None, None, "metric failed", None, "unexpected_error", message))
    frame = pd.DataFrame(lines, columns=list(FAILURE_COLUMNS))
    return frame.astype({"repeat": "Int64", "fold": "Int64", "trials": "Int64"})


def make_difference_frame(pair: EntryPair) -> pd.DataFrame:
    """Compare every metric of two entries.

    Parameters
    ----------
    pair : EntryPair
        The entries.

    Returns
    -------
    DataFrame
        A row per metric, and per kind of threshold for those of decisions: both means, the difference A − B with its 95 %
        interval, its p value after Holm's adjustment over all rows, and which entry is significantly better: `a`, `b` or
        empty.
    """
    lines = []
    for difference in adjust_difference_p_values(compare_metrics(pair)):
        estimate = difference.difference
        low, high = estimate.mean - estimate.ci_half_width, estimate.mean + estimate.ci_half_width
        better = {1: "a", -1: "b"}.get(difference.direction, "")
        keys = (difference.name, difference.metric_type, difference.threshold_kind)
        lines.append((*keys, difference.a, difference.b, estimate.mean, low, high, difference.adjusted_p, better))
    return pd.DataFrame(lines, columns=list(DIFFERENCE_COLUMNS))


def _entry_results_with_records(scores: Scores, task: str, entry: Entry) -> Sequence[tuple[Record, EntryResult]]:
    """The results of an entry with the records that hold them, split by split."""
    outcomes = []
    if entry.calibration == "none":
        for cell in scores.cells:
            if cell.record and (cell.task, cell.family, cell.strategy) == (task, entry.family, entry.strategy):
                outcomes += [(cell.record, outcome) for outcome in cell.record.outcomes if outcome.stage == entry.stage]
    if not outcomes:
        raise EvenhandError(
            f"{entry.name}: a run stores the configurations and predictions of default and tuned entries; those of calibrated "
            "and combined ones are computed with the tables"
        )
    return sorted(outcomes, key=lambda pair: (pair[0].repeat, pair[0].fold))


def make_threshold_frame(results: Iterable[GoalResult], costs_by_task: Mapping[str, CostMatrix]) -> pd.DataFrame:
    """Collect results as a tidy frame.

    Parameters
    ----------
    results : iterable of GoalResult
        What `evaluate_goals` returned, of any tasks.
    costs_by_task : mapping
        The costs of every task.

    Returns
    -------
    DataFrame
        A row per task, entry, goal and outer split: the threshold, whether the inner rows reach the goal, its measure with its
        level, what the inner rows promised and the sealed rows attained with a 95 % interval, then all measures on both.
    """
    lines: list[dict[str, Any]] = []
    for result in results:
        measures = list_reported_goal_measures(result.goal, len(result.decisions[0].sealed), costs_by_task[result.task])
        for decision in result.decisions:
            attained = measure_interval(measures[result.measure], [decision.sealed])
            promised = measures[result.measure].compute(decision.inner)
            line: dict[str, Any] = {"task": result.task, "entry": result.entry.name, **result.entry._asdict()}
            line |= {"goal": result.goal.text, "repeat": decision.split[0], "fold": decision.split[1]}
            line |= {"threshold": decision.threshold, "reached": decision.reached, "measure": result.measure}
            line |= {"level": result.level if _has_goal_own_level(result.goal) else promised, "promised": promised}
            line |= {"attained": attained.value, "attained_low": attained.low, "attained_high": attained.high}
            for name, measure in measures.items():
                line[f"inner_{name}"] = measure.compute(decision.inner)
                line[name] = measure.compute(decision.sealed)
            lines.append(line)
    return pd.DataFrame(lines, columns=list(THRESHOLD_COLUMNS))


def _has_goal_own_level(goal: ThresholdGoal) -> bool:
    return goal.kind in ("recall", "precision", "top", "capacity")
