"""What a run contains about one of its entries: its choice, its nested metrics, its predictions for sealed test rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import EvenhandError
from harness.evaluation.corrected_t import Estimate
from harness.evaluation.decision import recommend_entry
from harness.evaluation.evaluate import RECALIBRATED_STAGES
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.ranking import BASELINE, Ranking, mean_score, rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import ANY_NAME, COMBINED_STAGES, Entry, ScoreRows, Scores, find_entry_by_name
from harness.evaluation.threshold_goals import GoalResult
from harness.metrics import calibration as calibrations
from harness.metrics.calibration import NO_CALIBRATION, Calibrator, has_known_prior, make_calibrator
from harness.metrics.metric import Metric
from harness.metrics.threshold import least_cost_labels
from harness.registry.registry import suggest_similar_name
from harness.store.record import EntryResult, Record
from harness.store.store import Store


@dataclass(frozen=True)
class ModelCardMetric:
    """A nested metric of an entry: its mean over the outer splits with a 95 % interval.

    Attributes
    ----------
    name, label : str
        Name of the metric, and its name in tables.
    metric_type : str
        ``"ranking"``, ``"decision"`` or ``"probability"``.
    threshold_kind : str
        At which threshold decisions were taken, DEFAULT_THRESHOLD or TUNED_THRESHOLD; empty where none matters.
    mean, ci_half_width : float
        Mean, and half the width of its interval; NaN where there is none.
    interval : (float, float), optional
        The ends of the interval, which stay within the range of the metric.
    """

    name: str
    label: str
    metric_type: str
    threshold_kind: str
    mean: float
    ci_half_width: float
    interval: tuple[float, float] | None = None

    @property
    def key(self) -> str:
        """Its name in the manifest."""
        return f"{self.name}_at_half" if self.threshold_kind == DEFAULT_THRESHOLD else self.name

    def as_dict(self) -> dict[str, float | None]:
        """Convert mean and interval to plain values for JSON."""
        if math.isnan(self.ci_half_width):
            return {"mean": self.mean, "low": None, "high": None}
        low, high = self.interval or (self.mean - self.ci_half_width, self.mean + self.ci_half_width)
        return {"mean": self.mean, "low": low, "high": high}


@dataclass(frozen=True)
class RankingPosition:
    """The position of an entry in the ranking of its run.

    Attributes
    ----------
    rank : int or None
        Its rank; None without one.
    entries : int
        Number of ranked entries.
    tied : int or None
        Number of entries that are not significantly different from the first; None where no test can be made.
    is_tied : bool or None
        Whether it is one of them; None where it is the first, or no test can be made.
    chosen_by_name : bool
        Whether it was named for the export, and not taken for being first.
    splits, planned_splits : int
        Outer splits with and without scores.
    no_test_reason : str
        Why there are no tests and intervals; empty where there are.
    inner_choice : (float, float) or None
        Objective of the choice by inner scores alone: mean, and half the width of its interval.
    baseline : float or None
        Objective of the baseline.
    """

    rank: int | None
    entries: int
    tied: int | None
    is_tied: bool | None
    chosen_by_name: bool
    splits: int
    planned_splits: int
    no_test_reason: str
    inner_choice: tuple[float, float] | None
    baseline: float | None


@dataclass(frozen=True)
class RunEntry:
    """An entry of a run, with the scores and the ranking of the run."""

    store: Store
    scores: Scores
    ranking: Ranking
    entry: Entry

    @property
    def task_name(self) -> str:
        """Name of the entry's task."""
        return self.ranking.task

    @property
    def task_metadata(self) -> Mapping[str, Any]:
        """What `run.json` says about the task."""
        return dict(self.scores.run["tasks"][self.task_name])

    @property
    def score_rows(self) -> ScoreRows:
        """Its scores by split, at the tuned threshold where there is one."""
        return self.scores.score_rows_of_entry(
            self.task_name, self.entry, self.scores.threshold_kinds(self.task_name)[-1]
        )

    @property
    def records_with_results(self) -> list[tuple[Record, EntryResult]]:
        """Its stored cells with the result of its stage, by split."""
        cell_key = (self.task_name, self.entry.family, self.entry.strategy)
        records = []
        for cell in self.scores.cells:
            if cell.record and (cell.task, cell.family, cell.strategy) == cell_key:
                results = [result for result in cell.record.outcomes if result.stage == self.entry.stage]
                records += [(cell.record, result) for result in results]
        return sorted(records, key=lambda pair: (pair[0].repeat, pair[0].fold))


@dataclass(frozen=True)
class HeldOutPredictions:
    """Predictions of an entry for the rows of its task as sealed test rows, averaged over repeats.

    Attributes
    ----------
    proba : ndarray of float32, shape (n, k)
        Probabilities; NaN where a row never was a test row.
    labels : ndarray of int, shape (n,)
        Predicted classes; −1 where a row never was a test row. With two classes they are decided at the threshold of each
        split, which was chosen without that row.
    """

    proba: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


