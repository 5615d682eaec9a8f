"""`evenhand export`: the procedure that won a run, done once on all rows, as a bundle.

It happens in a process of its own, `python -m harness.deploy.export`, with the threads that a worker has. What the search tries
is kept under `<run>/derived/exports/`, so that an export that was killed continues, and a second one is quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.hashing import row_keys
from harness.data.sources import data_directory
from harness.deploy.atomic_folder import check_place
from harness.deploy.bundle import Bundle, HeldOut, Parts, write_bundle
from harness.deploy.card_inputs import Facts
from harness.deploy.error_analysis import failings, per_class
from harness.deploy.insights.importance import measure
from harness.deploy.model import Model
from harness.deploy.model_card import card
from harness.deploy.run_entry import HeldOutPredictions, RunEntry, calibrator_in, figures, read_nested, sealed, standing
from harness.deploy.schema import Schema, describe
from harness.errors import DataError, EvenhandError
from harness.evaluation.ranking import can_test
from harness.evaluation.significance import Estimate, estimate
from harness.execution.cell import CellTrainer
from harness.processes import ProgressCallback, run_in_subprocess, serve_subprocess
from harness.execution.plan import LoadedTask, versions
from harness.execution.refit import EntrySpec, FinalModel, final_cell, refit_on_all
from harness.execution.replay import ONLY_SEARCH, cell_of_record, changed_since, matters, request_of
from harness.execution.worker import WorkerContext
from harness.metrics.calibration import prior_is_known
from harness.registry.family import Family
from harness.registry.registry import load_registry
from harness.registry.task import take
from harness.report.render.markdown import number, plus_minus, table
from harness.seeding import seed_of
from harness.store.store import Store


@dataclass(frozen=True)
class Asked:
    """What is to be exported, where to, and what it takes; everything in it survives a trip through JSON."""

    run: str
    out: str
    task: str | None = None
    entry: str | None = None
    calibration: str | None = None
    drivers: bool = True
    data_dir: str | None = None
    plugins: tuple[str, ...] = ()
    file: str | None = None


def export(asked: Asked, tell: ProgressCallback) -> str:
    """Export as a worker would, with one thread; what was written, in words. Raises `EvenhandError` where it cannot be done."""
    return str(run_in_subprocess("harness.deploy.export", asdict(asked), f"exported from {asked.run}", tell))


def make_bundle(asked: Asked, tell: ProgressCallback) -> Bundle:
    """Find the entry, do its procedure on all rows, and write the bundle."""
    check_place(Path(asked.out))
    nested = read_nested(
        Store(Path(asked.run)), load_registry(asked.plugins).metrics, asked.task, asked.entry, asked.calibration
    )
    tell(f"exporting {nested.task}/{nested.entry.name}")
    desk = _desk(nested, asked)
    one = desk.loaded(nested.task)
    wanted = EntrySpec(nested.task, *nested.entry)
    exports = Store(nested.store.folder / "derived" / "exports" / final_cell(desk, wanted).id)
    with exports.lock():
        whole = refit_on_all(desk, wanted, exports, tell)
    schema = describe(one.task, one.task.load(data_directory(desk.request.data_folder)), one.table)
    drivers = None
    if asked.drivers and schema.modality == "tabular":
        drivers = _drivers(nested, desk, schema, tell)
    said = sealed(nested)
    family = desk.registry.family(nested.entry.family)
    about = _about(nested, one, whole)
    facts = _facts(nested, family, (one, schema, whole), said, by_hand=asked.entry is not None)
    held_out = _held_out(one, said)
    parts = Parts(about, schema, whole.fitted, whole.calibrator, card(about, facts), held_out, drivers)
    return write_bundle(Path(asked.out), parts)


def _held_out(one: LoadedTask, said: HeldOutPredictions) -> HeldOut:
    """What was said of training rows, by their keys; of equal ones that of the earliest where the splits follow time.

    There, and there alone, a row may be learnt from while a later copy of it is tested.
    """
    keys, proba = row_keys(one.table.X), said.proba
    if one.table.time is not None:
        order = np.argsort(one.table.time, kind="stable")
        first = order[np.unique(keys[order], return_index=True)[1]]
        proba = np.where(np.isin(np.arange(len(keys)), first)[:, None], proba, np.float32(np.nan))
    return HeldOut(keys, proba)


def in_words(bundle: Bundle) -> str:
    """What was written, and the nested figures of the procedure."""
    manifest = bundle.manifest
    decides = "the most probable class" if bundle.threshold is None else f"from {bundle.threshold:.6g}"
    calibrated = "" if manifest["calibration"] == "none" else f", recalibrated ({manifest['calibration']})"
    own = "" if bundle.threshold is None else " (decisions at each split's own threshold)"
    measured = manifest["measured"]
    names = dict.fromkeys([manifest["objective"], *(name for name in PRINTED if name in measured)])
    rows = [[name, _interval(measured[name])] for name in names]
    return (
        f"{bundle.folder}: {manifest['entry']}{calibrated}, fitted to all {manifest['rows']:,} rows, decides {decides}, "
        f"id {bundle.id}\n\n"
        f"nested figures of the procedure, not of this very model{own}:\n"
        f"{table(['', 'mean ± 95 %'], rows, pipes=False)}\n\n{bundle.folder / 'MODEL_CARD.md'}"
    )


PRINTED = ("roc_auc", "average_precision", "f1", "precision", "recall", "mcc", "expected_cost", "log_loss", "ece")


def _interval(measured: Mapping[str, float | None]) -> str:
    mean, high = measured["mean"], measured["high"]
    assert mean is not None  # noqa: S101 -- what has no mean is not in the manifest
    return number(mean) if high is None else plus_minus(mean, high - mean)


def _desk(nested: RunEntry, asked: Asked) -> WorkerContext:
    """The declarations and rows of the entry; raises `EvenhandError` where they are not those that were measured."""
    run, task = nested.scores.run, nested.task
    record = nested.records[0][0]
    desk = WorkerContext(request_of(run, record, asked))
    one, about = desk.loaded(task), nested.about
    if one.fingerprint != about["fingerprint"]:
        raise DataError(
            f"the data of {task} are not those of the run ({about['rows']:,} rows then, {len(one.table.y):,} now; SHA-256 "
            f"{about['fingerprint'][:12]}… then, {one.fingerprint[:12]}… now): bring those back, or run again on these"
        )
    cell = cell_of_record(record)
    if changed := changed_since(run, record, desk, one, desk.material(cell, one.fingerprint)):
        raise EvenhandError(f"{changed}: the figures of the run are of another procedure, so run it again")
    return desk


def _about(nested: RunEntry, one: LoadedTask, whole: FinalModel) -> dict[str, Any]:
    """The manifest, without what is computed when it is written."""
    about, run, entry = nested.about, nested.scores.run, nested.entry
    return {
        **{
            name: about.get(name)
            for name in ("title", "modality", "positive", "costs", "fingerprint", "rows", "counts")
        },
        **{name: about.get(name) or "" for name in ("licence", "source")},
        "task": nested.task,
        "entry": f"{nested.task}/{entry.family}/{entry.strategy}/{entry.stage}",
        "family": entry.family,
        "strategy": entry.strategy,
        "stage": entry.stage,
        "calibration": entry.calibration,
        "classes": list(one.table.classes),
        "threshold": whole.threshold,
        "objective": nested.ranking.metric.name,
        "params": whole.params,
        "trials": whole.trials,
        "trial": whole.trial,
        "run": {name: run[name] for name in ("name", "command", "protocol")},
        "measured": {figure.key: figure.as_dict() for figure in figures(nested)},
        "network": bool(run["families"].get(entry.family, {}).get("network")),
        "versions": versions(),
    }


def _facts(
    nested: RunEntry,
    family: Family,
    made: tuple[LoadedTask, Schema, FinalModel],
    said: HeldOutPredictions,
    *,
    by_hand: bool,
) -> Facts:
    """What the card says beyond the manifest."""
    (one, schema, whole), run = made, nested.scores.run
    rows = np.flatnonzero(said.decided >= 0)
    y, decided, k = one.table.y[rows], said.decided[rows], len(schema.classes)
    strategy, then, now = run["strategies"].get(nested.entry.strategy, {}), run.get("versions", {}), versions()
    return Facts(
        target=one.task.target,
        description=nested.about.get("description", ""),
        notes=tuple(nested.about.get("notes", ())),
        figures=figures(nested),
        standing=standing(nested, by_hand=by_hand),
        strategy=strategy.get("description", ""),
        before=tuple(whole.fitted.counts_before),
        after=tuple(whole.fitted.counts_after),
        said=tuple(said.proba[rows].mean(axis=0, dtype=float).tolist()) if len(rows) else (),
        came=tuple((np.bincount(y, minlength=k) / max(1, len(y))).tolist()),
        failings=failings(take(one.table.X, rows), schema, y, decided) if len(rows) else (),
        classes=tuple(per_class(schema.classes, y, decided)) if k > 2 else (),
        held_out=len(rows),
        changed=tuple(
            f"{name} {then.get(name, '–')} → {now.get(name, '–')}"
            for name in dict.fromkeys((*then, *now))
            if then.get(name) != now.get(name) and (name in ONLY_SEARCH or matters(name, family))
        ),
        correctable=prior_is_known(strategy, nested.entry.strategy),
    )


def _drivers(nested: RunEntry, desk: WorkerContext, schema: Schema, tell: ProgressCallback) -> dict[str, Any]:
    """What moves the predictions, measured on the sealed rows of the first repeat by models that had not learnt from them."""
    records = [(record, outcome) for record, outcome in nested.records if record.repeat == 0]
    one, folds = desk.loaded(nested.task), []
    for split, (record, outcome) in enumerate(records, start=1):
        tell(f"drivers: outer split {split} of {len(records)}")
        material = desk.material(cell_of_record(record), one.fingerprint)
        learner = CellTrainer(cell_of_record(record), material, lambda _name, _arrays: None)
        fitted, _, _ = learner.fit(outcome.stage, outcome.params)
        model = Model(fitted, calibrator_in(nested, record, outcome))
        test = material.fold.test
        folds.append((model.predict_proba, take(one.table.X, test), one.table.y[test]))
    metric = nested.ranking.metric
    if metric.needs_costs:
        metric = nested.scores.metrics["average_precision"]
    may = can_test(nested.scores, nested.task)

    def interval(values: Any, ratio: float) -> Estimate:
        return estimate(values, ratio, claims=may)

    seed = seed_of(desk.request.protocol.seed, nested.task, "drivers")
    tell("drivers: what is lost without each column")
    return measure(folds, schema, metric, nested.rows.mean("ratio"), interval, seed).as_json()


def _answer(values: dict[str, Any], tell: ProgressCallback) -> str:
    return in_words(make_bundle(Asked(**(values | {"plugins": tuple(values["plugins"])})), tell))


if __name__ == "__main__":
    serve_subprocess(_answer)
