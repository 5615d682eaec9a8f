"""A whole run: plan it, find the cells that are stored already, execute the others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.api.quick import estimate_quick_seconds
from harness.api.run_plan import (
    WORKER_START_SECONDS,
    describe_plan,
    forecast_cells,
    format_duration,
    order_pending_cells,
)
from harness.api.run_start import FurtherCells, RunStart, make_jobs, start_with_shares
from harness.api.time_budget import TimeBudget, TimeShares, divide_time, find_unequal_families, merge_budget
from harness.errors import StoreError
from harness.evaluation.threshold_goals import check_goals
from harness.execution.engines.base import Limits, RunCallbacks, load_engine
from harness.execution.estimate import SOFT_SECONDS
from harness.execution.plan import Plan, RunRequest, describe_run, make_plan
from harness.metrics.metric import Metric
from harness.metrics.threshold import ThresholdGoal
from harness.registry.registry import Registry
from harness.store.row_ids import write_row_ids
from harness.store.store import Store

#: Statuses that are determined anew whenever a run is continued: a package may have been installed since.
REPLANNED_STATUSES = ("skipped",)
#: Statuses whose study is continued on a retry; of others it is begun again, because all of its trials failed.
CONTINUED_STATUSES = ("timeout", "memory")
#: Under a budget, fits are timed for at most this share of it.
MEASURED_BUDGET_SHARE = 0.1


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
    measure: bool = True,
    budget: TimeBudget | None = None,
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
    measure : bool, default True
        Whether a few fits are timed first, where the cells will take more than a moment.
    budget : TimeBudget, optional
        The time of the whole run; without it, cells of a run that had one earlier get the time that they would have had.

    Raises
    ------
    StoreError
        If the folder holds a run of another protocol.
    EvenhandError
        Whatever planning and the engine raise.
    """
    read_run_of_same_protocol(store, request)
    loading_started = time.monotonic()
    plan = make_plan(request, registry)
    loading_seconds = time.monotonic() - loading_started
    check_goals(
        goals,
        {loaded_task.task.name: (len(loaded_task.table.classes), loaded_task.task.costs) for loaded_task in plan.tasks},
    )
    with store.lock():
        stored_run = read_run_of_same_protocol(store, request)
        description = describe_run(request, registry, plan, command, store.folder.name)
        if goals:
            description["thresholds"] = [threshold_goal.text for threshold_goal in goals]
        if stored_run:
            description = merge_run_descriptions(stored_run, description)
        store.write_run(description)
        for loaded_task in plan.tasks:
            if loaded_task.table.ids is not None:
                write_row_ids(store, loaded_task.task.name, loaded_task.table.ids)
        objectives = {}
        for loaded_task in plan.tasks:
            objective = request.protocol.objective_for(len(loaded_task.table.classes))
            objectives[loaded_task.task.name] = registry.metric(objective)
        separated = _separate_pending_cells(plan, store, retry, objectives)
        run_start = forecast_start(request, registry, separated, jobs, measure=measure, budget=budget)
        run_start = _limit_time_of_cells(
            store, description, replace(run_start, loading_seconds=loading_seconds), budget
        )
        run_callbacks = on_start(run_start)
        if run_start.budget is not None:
            run_callbacks = FurtherCells(store, run_start, run_callbacks, on_start).add_callbacks()
        load_engine().run(request, store, make_jobs(run_start), jobs, limits, run_callbacks)


def forecast_start(
    request: RunRequest,
    registry: Registry,
    start: RunStart,
    jobs: int,
    *,
    measure: bool,
    budget: TimeBudget | None = None,
) -> RunStart:
    """Add the forecast of the pending cells, and sort these."""
    measured_seconds = SOFT_SECONDS
    if budget is not None:
        measured_seconds = min(SOFT_SECONDS, MEASURED_BUDGET_SHARE * budget.seconds)
        if request.own is not None and budget.is_short_for(Path(request.own.path)):
            measured_seconds = 0.0
    elif not measure:
        measured_seconds = 0.0
    forecast = forecast_cells(request, registry, start.plan, start.pending, jobs, measured_seconds)
    return replace(start, forecast=forecast, pending=tuple(order_pending_cells(registry, start.pending, forecast)))


def _limit_time_of_cells(
    store: Store, description: Mapping[str, Any], start: RunStart, budget: TimeBudget | None
) -> RunStart:
    """Limit the time of every pending cell and store the limits; with a budget, cells without time are not executed."""
    if budget is None and "budget" not in description:
        return start
    earlier = description.get("budget", {})
    stored = TimeShares.from_description(earlier)
    shares = replace(stored, cells=start.pending)
    if budget is not None:
        worker_seconds = budget.worker_seconds(start.forecast.jobs, WORKER_START_SECONDS + start.loading_seconds)
        shares = divide_time(start.pending, start.forecast, worker_seconds, stored)
    unequal = find_unequal_families(start.finished, start.pending, stored.cell_seconds)
    store.write_run({**description, "budget": merge_budget(earlier, budget, shares, unequal)})
    return start_with_shares(replace(start, budget=budget), shares)


