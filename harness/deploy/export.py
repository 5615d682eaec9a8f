"""`evenhand export`: the procedure of an entry, repeated once on all rows, as a bundle.

It runs in a process of its own, `python -m harness.deploy.export`, with the threads of a worker. The search is kept under
`<run>/derived/exports/`, so that an interrupted export continues, and a second one is quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.table import hash_rows
from harness.deploy import run_entry as run_entries
from harness.deploy.bundle import CARD_FILE, Bundle, BundleContents, HeldOutProba, write_bundle
from harness.deploy.bundle_files import check_bundle_target_folder
from harness.deploy.error_analysis import analyze_errors, class_recalls
from harness.deploy.insights.importance import measure_importances
from harness.deploy.model import Model
from harness.deploy.model_card import ModelCardInputs, write_model_card
from harness.deploy.pack import stores_training_rows
from harness.deploy.run_entry import HeldOutPredictions, RunEntry, compute_card_metrics, read_run_entry
from harness.deploy.schema import Schema, describe_task_rows
from harness.deploy.threshold_goal import goal_manifest_fields, measure_entry_goal, summarize_goal_result
from harness.errors import DataError, EvenhandError
from harness.evaluation.corrected_t import Estimate, estimate_mean_with_interval
from harness.evaluation.task_comparisons import can_test_differences
from harness.execution import replay
from harness.execution.environment import package_versions
from harness.execution.plan import LoadedTask
from harness.execution.refit import EntrySpec, FinalModel, make_final_cell, refit_on_all
from harness.execution.trainer import CellTrainer
from harness.execution.worker import WorkerContext
from harness.metrics.calibration import has_known_prior
from harness.metrics.threshold import parse_goal
from harness.processes import ProgressCallback, answer_parent_question, run_in_subprocess
from harness.registry.registry import load_registry
from harness.registry.task import take
from harness.registry.user_declarations import unpickle_declarations
from harness.report.content import MeanInterval, ReportColumn, ReportTable
from harness.report.render.terminal import render_terminal_table
from harness.search.pipeline import FittedPipeline
from harness.seeding import seed_of
from harness.store.store import Store

#: Metrics that the command prints, where the entry has them.
CLI_METRICS = ("roc_auc", "average_precision", "f1", "precision", "recall", "mcc", "expected_cost", "log_loss", "ece")
#: Field of the manifest of a model that consists of training rows.
STORES_ROWS = "stores_rows"
#: Fields of the manifest that are copied from `run.json`.
TASK_FIELDS = ("title", "modality", "positive", "costs", "fingerprint", "rows", "counts")


@dataclass(frozen=True)
class ExportRequest(replay.RunSources):
    """What to export and where to; all fields can be converted to JSON and back.

    Attributes
    ----------
    out : str
        Folder of the bundle.
    task, entry, calibration : str or None
        Names; None for the only task, the first entry of the ranking, and the calibration of the entry.
    drivers : bool, default True
        Whether to measure permutation importances, for tables.
    threshold : str or None
        The goal of the decision threshold, such as ``"recall>=0.8"``; None for the rule by which the run chose its own.
    """

    out: str
    task: str | None = None
    entry: str | None = None
    calibration: str | None = None
    drivers: bool = True
    threshold: str | None = None


def export_bundle(request: ExportRequest, on_progress: ProgressCallback) -> str:
    """Export in a process with one thread, as a worker does.

    Parameters
    ----------
    request : ExportRequest
        What to export.
    on_progress : callable
        Called with lines of text.

    Returns
    -------
    str
        What was written, for people.

    Raises
    ------
    EvenhandError
        If the entry cannot be exported.
    """
    arguments = asdict(request)
    return str(run_in_subprocess("harness.deploy.export", arguments, f"exported from {request.run}", on_progress))


def make_bundle(request: ExportRequest, on_progress: ProgressCallback) -> Bundle:
    """Find an entry, repeat its procedure on all rows, and write the bundle.

    Parameters
    ----------
    request : ExportRequest
        What to export.
    on_progress : callable
        Called with lines of text.

    Returns
    -------
    Bundle
        The bundle as it is read again.

    Raises
    ------
    EvenhandError
        If the entry cannot be exported, or its data or declarations are not those of the run.
    """
    check_bundle_target_folder(Path(request.out))
    declarations = unpickle_declarations(request.pickled_declarations)
    metrics = load_registry(request.plugins).with_declarations(declarations, "this program").metrics
    run_entry = read_run_entry(Store(Path(request.run)), metrics, request.task, request.entry, request.calibration)
    on_progress(f"exporting {run_entry.task_name}/{run_entry.entry.name}")
    context = _load_worker_context(run_entry, request)
    loaded_task = context.loaded_task(run_entry.task_name)
    goal_result = None
    if request.threshold is not None:
        goal_result = measure_entry_goal(run_entry, parse_goal(request.threshold))
    spec = EntrySpec(run_entry.task_name, *run_entry.entry, goal=goal_result.goal if goal_result else None)
    export_store = Store(run_entry.store.folder / "derived" / "exports" / make_final_cell(context, spec).id)
    with export_store.lock():
        final_model = refit_on_all(context, spec, export_store, on_progress)
    schema = describe_task_rows(loaded_task.task, loaded_task.table)
    drivers = None
    if request.drivers and schema.modality == "tabular":
        drivers = _measure_permutation_importances(run_entry, context, schema, on_progress)
    held_out_predictions = run_entries.average_held_out_predictions(run_entry, goal_result)
    manifest = _make_manifest(run_entry, loaded_task, final_model) | goal_manifest_fields(run_entry, goal_result)
    pipeline = final_model.fitted
    if stores_training_rows(pipeline.classifier):
        manifest[STORES_ROWS] = True
    card_inputs = ModelCardInputs(
        target=loaded_task.task.target,
        counts_before=tuple(pipeline.counts_before),
        counts_after=tuple(pipeline.counts_after),
        target_encoded=_target_encoded(pipeline),
        **_card_inputs_of_run(run_entry, context, chosen_by_name=request.entry is not None),
        **_card_inputs_of_held_out_rows(loaded_task, schema, held_out_predictions),
    )
    card, keyed_proba = (
        write_model_card(manifest, card_inputs),
        key_probabilities_by_row_hash(loaded_task, held_out_predictions),
    )
    bundle_contents = BundleContents(manifest, schema, pipeline, final_model.calibrator, card, keyed_proba, drivers)
    return write_bundle(Path(request.out), bundle_contents)


def _target_encoded(pipeline: FittedPipeline) -> dict[str, int]:
    """The categories that a pipeline encodes by class shares, with their numbers of levels."""
    encoding = None if pipeline.preparer is None else pipeline.preparer.target_encoding
    return {} if encoding is None else dict(zip(encoding.names, map(len, encoding.levels), strict=True))


def key_probabilities_by_row_hash(loaded: LoadedTask, held_out: HeldOutPredictions) -> HeldOutProba:
    """Key the held-out probabilities by the hash of their rows.

    Parameters
    ----------
    loaded : LoadedTask
        The rows.
    held_out : HeldOutPredictions
        Their predictions as sealed test rows.

    Returns
    -------
    HeldOutProba
        Where the splits follow time, only the earliest of equal rows has probabilities: only there a row may be in the
        training part while a later copy of it is a test row.
    """
    keys, proba = hash_rows(loaded.table.X), held_out.proba
    if loaded.table.time is not None:
        time_order = np.argsort(loaded.table.time, kind="stable")
        _, first_positions = np.unique(keys[time_order], return_index=True)
        is_first = np.isin(np.arange(len(keys)), time_order[first_positions])
        proba = np.where(is_first[:, None], proba, np.float32(np.nan))
    return HeldOutProba(keys, proba)


def _stored_rows_note(manifest: Mapping[str, Any]) -> str:
    """Say that the model consists of its training rows; empty for models that do not."""
    if not manifest.get(STORES_ROWS):
        return ""
    return f"note: a model of {manifest['family']} consists of its training rows, encoded: whoever has the bundle can read them\n\n"


def summarize_bundle(bundle: Bundle) -> str:
    """Describe a bundle that was written, with the nested scores of its procedure."""
    manifest, measured_metrics = bundle.manifest, bundle.manifest["measured"]
    decision_text, threshold_note = "the most probable class", ""
    if bundle.threshold is not None:
        decision_text, threshold_note = f"from {bundle.threshold:.6g}", " (decisions at each split's own threshold)"
    if bundle.decision_costs is not None:
        decision_text = "the class of the least expected cost"
    calibration = "" if manifest["calibration"] == "none" else f", recalibrated ({manifest['calibration']})"
    printed_metrics = filter(measured_metrics.__contains__, CLI_METRICS)
    rows = [
        (name, _mean_interval_of_driver(measured_metrics[name]))
        for name in dict.fromkeys([manifest["objective"], *printed_metrics])
    ]
    scores = ReportTable((ReportColumn(""), ReportColumn("mean ± 95 %", "number")), tuple(rows))
    return (
        f"{bundle.folder}: {manifest['entry']}{calibration}, fitted to all {manifest['rows']:,} rows, decides {decision_text}, "
        f"id {bundle.id}\n\n"
        f"nested scores of the procedure, not of this very model{threshold_note}:\n"
        f"{render_terminal_table(scores)}\n\n{summarize_goal_result(manifest)}{_stored_rows_note(manifest)}{bundle.folder / CARD_FILE}"
    )


def _mean_interval_of_driver(measured_metrics: Mapping[str, float | None]) -> MeanInterval:
    mean, interval_high = measured_metrics["mean"], measured_metrics["high"]
    assert mean is not None  # noqa: S101 -- a metric without a mean is not in the manifest
    return MeanInterval(mean) if interval_high is None else MeanInterval(mean, interval_high - mean)


def _load_worker_context(run_entry: RunEntry, request: ExportRequest) -> WorkerContext:
    """Load the declarations and rows of the entry; raise `EvenhandError` where they are not those of the run."""
    run, task, metadata = run_entry.scores.run, run_entry.task_name, run_entry.task_metadata
    record, _ = run_entry.records_with_results[0]
    context = WorkerContext(replay.request_of_stored_cell(run, record, request))
    loaded_task = context.loaded_task(task)
    if loaded_task.fingerprint != metadata["fingerprint"]:
        raise DataError(
            f"the data of {task} are not those of the run ({metadata['rows']:,} rows then, {len(loaded_task.table.y):,} now; "
            f"SHA-256 {metadata['fingerprint'][:12]}… then, {loaded_task.fingerprint[:12]}… now): bring those back, or run again "
            "on these"
        )
    cell_data = context.cell_data(replay.make_cell_of_record(record), loaded_task.fingerprint)
    if declaration_change := replay.describe_declaration_change(run, record, context, loaded_task, cell_data):
        raise EvenhandError(f"{declaration_change}: the scores of the run are of another procedure, so run it again")
    return context


def _make_manifest(run_entry: RunEntry, loaded_task: LoadedTask, final_model: FinalModel) -> dict[str, Any]:
    """The manifest, without the fields that are computed on writing."""
    metadata, run, entry = run_entry.task_metadata, run_entry.scores.run, run_entry.entry
    return {
        **{name: metadata.get(name) for name in TASK_FIELDS},
        "licence": metadata.get("licence") or "",
        "source": metadata.get("source") or "",
        "task": run_entry.task_name,
        "entry": f"{run_entry.task_name}/{entry.family}/{entry.strategy}/{entry.stage}",
        **entry._asdict(),
        "classes": list(loaded_task.table.classes),
        "threshold": final_model.threshold,
        "objective": run_entry.ranking.metric.name,
        "params": final_model.params,
        "trials": final_model.trials,
        "trial": final_model.trial,
        "run": {name: run[name] for name in ("name", "command", "protocol")},
        "measured": {metric.key: metric.as_dict() for metric in compute_card_metrics(run_entry)},
        "network": bool(run["families"].get(entry.family, {}).get("network")),
        "versions": package_versions(),
    }


def _card_inputs_of_run(run_entry: RunEntry, context: WorkerContext, *, chosen_by_name: bool) -> dict[str, Any]:
    """What the card says of the task, the scores and the strategy of the run, by field of `ModelCardInputs`."""
    run, strategy = run_entry.scores.run, run_entry.entry.strategy
    strategy_metadata, family = run["strategies"].get(strategy, {}), context.registry.family(run_entry.entry.family)
    return {
        "description": run_entry.task_metadata.get("description", ""),
        "notes": tuple(run_entry.task_metadata.get("notes", ())),
        "metrics": compute_card_metrics(run_entry),
        "position": run_entries.ranking_position(run_entry, chosen_by_name=chosen_by_name),
        "strategy": strategy_metadata.get("description", ""),
        "prior_is_correctable": has_known_prior(strategy_metadata, strategy),
        "changed_versions": tuple(replay.describe_package_changes(run, family, replay.SEARCH_PACKAGES)),
    }


def _card_inputs_of_held_out_rows(
    loaded_task: LoadedTask, schema: Schema, held_out_predictions: HeldOutPredictions
) -> dict[str, Any]:
    """What the card says of held-out rows, by field of `ModelCardInputs`."""
    rows = np.flatnonzero(held_out_predictions.labels >= 0)
    y, labels, k = loaded_task.table.y[rows], held_out_predictions.labels[rows], len(schema.classes)
    if not len(rows):
        return {"mean_proba": (), "class_shares": (0.0,) * k}
    return {
        "mean_proba": tuple(held_out_predictions.proba[rows].mean(axis=0, dtype=float).tolist()),
        "class_shares": tuple((np.bincount(y, minlength=k) / len(y)).tolist()),
        "error_analyses": analyze_errors(take(loaded_task.table.X, rows), schema, y, labels),
        "recalls": tuple(class_recalls(schema.classes, y, labels)) if k > 2 else (),
        "held_out_rows": len(rows),
    }


def _measure_permutation_importances(
    run_entry: RunEntry, context: WorkerContext, schema: Schema, on_progress: ProgressCallback
) -> dict[str, Any]:
    """Measure permutation importances on the sealed rows of the first repeat, with models that were not trained on them."""
    records = [(record, entry_result) for record, entry_result in run_entry.records_with_results if record.repeat == 0]
    loaded_task, folds = context.loaded_task(run_entry.task_name), []
    for split, (record, entry_result) in enumerate(records, start=1):
        on_progress(f"drivers: outer split {split} of {len(records)}")
        cell_data = context.cell_data(replay.make_cell_of_record(record), loaded_task.fingerprint)
        trainer = CellTrainer(replay.make_cell_of_record(record), cell_data.separate_training_data())
        fitted_pipeline, _, _ = trainer.fit(entry_result.stage, entry_result.params)
        model = Model(fitted_pipeline, run_entries.fit_split_calibrator(run_entry, record, entry_result))
        sealed_rows = cell_data.sealed_test().diagnose("importance of columns")
        folds.append((model.predict_proba, sealed_rows.X, sealed_rows.y))
    metric = run_entry.ranking.metric
    if metric.needs_costs:
        metric = run_entry.scores.metrics["average_precision"]
    tests_allowed = can_test_differences(run_entry.scores, run_entry.task_name)

    def estimate_interval(scores: Any, ratio: float) -> Estimate:
        return estimate_mean_with_interval(scores, ratio, can_test=tests_allowed)

    seed = seed_of(context.request.protocol.seed, run_entry.task_name, "drivers")
    on_progress("drivers: what is lost without each column")
    ratio = run_entry.score_rows.mean("ratio")
    return measure_importances(folds, schema, metric, ratio, estimate_interval, seed).as_json()


def _answer_export_request(arguments: dict[str, Any], on_progress: ProgressCallback) -> str:
    request = ExportRequest(**(arguments | {"plugins": tuple(arguments["plugins"])}))
    return summarize_bundle(make_bundle(request, on_progress))


if __name__ == "__main__":
    answer_parent_question(_answer_export_request)