def read_run_entry(
    store: Store, metrics: Mapping[str, Metric], task: str | None, entry: str | None, calibration: str | None
) -> RunEntry:
    """Read an entry of a run with its scores.

    Parameters
    ----------
    store : Store
        The run.
    metrics : mapping of Metric
        The registered metrics by name.
    task : str or None
        Name of the task; None where the run has only one.
    entry : str or None
        Name of the entry; None for the recommended one.
    calibration : str or None
        Name of a calibration; None for that of the entry.

    Returns
    -------
    RunEntry
        The entry.

    Raises
    ------
    EvenhandError
        If there is no such task or entry, or it cannot be exported; see `choose_entry`.
    """
    scores = collect_scores(store, metrics)
    ranking = rank_entries(scores, find_task(scores, task))
    return RunEntry(store, scores, ranking, choose_entry(scores, ranking, entry, calibration))


def find_task(scores: Scores, name: str | None) -> str:
    """Find a task of a run by name; raises `EvenhandError` for a wrong name, or None where there are several tasks."""
    tasks = list(map(str, scores.run["tasks"]))
    if name is None:
        if len(tasks) != 1:
            raise EvenhandError(
                f"the run has {len(tasks)} tasks: say which (--task, in Python: task=), one of {', '.join(tasks)}"
            )
        return tasks[0]
    if name not in tasks:
        raise EvenhandError(f"no such task {name!r} in this run: {suggest_similar_name(name, tasks)}")
    return name


def choose_entry(scores: Scores, ranking: Ranking, name: str | None, calibration: str | None) -> Entry:
    """Choose the entry to be exported: by name, or the recommended one.

    Where none is recommended it is the first of the ranking, and the baseline only if there is nothing else.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.
    name : str or None
        Name of the entry, with or without its task.
    calibration : str or None
        Name of a calibration; None for that of the entry.

    Returns
    -------
    Entry
        The entry with its calibration.

    Raises
    ------
    EvenhandError
        If the entry combines several configurations or has no scores, or if the run has no scores with this calibration.
    """
    if name is None:
        recommended = recommend_entry(scores, ranking).entry
        entry = recommended.entry if recommended is not None else _first_exportable_entry(ranking)
    else:
        prefix = f"{ranking.task}/"
        _, entry = find_entry_by_name(scores, name if name.startswith(prefix) else prefix + name)
    if entry.stage in COMBINED_STAGES:
        alternatives = _exportable_entry_names(ranking)
        message = f"{entry.name} is made of several entries and no procedure of its own: {alternatives} can be exported"
        raise EvenhandError(message)
    if calibration:
        entry = entry._replace(calibration=calibration)
    if entry.calibration != NO_CALIBRATION:
        _check_entry_calibration(scores, ranking.task, entry)
    return entry


def _first_exportable_entry(ranking: Ranking) -> Entry:
    """The first entry that is a single configuration, ranked ones before those that lack splits, the baseline last."""
    singles = [ranked for ranked in ranking.entries if ranked.entry.stage not in COMBINED_STAGES and len(ranked.rows)]
    entries = [ranked.entry for ranked in singles]
    if not entries:
        raise EvenhandError(f"nothing of {ranking.task} has been evaluated: the command of the run does it")
    return next((entry for entry in entries if entry.family != BASELINE), entries[0])


def _exportable_entry_names(ranking: Ranking) -> str:
    entries = [ranked.entry for ranked in ranking.entries if ranked.rank is not None]
    names = [entry.name for entry in entries if entry.family != BASELINE]
    if not names:
        return "nothing of this task"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _check_entry_calibration(scores: Scores, task: str, entry: Entry) -> None:
    known = (*calibrations.FITTED_CALIBRATIONS, calibrations.PRIOR_CORRECTION)
    if entry.calibration not in known:
        advice = suggest_similar_name(entry.calibration, (NO_CALIBRATION, *known))
        raise EvenhandError(f"no such calibration {entry.calibration!r}: {advice}")
    if entry.stage not in RECALIBRATED_STAGES or entry.family == BASELINE:
        raise EvenhandError(f"{entry.family}/{entry.strategy}/{entry.stage} has no recalibrated scores: tuned ones do")
    strategy = scores.run["strategies"].get(entry.strategy, {})
    if entry.calibration == calibrations.PRIOR_CORRECTION and not has_known_prior(strategy, entry.strategy):
        message = f"--calibration prior is for weights and random over- or undersampling, not for the strategy {entry.strategy}"
        raise EvenhandError(message)
    if not len(scores.score_rows_of_entry(task, entry, DEFAULT_THRESHOLD)):
        raise EvenhandError(f"{entry.name} has no scores: a class had too few inner rows to fit a calibration")


