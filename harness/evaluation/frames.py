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
        score_columns = [rows[name] for rows in scores.by_entry.values()]
        columns[SCORE_EXTRAS.get(name, name)] = np.concatenate(score_columns) if score_columns else np.empty(0)
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
    for record, entry_outcome in _entry_results_with_records(scores, task, entry):
        line: dict[str, Any] = {"repeat": record.repeat, "fold": record.fold, "trial": entry_outcome.trial}
        line |= {"inner_score": entry_outcome.inner_score, "threshold": entry_outcome.threshold}
        lines.append(line | entry_outcome.params)
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
    split_frames, row_ids = [], read_row_ids(store, task)
    for record, entry_outcome in _entry_results_with_records(scores, task, entry):
        stored_predictions = store.read_predictions(record)
        proba = stored_predictions.test[entry_outcome.stage]
        if len(classes) == 2:
            threshold = DEFAULT_CUT if entry_outcome.threshold is None else entry_outcome.threshold
            decided_classes = (proba[:, 1] >= threshold).astype(np.int64)
        else:
            decided_classes = proba.argmax(axis=1)
        columns: dict[str, Any] = {"row": stored_predictions.test_rows}
        columns |= _id_columns(row_ids, stored_predictions.test_rows)
        columns |= {"repeat": record.repeat, "fold": record.fold}
        columns["y"] = classes[stored_predictions.test_y]
        columns |= {f"proba_{name}": proba[:, class_label] for class_label, name in enumerate(classes)}
        columns["decision"] = classes[decided_classes]
        split_frames.append(pd.DataFrame(columns))
    return pd.concat(split_frames, ignore_index=True)


def _id_columns(row_ids: pd.DataFrame | None, rows: Any) -> dict[str, Any]:
    """The columns that name rows, under names that no other column of predictions has."""
    columns: dict[str, Any] = {}
    if row_ids is not None:
        for name, column in row_ids.items():
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
        repeat, fold, failure_code = None, None, ""
        if record:
            repeat, fold, failure_code = record.repeat, record.fold, record.code
        if cell.status not in ("ok", STATUS_MISSING):
            lines.append((cell.task, entry, repeat, fold, cell.status, None, failure_code, cell.reason))
        if record:
            for reason, failure_count in record.trial_failures.items():
                lines.append(
                    (cell.task, entry, repeat, fold, "trial failed", failure_count, reason.code, reason.message)
                )
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
        interval_low, interval_high = estimate.mean - estimate.ci_half_width, estimate.mean + estimate.ci_half_width
        better_entry = {1: "a", -1: "b"}.get(difference.direction, "")
        keys = (difference.name, difference.metric_type, difference.threshold_kind)
        lines.append(
            (
                *keys,
                difference.a,
                difference.b,
                estimate.mean,
                interval_low,
                interval_high,
                difference.adjusted_p,
                better_entry,
            )
        )
    return pd.DataFrame(lines, columns=list(DIFFERENCE_COLUMNS))


def _entry_results_with_records(scores: Scores, task: str, entry: Entry) -> Sequence[tuple[Record, EntryResult]]:
    """The results of an entry with the records that hold them, split by split."""
    recorded_outcomes = []
    if entry.calibration == "none":
        for cell in scores.cells:
            if cell.record and (cell.task, cell.family, cell.strategy) == (task, entry.family, entry.strategy):
                recorded_outcomes += [
                    (cell.record, entry_outcome)
                    for entry_outcome in cell.record.outcomes
                    if entry_outcome.stage == entry.stage
                ]
    if not recorded_outcomes:
        raise EvenhandError(
            f"{entry.name}: a run stores the configurations and predictions of default and tuned entries; those of calibrated "
            "and combined ones are computed with the tables"
        )
    return sorted(recorded_outcomes, key=lambda pair: (pair[0].repeat, pair[0].fold))


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
    for goal_result in results:
        measures_by_name = list_reported_goal_measures(
            goal_result.goal, len(goal_result.decisions[0].sealed), costs_by_task[goal_result.task]
        )
        for split_decision in goal_result.decisions:
            attained_interval = measure_interval(measures_by_name[goal_result.measure], [split_decision.sealed])
            promised_measure = measures_by_name[goal_result.measure].compute(split_decision.inner)
            line: dict[str, Any] = {
                "task": goal_result.task,
                "entry": goal_result.entry.name,
                **goal_result.entry._asdict(),
            }
            line |= {"goal": goal_result.goal.text, "repeat": split_decision.split[0], "fold": split_decision.split[1]}
            line |= {
                "threshold": split_decision.threshold,
                "reached": split_decision.reached,
                "measure": goal_result.measure,
            }
            line |= {
                "level": goal_result.level if _has_goal_own_level(goal_result.goal) else promised_measure,
                "promised": promised_measure,
            }
            line |= {
                "attained": attained_interval.value,
                "attained_low": attained_interval.low,
                "attained_high": attained_interval.high,
            }
            for name, measure in measures_by_name.items():
                line[f"inner_{name}"] = measure.compute(split_decision.inner)
                line[name] = measure.compute(split_decision.sealed)
            lines.append(line)
    return pd.DataFrame(lines, columns=list(THRESHOLD_COLUMNS))


def _has_goal_own_level(threshold_goal: ThresholdGoal) -> bool:
    return threshold_goal.kind in ("recall", "precision", "top", "capacity")
