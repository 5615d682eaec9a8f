"""The procedure that a run has measured, done once on all rows: one search, one fit, a threshold, a calibrator.

No row is held back, so nothing here can be scored: how well the procedure does is what the nested splits of the run say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.data.splits import Fold
from harness.errors import EvenhandError
from harness.execution.cell import Cell, CellData, CellTrainer, kept_of, study_plan
from harness.execution.plan import cell_of
from harness.execution.worker import WorkerContext
from harness.metrics.calibration import NONE, PARTS, Calibrator, calibrator_of, enough, threshold_after
from harness.metrics.logits import Labels, Proba
from harness.metrics.threshold import best_threshold
from harness.processes import ProgressCallback
from harness.search.pipeline import FittedPipeline
from harness.search.study import Configuration, StudyPlan, TrialResult, search
from harness.seeding import seed_of
from harness.store.store import Store

EVERYTHING = -1  #: stands for repeat and fold where no row is held back


@dataclass(frozen=True)
class EntrySpec:
    """What is to be fitted to all rows of a task."""

    task: str
    family: str
    strategy: str
    stage: str
    calibration: str = NONE

    @property
    def name(self) -> str:
        """How it is named in messages."""
        return f"{self.task}/{self.family}/{self.strategy}/{self.stage}"


@dataclass(frozen=True)
class FinalModel:
    """What came of the procedure: a pipeline fitted to all rows, its configuration, its threshold, its calibrator.

    `threshold` is None with several classes; it is that of calibrated probabilities where there is a calibrator.
    """

    fitted: FittedPipeline
    trials: int  #: complete ones
    trial: int  #: the one whose configuration it is
    params: dict[str, Any]
    score: float  #: mean objective over the inner folds
    threshold: float | None
    calibrator: Calibrator | None


def refit_on_all(desk: WorkerContext, wanted: EntrySpec, store: Store, tell: ProgressCallback) -> FinalModel:
    """Search and fit on all rows, with the trials or the budget and the kind of inner folds that a cell has.

    The study and its probabilities are kept in `store`: what was interrupted continues, and what was done once is not
    searched again. The `default` stage needs trial 0 alone. Raises `EvenhandError` where no configuration can be fitted, or a
    class has too few rows for a calibrator.
    """
    cell = final_cell(desk, wanted)
    one = desk.loaded(wanted.task)
    everything = np.arange(len(one.table.y))
    material = desk.on(cell, Fold(EVERYTHING, EVERYTHING, everything, everything[:0]))
    store.keep_study_of(cell.id, cell.key)
    learner = CellTrainer(cell, material, lambda _name, _arrays: None)
    trials, found = _search(cell, material, learner, (wanted, store, tell))
    tell(f"fitting {wanted.name} to all {len(everything):,} rows")
    fitted, _, _ = learner.fit(wanted.stage, found.params)
    threshold, calibrator = _decision(wanted, material, found, fitted)
    return FinalModel(fitted, trials, found.trial, found.params, found.score, threshold, calibrator)


def final_cell(desk: WorkerContext, wanted: EntrySpec) -> Cell:
    """The cell that holds nothing back: its key changes with data and declarations as that of any other."""
    fold = Fold(EVERYTHING, EVERYTHING, np.arange(0), np.arange(0))
    family = desk.registry.family(wanted.family)
    cell = cell_of(desk.request, desk.registry, desk.loaded(wanted.task), (family, wanted.strategy), fold)
    names = (wanted.task, wanted.family, wanted.strategy)
    return replace(cell, seed=seed_of(desk.request.protocol.seed, *names, "export"))


def _search(
    cell: Cell, material: CellData, learner: CellTrainer, asked: tuple[EntrySpec, Store, ProgressCallback]
) -> tuple[int, Configuration]:
    wanted, store, tell = asked
    plan = study_plan(cell, material, store)
    if wanted.stage == "default":
        plan = replace(plan, trials=1, budget=None)

    def evaluate(params: dict[str, Any], number: int) -> TrialResult:
        tell(_progress(plan, number))
        return learner.score_inner(params, number)

    result = search(plan, evaluate, kept_of(cell, store))
    found = result.default if wanted.stage == "default" else result.best
    if found is None:
        reason = next(iter(result.failures), "no trial was settled")
        raise EvenhandError(f"{wanted.name} cannot be fitted to all rows: {reason}")
    return result.complete, found


def _progress(plan: StudyPlan, number: int) -> str:
    of = f" of {plan.trials}" if plan.trials else ""
    budget = f" (within {plan.budget:g} s)" if plan.budget else ""
    return f"trial {number + 1}{of}{budget}"


def _decision(
    wanted: EntrySpec, material: CellData, found: Configuration, fitted: FittedPipeline
) -> tuple[float | None, Calibrator | None]:
    """Threshold and calibrator, from out-of-fold probabilities as in a nested split: see `threshold_after`."""
    y, costs, binary = material.table.y, material.recipe.costs, fitted.classes == 2
    if wanted.calibration == NONE:
        return best_threshold(y, found.proba, costs) if binary else None, None
    known = ~np.isnan(found.proba).any(axis=1)
    y, proba = y[known], found.proba[known]
    if not enough(y, fitted.classes, PARTS):
        raise EvenhandError(f"a calibration takes {PARTS} inner rows of every class: {wanted.name} has fewer")

    def fit(some: Proba, labels: Labels) -> Calibrator:
        return _calibrator(wanted, some, labels, fitted)

    seed = seed_of(material.protocol.seed, wanted.task, "export", "recalibrate")
    return threshold_after(fit, proba, y, seed, costs) if binary else None, fit(proba, y)


def _calibrator(wanted: EntrySpec, proba: Proba, y: Labels, fitted: FittedPipeline) -> Calibrator:
    found = calibrator_of(wanted.calibration, proba, y, fitted.counts_before, fitted.counts_after)
    assert found is not None  # noqa: S101 -- none is asked for elsewhere
    return found