def preview_run(request: RunRequest, registry: Registry, store: Store, jobs: int, *, verbose: bool = False) -> str:
    """Describe what `benchmark` would do; nothing is written.

    Parameters
    ----------
    request : RunRequest
        Tasks, families, strategies and protocol.
    registry : Registry
        All declarations.
    store : Store
        The folder of the run; cells that are stored in it are not counted.
    jobs : int
        Cells executed at once.
    verbose : bool, default False
        Whether every family is described with every strategy.

    Returns
    -------
    str
        The plan, for the terminal.

    Raises
    ------
    EvenhandError
        Where `benchmark` would refuse to start.
    """
    start = forecast_stored_run(request, registry, store, jobs)
    finished = len(start.plan.cells) - len(start.pending)
    text = describe_plan(start.plan, start.pending, finished, start.forecast, verbose=verbose)
    if request.own is not None:
        seconds = estimate_quick_seconds(start.pending, start.forecast)
        text += (
            f"\nshorter: --quick (about {format_duration(seconds)}), --budget 10m (what fits, every family first), or fewer of "
            "--family, --strategy, --trials"
        )
    return text


def forecast_stored_run(request: RunRequest, registry: Registry, store: Store, jobs: int) -> RunStart:
    """Forecast the cells that `benchmark` would execute, in their order; nothing is written."""
    read_run_of_same_protocol(store, request)
    plan = make_plan(request, registry)
    pending = []
    for cell in plan.cells:
        record = store.read_record(cell.id)
        is_stored = record is not None and record.key == cell.key and record.status == "ok"
        if cell.id not in plan.settled and not is_stored:
            pending.append(cell)
    return forecast_start(request, registry, RunStart(plan, tuple(pending), (), {}), jobs, measure=True)


def read_run_of_same_protocol(store: Store, request: RunRequest) -> dict[str, Any] | None:
    """Read the description of the stored run, None where there is none.

    Raises
    ------
    StoreError
        If the stored run has another protocol; the message names what differs.
    """
    if not store.run_file.exists():
        return None
    stored_run = store.read_run()
    protocol = stored_run.get("protocol", {})
    differences = []
    for name, protocol_setting in request.protocol.as_dict().items():
        if protocol.get(name) != protocol_setting:
            differences.append(f"{name} {protocol.get(name)} → {protocol_setting}")
    if differences:
        changes_text = ", ".join(differences)
        raise StoreError(
            f"{store.folder} holds a run of another protocol ({changes_text}): use another folder (--out, in Python: out=)"
        )
    return stored_run


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
    merged_description = dict(new)
    for part_name in ("tasks", "families", "strategies"):
        merged_description[part_name] = {**stored.get(part_name, {}), **new[part_name]}
    cells = {cell["id"]: cell for cell in stored.get("cells", []) if _has_cell_unchanged_inputs(cell, stored, new)}
    for cell in new["cells"]:
        cells[cell["id"]] = cell
    merged_description["cells"] = list(cells.values())
    described_names = {("task", name) for name in new["tasks"]}
    described_names |= {(skip["kind"], skip["name"]) for skip in new["skipped"]}
    earlier_skips = [skip for skip in stored.get("skipped", []) if (skip["kind"], skip["name"]) not in described_names]
    merged_description["skipped"] = [*new["skipped"], *earlier_skips]
    return _read_carried_settings(stored) | merged_description


def _read_carried_settings(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What a continued run keeps of the stored description unless it has been given anew."""
    return {name: stored[name] for name in ("thresholds", "budget") if name in stored}


def _has_cell_unchanged_inputs(
    cell: Mapping[str, Any], stored_run: Mapping[str, Any], new_run: Mapping[str, Any]
) -> bool:
    """Whether a stored cell was made from the rows, the costs and the strategies of the new description."""
    task, strategy = cell["task"], cell["strategy"]
    if task not in new_run["tasks"]:
        return True
    for part_name in ("fingerprint", "costs"):
        if stored_run["tasks"][task].get(part_name) != _convert_to_json_values(new_run["tasks"][task][part_name]):
            return False
    stored_strategy = stored_run["strategies"][strategy]
    new_strategy = _convert_to_json_values(new_run["strategies"].get(strategy, stored_strategy))
    # Fields that an older version did not store are no difference.
    return bool(stored_strategy.items() <= new_strategy.items())


def _convert_to_json_values(json_content: Any) -> Any:
    """Convert to what JSON reads back."""
    return json.loads(json.dumps(json_content))


def _separate_pending_cells(
    plan: Plan, store: Store, retry_statuses: Collection[str], objectives: Mapping[str, Metric]
) -> RunStart:
    """Divide the cells of a plan into pending and finished ones; records under other keys are discarded."""
    pending_cells, finished_records, outdated_count = [], [], 0
    for cell in plan.cells:
        record = store.read_record(cell.id)
        if record is not None and record.key != cell.key:
            outdated_count += record.status not in REPLANNED_STATUSES
            store.discard_cell(cell.id)
            record = None
        if record is not None and record.status == "ok":
            finished_records.append(record)
        elif cell.id in plan.settled:
            finished_records.append(store.write_cell(cell.make_record(**plan.settled[cell.id]._asdict()), None))
        elif record is None:
            pending_cells.append(cell)
        elif record.status in (*retry_statuses, *REPLANNED_STATUSES):
            if record.status not in CONTINUED_STATUSES:
                store.discard_cell(cell.id)
            pending_cells.append(cell)
        else:
            finished_records.append(record)
    return RunStart(plan, tuple(pending_cells), tuple(finished_records), objectives, outdated_count)
