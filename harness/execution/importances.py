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
    known, pending = read_importances(store), {}
    for task, entry in entries.items():
        results = entry_results_by_fold(records, task, entry)
        if results and (task not in known or known[task].key != importance_key(results)):
            pending[task] = entry
    if not pending:
        return
    question = {"request": request.as_dict(), "out": str(store.folder), "entries": pending}
    run_in_subprocess("harness.execution.importances", question, "measured importances", on_progress)


def entry_results_by_fold(
    records: list[Record], task: str, entry: tuple[str, str, str]
) -> list[tuple[Record, EntryResult]]:
    """Find the results of an entry in the first repeat, by fold."""
    family, strategy, stage = entry
    results = []
    for record in sorted(records, key=lambda record: record.fold):
        if (record.task, record.family, record.strategy, record.repeat) == (task, family, strategy, 0):
            results += [(record, outcome) for outcome in record.outcomes if outcome.stage == stage]
    return results


def importance_key(results: list[tuple[Record, EntryResult]]) -> str:
    """What importances depend on: the stored predictions of the entry."""
    return "/".join(f"{record.predictions_sha256[:12]}.{outcome.stage}" for record, outcome in results)


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
    loaded = context.loaded_task(task)
    columns = list(map(str, loaded.table.X.columns))
    metric = context.registry.metric(context.request.protocol.objective_for(len(loaded.table.classes)))
    if metric.needs_costs:
        metric = context.registry.metric(USABLE_METRICS[len(loaded.table.classes) == 2])
    losses = []
    for record, outcome in results:
        cell = make_cell_of_record(record)
        cell_data = context.cell_data(cell, loaded.fingerprint)
        fitted, _, _ = CellTrainer(cell, cell_data.separate_training_data()).fit(outcome.stage, outcome.params)
        test = cell_data.sealed_test().diagnose("importance of columns")
        rng = np.random.default_rng(seed_of(cell.seed, "rows for importances"))
        rows = np.sort(rng.permutation(len(test.y))[:MAX_ROWS])
        X = test.X.iloc[rows].reset_index(drop=True)
        units = [(column,) for column in columns]
        seed = seed_of(cell.seed, "shuffled columns")
        weights = take_weights(test.weights, rows)
        losses.append(permutation_losses(fitted.predict_proba, X, test.y[rows], metric, units, seed, weights))
    first, outcome = results[0]
    return TaskImportances(
        task=task,
        entry=f"{first.family}/{first.strategy}/{outcome.stage}",
        key=importance_key(results),
        metric=metric.name,
        ratio=first.n_test / first.n_train,
        columns=tuple(columns),
        losses=tuple(map(tuple, (metric.sign * np.array(losses)).tolist())),
    )


def _answer_importance_request(question: dict[str, Any], on_progress: ProgressCallback) -> str:
    context, store = WorkerContext(RunRequest.from_dict(question["request"])), Store(Path(question["out"]))
    records, _ = store.read_readable_records()
    importances = read_importances(store)
    for task, entry in question["entries"].items():
        if context.request.task(context.registry, task).modality != "tabular":
            continue
        on_progress(f"importance of the columns of {task} for {'/'.join(entry)}")
        importances[task] = measure_entry_importances(context, task, entry_results_by_fold(records, task, tuple(entry)))
    write_importances(store, importances)
    return "measured"


if __name__ == "__main__":
    answer_parent_question(_answer_importance_request)
