"""The procedure that a run has measured, done once on all rows: one search, one fit, a threshold, a calibrator.

No row is held back, so nothing here can be scored: how good the procedure is was measured by the nested splits of the run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.data.splits import Fold
from harness.errors import EvenhandError
from harness.execution.cell import Cell, make_search_cache, make_study_plan
from harness.execution.plan import make_cell
from harness.execution.trainer import CellTrainer, TrainingData
from harness.execution.worker import WorkerContext
from harness.metrics import calibration as calibrations
from harness.metrics.calibration import NO_CALIBRATION, Calibrator, Weights, make_calibrator
from harness.metrics.logits import Labels, Proba
from harness.metrics.metric import best_threshold
from harness.metrics.threshold import ThresholdGoal, choose_threshold
from harness.processes import ProgressCallback
from harness.registry.task import Table
from harness.search.pipeline import FittedPipeline
from harness.search.study import NO_TRIAL, Configuration, StudyPlan, TrialResult, run_study
from harness.seeding import seed_of
from harness.store.store import Store

#: Repeat and fold of a cell that holds no row back.
NO_SPLIT = -1


@dataclass(frozen=True)
class EntrySpec:
    """The entry that is to be fitted to all rows of a task; without a goal its threshold is chosen as in every split."""

    task: str
    family: str
    strategy: str
    stage: str
    calibration: str = NO_CALIBRATION
    goal: ThresholdGoal | None = None

    @property
    def name(self) -> str:
        """How the entry is named in messages."""
        return f"{self.task}/{self.family}/{self.strategy}/{self.stage}"


@dataclass(frozen=True)
class FinalModel:
    """A pipeline fitted to all rows, its configuration, its threshold, its calibrator.

    `threshold` is None with several classes; it applies to calibrated probabilities where there is a calibrator.
    """

    fitted: FittedPipeline
    trials: int  #: complete ones
    trial: int  #: the trial whose configuration it has
    params: dict[str, Any]
    score: float  #: mean objective over the inner folds
    threshold: float | None
    calibrator: Calibrator | None


def refit_on_all(context: WorkerContext, entry: EntrySpec, store: Store, on_progress: ProgressCallback) -> FinalModel:
    """Search and fit on all rows, with the trials or the budget and the kind of inner folds that a cell has.

    Parameters
    ----------
    context : WorkerContext
        The declarations and the tables.
    entry : EntrySpec
        What is to be fitted. The stage `default` needs trial 0 alone.
    store : Store
        Where the study and its probabilities are kept: an interrupted search continues, a finished one is not repeated.
    on_progress : callable
        Receives progress messages.

    Returns
    -------
    FinalModel
        The fitted pipeline with what decides on its probabilities.

    Raises
    ------
    EvenhandError
        If no configuration can be fitted, a class has too few rows for a calibrator, or no threshold reaches the goal.
    """
    cell = make_final_cell(context, entry)
    rows = np.arange(len(context.loaded_task(entry.task).table.y))
    training_data = context.cell_data_for_fold(cell, Fold(NO_SPLIT, NO_SPLIT, rows, rows[:0])).separate_training_data()
    store.keep_or_delete_study(cell.id, cell.key)
    trainer = CellTrainer(cell, training_data)
    plan = make_study_plan(cell, training_data, store)
    if entry.stage == "default":
        plan = replace(plan, trials=1, budget=None)

    def evaluate(params: dict[str, Any], number: int) -> TrialResult:
        on_progress(_describe_trial_progress(plan, number))
        return trainer.score_inner(params, number)

    search_result = run_study(plan, evaluate, make_search_cache(cell, store))
    chosen_configuration = search_result.default if entry.stage == "default" else search_result.best
    if chosen_configuration is None:
        reason = next(iter(search_result.failures), NO_TRIAL)
        raise EvenhandError(f"{entry.name} cannot be fitted to all rows: {reason.message}")
    on_progress(f"fitting {entry.name} to all {len(rows):,} rows")
    fitted_pipeline, _, _ = trainer.fit(entry.stage, chosen_configuration.params)
    threshold, calibrator = _choose_threshold_and_calibrator(
        entry, training_data, chosen_configuration, fitted_pipeline
    )
    trial, params, score = chosen_configuration.trial, chosen_configuration.params, chosen_configuration.score
    return FinalModel(fitted_pipeline, search_result.complete, trial, params, score, threshold, calibrator)


def make_final_cell(context: WorkerContext, entry: EntrySpec) -> Cell:
    """The cell that holds no row back: its key changes with data and declarations as that of any other."""
    fold = Fold(NO_SPLIT, NO_SPLIT, np.arange(0), np.arange(0))
    family, loaded_task = context.registry.family(entry.family), context.loaded_task(entry.task)
    cell = make_cell(context.request, context.registry, loaded_task, (family, entry.strategy), fold)
    seed = seed_of(context.request.protocol.seed, entry.task, entry.family, entry.strategy, "export")
    return replace(cell, seed=seed)


def _describe_trial_progress(plan: StudyPlan, trial_number: int) -> str:
    text = f"trial {trial_number + 1}"
    if plan.trials:
        text += f" of {plan.trials}"
    if plan.budget:
        text += f" (within {plan.budget:g} s)"
    return text


def _choose_threshold_and_calibrator(
    entry: EntrySpec, training_data: TrainingData, chosen_configuration: Configuration, fitted_pipeline: FittedPipeline
) -> tuple[float | None, Calibrator | None]:
    """Threshold and calibrator, from out-of-fold probabilities as in a nested split: see `choose_calibrated_threshold`."""
    table, proba = training_data.table, chosen_configuration.proba
    if entry.calibration == NO_CALIBRATION:
        return _choose_threshold(entry, training_data, table, proba), None
    is_predicted = np.flatnonzero(~np.isnan(proba).any(axis=1))
    table, proba = table.take(is_predicted), proba[is_predicted]
    y = table.y
    if not calibrations.has_enough_rows(y, fitted_pipeline.classes, calibrations.N_FOLDS):
        raise EvenhandError(
            f"a calibration takes {calibrations.N_FOLDS} inner rows of every class: {entry.name} has fewer"
        )

    def fit(part: Proba, labels: Labels, weights: Weights = None) -> Calibrator:
        counts = fitted_pipeline.counts_before, fitted_pipeline.counts_after
        calibrator = make_calibrator(entry.calibration, part, labels, *counts, weights)
        assert calibrator is not None  # noqa: S101 -- `NO_CALIBRATION` was handled above
        return calibrator

    threshold = None
    if fitted_pipeline.classes == 2:
        seed = seed_of(training_data.protocol.seed, entry.task, "export", "recalibrate")
        calibrated = calibrations.cross_calibrate(fit, proba, y, seed, table.weights)
        threshold = _choose_threshold(entry, training_data, table, calibrated)
    return threshold, fit(proba, y, table.weights)


def _choose_threshold(entry: EntrySpec, training_data: TrainingData, table: Table, proba: Proba) -> float | None:
    """The threshold for the goal of the entry, or by the rule of the splits; None with several classes."""
    if proba.shape[1] > 2:
        return None
    if entry.goal is None:
        return best_threshold(table.y, proba, training_data.spec.costs, weights=table.weights)
    chosen_threshold = choose_threshold(
        entry.goal,
        table.y,
        proba,
        costs=training_data.spec.costs,
        table_rows=training_data.table.total_weight,
        weights=table.weights,
    )
    if not chosen_threshold.reached:
        raise EvenhandError(
            f"no threshold of {entry.name} reaches the goal {entry.goal.text} on inner rows of all data: choose a lower level"
        )
    return chosen_threshold.threshold