def compute_card_metrics(run_entry: RunEntry) -> tuple[ModelCardMetric, ...]:
    """Compute every metric of an entry with its interval, as in the report of the run.

    Parameters
    ----------
    run_entry : RunEntry
        The entry.

    Returns
    -------
    tuple of ModelCardMetric
        The objective first; decision metrics once per threshold.
    """
    scores, task, metrics = run_entry.scores, run_entry.task_name, []
    threshold_kinds = scores.threshold_kinds(task)
    for threshold_kind in threshold_kinds:
        for metric in scores.metrics.values():
            is_decision = metric.metric_type == "decision"
            if not is_decision and threshold_kind != threshold_kinds[-1]:
                continue
            score = _mean_outer_score(run_entry, metric, threshold_kind)
            if math.isnan(score.mean):
                continue
            label_kind = threshold_kind if is_decision and len(threshold_kinds) > 1 else ""
            names = (metric.name, metric.label or metric.name, metric.metric_type, label_kind)
            metrics.append(ModelCardMetric(*names, score.mean, score.ci_half_width, score.interval))
    objective = scores.objective(task).name
    return tuple(sorted(metrics, key=lambda metric: metric.name != objective))


def _mean_outer_score(run_entry: RunEntry, metric: Metric, threshold_kind: str) -> Estimate:
    """The mean of a metric over the outer splits with its interval: that of the ranking where it has one."""
    scores, ranking = run_entry.scores, run_entry.ranking
    ranked = ranking.resolve_entry(run_entry.entry)
    if ranked is not None and (metric.name, threshold_kind) == (ranking.metric.name, ranking.threshold_kind):
        return ranked.score
    rows = scores.score_rows_of_entry(run_entry.task_name, run_entry.entry, threshold_kind)
    return mean_score(scores, run_entry.task_name, metric, rows, testable=not ranking.no_test_reason)


def average_held_out_predictions(run_entry: RunEntry, goal_result: GoalResult | None = None) -> HeldOutPredictions:
    """Average the predictions of an entry for sealed test rows, recalibrated in every split as for its scores.

    Decisions are those of the goal where there is a result of one.
    """
    n, k = int(run_entry.task_metadata["rows"]), len(run_entry.task_metadata["classes"])
    thresholds = dict(zip(run_entry.score_rows.splits, run_entry.score_rows["threshold"].tolist(), strict=True))
    if goal_result is not None:
        thresholds = goal_result.thresholds
    proba_sum, margin_sum, counts = np.zeros((n, k)), np.zeros(n), np.zeros(n)
    for record, result in run_entry.records_with_results:
        threshold = thresholds.get((record.repeat, record.fold))
        if threshold is None:
            continue
        stored = run_entry.store.read_predictions(record)
        proba = stored.test[result.stage]
        calibrate = fit_split_calibrator(run_entry, record, result)
        if calibrate is not None:
            proba = calibrate(proba).astype(np.float32)
        proba_sum[stored.test_rows] += proba
        margin_sum[stored.test_rows] += proba[:, -1].astype(float) - threshold
        counts[stored.test_rows] += 1
    was_tested = counts > 0
    mean_proba = np.full((n, k), np.nan, dtype=np.float32)
    mean_proba[was_tested] = (proba_sum[was_tested] / counts[was_tested, None]).astype(np.float32)
    labels = margin_sum >= 0 if k == 2 else proba_sum.argmax(axis=1)
    if goal_result is not None and k > 2:
        labels = least_cost_labels(proba_sum, run_entry.scores.costs(run_entry.task_name))
    return HeldOutPredictions(mean_proba, np.where(was_tested, labels, -1).astype(np.int64))


def fit_split_calibrator(run_entry: RunEntry, record: Record, entry_result: EntryResult) -> Calibrator | None:
    """Fit the calibrator of the entry in one split on the inner rows of that split; None without calibration."""
    stored = run_entry.store.read_predictions(record)
    inner_proba = stored.inner[entry_result.stage]
    counts = (entry_result.counts_before, entry_result.counts_after, stored.train_weights)
    return make_calibrator(run_entry.entry.calibration, inner_proba, stored.train_y, *counts)


def ranking_position(run_entry: RunEntry, *, chosen_by_name: bool) -> RankingPosition:
    """Find the position of the entry in the ranking of its run.

    Parameters
    ----------
    run_entry : RunEntry
        The entry; recalibrated ones have the position of the same entry before recalibration.
    chosen_by_name : bool
        Whether it was named for the export.

    Returns
    -------
    RankingPosition
        Rank, ties, and the scores to compare with.
    """
    ranking = run_entry.ranking
    ranked = [entry for entry in ranking.entries if entry.rank is not None]
    position = ranking.resolve_entry(run_entry.entry._replace(calibration=NO_CALIBRATION))
    inner_choice = ranking.find_line(ANY_NAME, ANY_NAME, "chosen")
    inner_score = baseline_score = None
    if inner_choice and inner_choice.complete:
        inner_score = (inner_choice.score.mean, inner_choice.score.ci_half_width)
    if ranking.baseline and ranking.baseline.score.n:
        baseline_score = ranking.baseline.score.mean
    return RankingPosition(
        rank=position.rank if position else None,
        entries=len(ranked),
        tied=None if ranking.no_test_reason else sum(bool(entry.tied) for entry in ranked),
        is_tied=position.tied if position else None,
        chosen_by_name=chosen_by_name,
        splits=len(run_entry.score_rows),
        planned_splits=ranking.splits,
        no_test_reason=ranking.no_test_reason,
        inner_choice=inner_score,
        baseline=baseline_score,
    )
