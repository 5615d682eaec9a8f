"""A whole run: plan it, find the cells that are stored already, execute the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import StoreError
from harness.evaluation.threshold_goals import check_goals
from harness.execution.cell import Cell
from harness.execution.engines.base import CellJob, Limits, RunCallbacks, load_engine
from harness.execution.plan import Plan, RunRequest, describe_run, make_plan
from harness.metrics.metric import Metric
from harness.metrics.threshold import ThresholdGoal
from harness.registry.registry import Registry
from harness.store.record import Record
from harness.store.row_ids import write_row_ids
from harness.store.store import Store

#: Statuses that are determined anew whenever a run is continued: a package may have been installed since.
REPLANNED = ("skipped",)
#: Statuses whose study is continued on a retry; of others it is begun again, because all of its trials failed.
CONTINUED = ("timeout", "memory")


@dataclass(frozen=True)
class RunStart:
    """The state of a run when it starts."""

    plan: Plan
    pending: tuple[Cell, ...]  #: cells to execute
    finished: tuple[Record, ...]  #: records that are kept
    objectives: Mapping[str, Metric]  #: task → the metric that is optimised
    outdated: int = 0  #: cells with a record under another key, which are executed again


def benchmark(  # noqa: PLR0913 -- each argument is a separate concern of a run
    request: RunRequest,
    registry: Registry,
    store: Store,
    *,
    command: str,
    jobs: int,
    limits: Limits,
    retry: Collection[str],
    on_start: Callable[[RunStart], RunCallbacks],
    goals: Sequence[ThresholdGoal] = (),
) -> None:
    """Start a run or continue it; a cell that is stored under the same key is not executed again.

    Parameters
    ----------
    request : RunRequest
        Tasks, families, strategies and protocol.
    registry : Registry
        All declarations.
    store : Store
        The folder of the run.
    command : str
        The command line, stored with the run.
    jobs : int
        Cells executed at once; results do not depend on it.
    limits : Limits
        Seconds and memory of one cell.
    retry : collection of str
        Statuses whose cells are executed again.
    on_start : callable
        Receives the state of the run before the first cell; returns the callbacks for its events.
    goals : sequence of ThresholdGoal, optional
        Stored with the run for its reports; those that are stored stay where there are none.

    Raises
    ------
    StoreError
        If the folder holds a run of another protocol.
    EvenhandError
        Whatever planning and the engine raise.
    """
    read_run_of_same_protocol(store, request)
    plan = make_plan(request, registry)
    check_goals(goals, {loaded.task.name: (len(loaded.table.classes), loaded.task.costs) for loaded in plan.tasks})
    with store.lock():
        stored = read_run_of_same_protocol(store, request)
        description = describe_run(request, registry, plan, command, store.folder.name)
        if goals:
            description["thresholds"] = [goal.text for goal in goals]
        if stored:
            description = merge_run_descriptions(stored, description)
        store.write_run(description)
        for loaded in plan.tasks:
            if loaded.table.ids is not None:
                write_row_ids(store, loaded.task.name, loaded.table.ids)
        objectives = {}
        fingerprints = {}
        for loaded in plan.tasks:
            objective = request.protocol.objective_for(len(loaded.table.classes))
            objectives[loaded.task.name] = registry.metric(objective)
            fingerprints[loaded.task.name] = loaded.fingerprint
        start = _separate_pending_cells(plan, store, retry, objectives)
        callbacks = on_start(start)
        cell_jobs = [CellJob(cell, fingerprints[cell.task]) for cell in start.pending]
        load_engine().run(request, store, cell_jobs, jobs, limits, callbacks)


def read_run_of_same_protocol(store: Store, request: RunRequest) -> dict[str, Any] | None:
    """Read the description of the stored run, None where there is none.

    Raises
    ------
    StoreError
        If the stored run has another protocol; the message names what differs.
    """
    if not store.run_file.exists():
        return None
    stored = store.read_run()
    protocol = stored.get("protocol", {})
    differences = []
    for name, setting in request.protocol.as_dict().items():
        if protocol.get(name) != setting:
            differences.append(f"{name} {protocol.get(name)} → {setting}")
    if differences:
        changes = ", ".join(differences)
        raise StoreError(
            f"{store.folder} holds a run of another protocol ({changes}): use another folder (--out, in Python: out=)"
        )
    return stored


def merge_run_descriptions(stored: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the description of a stored run with that of its continuation, which takes precedence.

    Stored cells made from other rows, other costs or, where the strategy is searched, other strategies are dropped: they
    cannot be compared with the new ones.

    Parameters
    ----------
    stored, new : mapping
        Descriptions as in `run.json`.

    Returns
    -------
    dict
        The merged description.
    """
    merged = dict(new)
    for part in ("tasks", "families", "strategies"):
        merged[part] = {**stored.get(part, {}), **new[part]}
    cells = {cell["id"]: cell for cell in stored.get("cells", []) if _has_cell_unchanged_inputs(cell, stored, new)}
    for cell in new["cells"]:
        cells[cell["id"]] = cell
    merged["cells"] = list(cells.values())
    described = {("task", name) for name in new["tasks"]}
    described |= {(skip["kind"], skip["name"]) for skip in new["skipped"]}
    earlier = [skip for skip in stored.get("skipped", []) if (skip["kind"], skip["name"]) not in described]
    merged["skipped"] = [*new["skipped"], *earlier]
    if "thresholds" in stored:
        merged.setdefault("thresholds", stored["thresholds"])
    return merged


def _has_cell_unchanged_inputs(cell: Mapping[str, Any], stored: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a stored cell was made from the rows, the costs and the strategies of the new description."""
    task, strategy = cell["task"], cell["strategy"]
    if task not in new["tasks"]:
        return True
    for part in ("fingerprint", "costs"):
        if stored["tasks"][task].get(part) != _convert_to_json_values(new["tasks"][task][part]):
            return False
    stored_strategy = stored["strategies"][strategy]
    new_strategy = _convert_to_json_values(new["strategies"].get(strategy, stored_strategy))
    # Fields that an older version did not store are no difference.
    return bool(stored_strategy.items() <= new_strategy.items())


def _convert_to_json_values(content: Any) -> Any:
    """Convert to what JSON reads back."""
    return json.loads(json.dumps(content))


def _separate_pending_cells(
    plan: Plan, store: Store, retry: Collection[str], objectives: Mapping[str, Metric]
) -> RunStart:
    """Divide the cells of a plan into pending and finished ones; records under other keys are discarded."""
    pending, finished, outdated = [], [], 0
    for cell in plan.cells:
        record = store.read_record(cell.id)
        if record is not None and record.key != cell.key:
            outdated += record.status not in REPLANNED
            store.discard_cell(cell.id)
            record = None
        if record is not None and record.status == "ok":
            finished.append(record)
        elif cell.id in plan.settled:
            finished.append(store.write_cell(cell.make_record(**plan.settled[cell.id]._asdict()), None))
        elif record is None:
            pending.append(cell)
        elif record.status in (*retry, *REPLANNED):
            if record.status not in CONTINUED:
                store.discard_cell(cell.id)
            pending.append(cell)
        else:
            finished.append(record)
    return RunStart(plan, tuple(pending), tuple(finished), objectives, outdated)
