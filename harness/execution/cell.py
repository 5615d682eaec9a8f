"""One cell from start to end: seal the test rows, search, refit, score the sealed rows, store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.data.splits import Fold, Splitter
from harness.errors import Inapplicable, StoreError, Unavailable, failure, failure_code
from harness.execution.sealed_test import SealedPredictions, SealedTest
from harness.execution.trainer import CellTrainer, TrainingData
from harness.metrics.metric import Metric
from harness.preprocessing.cache import FoldCache
from harness.registry.protocol import EvaluationProtocol
from harness.registry.task import Table
from harness.search.pipeline import PipelineSpec
from harness.search.study import NO_TRIAL, Configuration, SearchCache, StudyPlan, run_study
from harness.store.record import EntryResult, Record, StoredPredictions
from harness.store.store import Store


@dataclass(frozen=True)
class Cell:
    """Task × family × strategy × repeat × outer fold: the unit that can be killed and done again."""

    id: str
    key: str
    task: str
    family: str
    strategy: str
    repeat: int
    fold: int
    seed: int

    @property
    def name(self) -> str:
        """How the cell is named in messages; also the name of its study."""
        return f"{self.task}/{self.family}/{self.strategy}/r{self.repeat}f{self.fold}"

    @property
    def split_key(self) -> tuple[str, int, int]:
        """Task and split: cells with an equal key have equal training and test rows."""
        return self.task, self.repeat, self.fold

    def make_record(self, **values: Any) -> Record:
        """A record of this cell."""
        return Record(**asdict(self), **values)


@dataclass(frozen=True)
class CellData:
    """Everything that a cell works on: all rows of the task, their split, the pipeline, the protocol and its metrics."""

    table: Table
    splitter: Splitter
    fold: Fold
    spec: PipelineSpec
    protocol: EvaluationProtocol
    metrics: Mapping[str, Metric]
    #: Outlives the cell: what depends on neither family nor strategy.
    shared: FoldCache = field(default_factory=FoldCache)

    def separate_training_data(self) -> TrainingData:
        """The part that the search receives: copies of the training rows, without the test rows."""
        table, table_splitter = self.table.take(self.fold.train), self.splitter.take(self.fold.train)
        return TrainingData(table, table_splitter, self.spec, self.protocol, self.metrics, self.shared)

    def sealed_test(self) -> SealedTest:
        """The test rows."""
        return SealedTest(self.table, self.fold.test, self.splitter.blocks[self.fold.test])


def run_cell(cell: Cell, cell_data: CellData, store: Store, started: float | None = None) -> Record:
    """Execute a cell, or finish one that was interrupted, and store it.

    A configuration that fails is the result of its trial, and a cell without a usable configuration is a record with the
    reason.

    Parameters
    ----------
    cell : Cell
        The cell.
    cell_data : CellData
        Its rows and how they are searched. The test rows are separated here, before anything is fitted.
    store : Store
        Where the study, the predictions and the record are written.
    started : float, optional
        When the work on the cell began, by `time.monotonic`; now by default. The budget of the cell counts from here.

    Returns
    -------
    Record
        The record as it is stored.

    Raises
    ------
    StoreError
        If something cannot be stored.
    """
    cpu_started = time.process_time()
    if started is None:
        started = time.monotonic()
    predictions = None
    sealed_rows = cell_data.sealed_test()
    store.keep_or_delete_study(cell.id, cell.key)
    try:
        record, predictions = _search_and_test_cell(
            cell, cell_data.separate_training_data(), cell_data.fold.train, sealed_rows, store, started
        )
    except StoreError:
        raise
    except Inapplicable as error:
        record = cell.make_record(status="inapplicable", code=failure_code(error), reason=str(error))
    except Unavailable as error:
        record = cell.make_record(status="skipped", code=failure_code(error), reason=str(error))
    except MemoryError as error:
        record = cell.make_record(status="memory", code=failure_code(error), reason="an allocation failed")
    except Exception as error:  # noqa: BLE001 -- a failure is a result: it is stored with its reason
        record = cell.make_record(status="failed", code=failure_code(error), reason=failure(error))
    record = replace(
        record,
        n_train=len(cell_data.fold.train),
        n_test=len(cell_data.fold.test),
        test_scored=sealed_rows.count_scored_entries,
        test_diagnosed=sealed_rows.count_diagnoses,
        seconds=time.monotonic() - started,
        cpu_seconds=time.process_time() - cpu_started,
    )
    return store.write_cell(record, predictions)


def _search_and_test_cell(
    cell: Cell,
    training_data: TrainingData,
    train_rows: npt.NDArray[np.int64],
    sealed_rows: SealedTest,
    store: Store,
    started: float,
) -> tuple[Record, StoredPredictions | None]:
    trainer = CellTrainer(cell, training_data, lambda name, arrays: store.write_curves(cell.id, name, arrays))
    plan = replace(make_study_plan(cell, training_data, store), started=started)
    search_result = run_study(plan, trainer.score_inner, make_search_cache(cell, store))
    failed_trials = sum(search_result.failures.values())
    trials: dict[str, Any] = {
        "trials": search_result.complete,
        "failed_trials": failed_trials,
        "trial_failures": search_result.failures,
    }
    if search_result.best is None:
        reason = next(iter(search_result.failures), NO_TRIAL)
        if search_result.inapplicable:
            return cell.make_record(status="inapplicable", code=reason.code, reason=reason.message, **trials), None
        return cell.make_record(status="failed", code=NO_TRIAL.code, reason=reason.message, **trials), None
    tested_entries = _score_entries(
        trainer, sealed_rows, {"default": search_result.default, "tuned": search_result.best}
    )
    first_predictions = next(iter(tested_entries.predictions.values()))
    predictions = StoredPredictions(
        test_rows=first_predictions.rows,
        test_y=first_predictions.y,
        train_rows=train_rows,
        train_y=training_data.table.y,
        test={entry_stage: scored_rows.proba for entry_stage, scored_rows in tested_entries.predictions.items()},
        inner=tested_entries.inner,
        test_blocks=first_predictions.blocks,
        test_weights=first_predictions.weights,
        train_weights=training_data.table.weights,
    )
    reason_code, refit_reasons = "refit_failed" if tested_entries.failures else "", "; ".join(tested_entries.failures)
    record = cell.make_record(
        status="ok", code=reason_code, reason=refit_reasons, outcomes=tuple(tested_entries.entries), **trials
    )
    return record, predictions


class _TestedEntries(NamedTuple):
    """The entries that could be refitted, their predictions by stage, and why others could not."""

    entries: list[EntryResult]
    predictions: dict[str, SealedPredictions]
    inner: dict[str, npt.NDArray[np.float32]]
    failures: list[str]


def _score_entries(
    trainer: CellTrainer, sealed_rows: SealedTest, stage_configurations: Mapping[str, Configuration | None]
) -> _TestedEntries:
    """Refit the configuration of each stage on all training rows, then score the sealed rows, once per configuration.

    A configuration that cannot be refitted costs its own entry only; where none can, the first error is raised.
    """
    tested_entries = _TestedEntries([], {}, {}, [])
    scored_by_trial: dict[int, tuple[EntryResult, SealedPredictions]] = {}  # by trial: the best may be the default
    errors: dict[int, Exception] = {}
    for entry_stage, chosen_configuration in stage_configurations.items():
        if chosen_configuration is None:
            continue
        trial = chosen_configuration.trial
        if trial not in scored_by_trial and trial not in errors:
            try:
                scored_by_trial[trial] = refit_and_score(trainer, sealed_rows, entry_stage, chosen_configuration)
            except (StoreError, Unavailable, MemoryError):
                raise  # they say nothing about a configuration
            except Exception as error:  # noqa: BLE001 -- whatever a refit raises is that entry's result
                errors[trial] = error
        if trial in errors:
            tested_entries.failures.append(f"the refit of {entry_stage} failed: {failure(errors[trial])}")
        else:
            entry, tested_entries.predictions[entry_stage] = scored_by_trial[trial]
            tested_entries.entries.append(replace(entry, stage=entry_stage))
            tested_entries.inner[entry_stage] = chosen_configuration.proba
    if not tested_entries.entries and errors:
        raise next(iter(errors.values()))
    return tested_entries


def refit_and_score(
    trainer: CellTrainer, sealed: SealedTest, stage: str, configuration: Configuration
) -> tuple[EntryResult, SealedPredictions]:
    """Fit a frozen configuration to all training rows, only then predict the test rows."""
    refitted_entry = trainer.refit(stage, configuration)
    predictions = sealed.score(stage, refitted_entry.fitted)
    return refitted_entry.entry_result(predictions.seconds), predictions


def make_study_plan(cell: Cell, training: TrainingData, store: Store) -> StudyPlan:
    """The study of a cell: what is searched, with how much effort, and where its journal is."""
    spec, protocol, objective = training.spec, training.protocol, training.objective
    trial_limits = [trials for trials in (protocol.trials, spec.family.trials) if trials is not None]
    if not spec.space:  # every trial would be the default configuration
        trial_limits.append(1)
    study_attributes = {"task": cell.task, "family": cell.family, "strategy": cell.strategy}
    return StudyPlan(
        name=cell.name,
        space=spec.space,
        trials=min(trial_limits, default=None),
        budget=protocol.budget,
        seed=cell.seed,
        objective=objective.name,
        greater_is_better=objective.greater_is_better,
        journal=store.journal_path(cell.id),
        attributes=study_attributes | {"fold": f"r{cell.repeat}f{cell.fold}"},
        one_strategy=len(spec.strategies) == 1,
        refit_share=1 / (protocol.inner_folds - 1),  # a trial fits that many times all rows
    )


def make_search_cache(cell: Cell, store: Store) -> SearchCache:
    """Where the probabilities of a cell's search are kept until it is finished."""
    return SearchCache(
        lambda arrays: store.write_search_cache(cell.id, arrays), lambda: store.read_search_cache(cell.id)
    )
