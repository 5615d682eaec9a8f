"""Measure the importance of columns for recommended entries: one refit per outer fold, then shuffled columns of its sealed rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.execution.plan import RunRequest
from harness.execution.replay import make_cell_of_record
from harness.execution.trainer import CellTrainer
from harness.execution.worker import WorkerContext
from harness.metrics.permutation import permutation_losses
from harness.processes import ProgressCallback, answer_parent_question, run_in_subprocess
from harness.registry.task import take_weights
from harness.seeding import seed_of
from harness.store.importances import TaskImportances, read_importances, write_importances
from harness.store.record import EntryResult, Record
from harness.store.store import Store

MAX_ROWS = 2000  #: test rows of a fold that are shuffled
USABLE_METRICS = ("roc_auc", "average_precision")  #: in place of an objective that needs costs


def measure_absent_importances(
    request: RunRequest, store: Store, entries: Mapping[str, tuple[str, str, str]], on_progress: ProgressCallback
) -> None:
    """Measure the importances of entries that have none yet, in a process of its own.

    Parameters
    ----------
    request : RunRequest
        The request of the run.
    store : Store
        The run; the importances are stored under `derived/`.
    entries : mapping of str to (str, str, str)
        Family, strategy and stage by task; tasks of texts and images are left out.
    on_progress : callable
        Called with lines of text.

    Raises
    ------
    EvenhandError
        If a refit fails.
    """
    records, _ = store.read_readable_records()
    known_importances, pending_entries = read_importances(store), {}
    for task, entry in entries.items():
        fold_results = entry_results_by_fold(records, task, entry)
        if fold_results and (
            task not in known_importances or known_importances[task].key != importance_key(fold_results)
        ):
            pending_entries[task] = entry
    if not pending_entries:
        return
    importance_request = {"request": request.as_dict(), "out": str(store.folder), "entries": pending_entries}
    run_in_subprocess("harness.execution.importances", importance_request, "measured importances", on_progress)


def entry_results_by_fold(
    records: list[Record], task: str, entry: tuple[str, str, str]
) -> list[tuple[Record, EntryResult]]:
    """Find the results of an entry in the first repeat, by fold."""
    family, strategy, entry_stage = entry
    fold_results = []
    for record in sorted(records, key=lambda record: record.fold):
        if (record.task, record.family, record.strategy, record.repeat) == (task, family, strategy, 0):
            fold_results += [
                (record, entry_result) for entry_result in record.outcomes if entry_result.stage == entry_stage
            ]
    return fold_results


def importance_key(results: list[tuple[Record, EntryResult]]) -> str:
    """What importances depend on: the stored predictions of the entry."""
    return "/".join(f"{record.predictions_sha256[:12]}.{entry_result.stage}" for record, entry_result in results)


def measure_entry_importances(
    context: WorkerContext, task: str, results: list[tuple[Record, EntryResult]]
) -> TaskImportances:
    """Refit an entry in every outer fold and shuffle the columns of the fold's sealed rows.

    Parameters
    ----------
    context : WorkerContext
        The declarations and tables of the run.
    task : str
        A task of tables.
    results : list of (Record, EntryResult)
        The stored results of the entry, one per fold.

    Returns
    -------
    TaskImportances
        The mean loss of the objective without each column.
    """
    loaded_task = context.loaded_task(task)
    columns = list(map(str, loaded_task.table.X.columns))
    metric = context.registry.metric(context.request.protocol.objective_for(len(loaded_task.table.classes)))
    if metric.needs_costs:
        metric = context.registry.metric(USABLE_METRICS[len(loaded_task.table.classes) == 2])
    losses = []
    for record, entry_result in results:
        cell = make_cell_of_record(record)
        cell_data = context.cell_data(cell, loaded_task.fingerprint)
        fitted_pipeline, _, _ = CellTrainer(cell, cell_data.separate_training_data()).fit(
            entry_result.stage, entry_result.params
        )
        sealed_rows = cell_data.sealed_test().diagnose("importance of columns")
        rng = np.random.default_rng(seed_of(cell.seed, "rows for importances"))
        rows = np.sort(rng.permutation(len(sealed_rows.y))[:MAX_ROWS])
        X = sealed_rows.X.iloc[rows].reset_index(drop=True)
        column_groups = [(column,) for column in columns]
        seed = seed_of(cell.seed, "shuffled columns")
        weights = take_weights(sealed_rows.weights, rows)
        losses.append(
            permutation_losses(
                fitted_pipeline.predict_proba, X, sealed_rows.y[rows], metric, column_groups, seed, weights
            )
        )
    first_record, entry_result = results[0]
    return TaskImportances(
        task=task,
        entry=f"{first_record.family}/{first_record.strategy}/{entry_result.stage}",
        key=importance_key(results),
        metric=metric.name,
        ratio=first_record.n_test / first_record.n_train,
        columns=tuple(columns),
        losses=tuple(map(tuple, (metric.sign * np.array(losses)).tolist())),
    )


def _answer_importance_request(importance_request: dict[str, Any], on_progress: ProgressCallback) -> str:
    context, store = (
        WorkerContext(RunRequest.from_dict(importance_request["request"])),
        Store(Path(importance_request["out"])),
    )
    records, _ = store.read_readable_records()
    importances = read_importances(store)
    for task, entry in importance_request["entries"].items():
        if context.request.task(context.registry, task).modality != "tabular":
            continue
        on_progress(f"importance of the columns of {task} for {'/'.join(entry)}")
        importances[task] = measure_entry_importances(context, task, entry_results_by_fold(records, task, tuple(entry)))
    write_importances(store, importances)
    return "measured"


if __name__ == "__main__":
    answer_parent_question(_answer_importance_request)
