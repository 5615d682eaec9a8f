"""A whole run: plan it, find the cells that are stored already, execute the others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.api.quick import estimate_quick_seconds
from harness.api.run_plan import (
    WORKER_START_SECONDS,
    CellForecast,
    correct_forecast,
    describe_plan,
    forecast_cells,
    format_duration,
    order_pending_cells,
)
from harness.api.time_budget import (
    TimeBudget,
    TimeShares,
    divide_time,
    find_unequal_families,
    merge_budget,
)
from harness.errors import StoreError
from harness.evaluation.threshold_goals import check_goals
from harness.execution.cell import Cell
from harness.execution.engines.base import CellJob, Limits, RunCallbacks, load_engine
from harness.execution.estimate import SOFT_SECONDS
from harness.execution.plan import Plan, RunRequest, describe_run, make_plan
from harness.metrics.metric import Metric
from harness.metrics.threshold import ThresholdGoal
from harness.registry.registry import Registry
from harness.store.record import Record
from harness.store.row_ids import write_row_ids
from harness.store.store import Store

#: Statuses that are determined anew whenever a run is continued: a package may have been installed since.
REPLANNED_STATUSES = ("skipped",)
#: Statuses whose study is continued on a retry; of others it is begun again, because all of its trials failed.
CONTINUED_STATUSES = ("timeout", "memory")
#: Under a budget, fits are timed for at most this share of it.
MEASURED_BUDGET_SHARE = 0.1


@dataclass(frozen=True)
class RunStart:
    """The state of a run when it starts."""

    plan: Plan
    pending: tuple[Cell, ...]  #: cells to execute
    finished: tuple[Record, ...]  #: records that are kept
    objectives: Mapping[str, Metric]  #: task → the metric that is optimised
    outdated: int = 0  #: cells with a record under another key, which are executed again
    forecast: CellForecast = field(default_factory=CellForecast)
    shares: TimeShares = field(default_factory=TimeShares)  #: of the time of the whole run, where that is limited
    budget: TimeBudget | None = None
    loading_seconds: float = 0.0  #: to read the tables, as every worker does
    continues: bool = False  #: whether cells of the same run have just been executed


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
        run_start: RunStart | None
        run_start = forecast_start(request, registry, separated, jobs, measure=measure, budget=budget)
        run_start = _limit_time_of_cells(
            store, description, replace(run_start, loading_seconds=loading_seconds), budget
        )
        if budget is not None:
            limits = replace(limits, deadline=budget.cell_deadline)
        while run_start is not None:
            run_callbacks = on_start(run_start)
            cell_jobs = _make_jobs(run_start)
            load_engine().run(request, store, cell_jobs, jobs, limits, run_callbacks)
            run_start = _plan_further_cells(store, run_start, run_callbacks)


def _make_jobs(start: RunStart) -> list[CellJob]:
    """The pending cells with their time limits, for an engine."""
    fingerprints = {loaded.task.name: loaded.fingerprint for loaded in start.plan.tasks}
    cell_jobs = []
    for cell in start.pending:
        seconds = start.shares.cell_seconds.get(cell.family)
        expected = start.forecast.limited_seconds(cell.id)
        cell_jobs.append(CellJob(cell, fingerprints[cell.task], seconds, expected))
    return cell_jobs


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
    stored: Mapping[str, float] = earlier.get("cell_seconds", {})
    shares = TimeShares(stored, start.pending)
    if budget is not None:
        worker_seconds = budget.worker_seconds(start.forecast.jobs, WORKER_START_SECONDS + start.loading_seconds)
        shares = divide_time(start.pending, start.forecast, worker_seconds, stored)
    unequal = find_unequal_families(start.finished, start.pending, stored)
    store.write_run({**description, "budget": merge_budget(earlier, budget, shares, unequal)})
    return _start_with_shares(replace(start, budget=budget), shares)


def _start_with_shares(start: RunStart, shares: TimeShares) -> RunStart:
    """The start of a run with those cells for which there is time."""
    expected = {}
    for cell in shares.cells:
        cell_seconds = start.forecast.seconds[cell.id]
        expected[cell.id] = min(cell_seconds, shares.cell_seconds.get(cell.family, cell_seconds))
    forecast = replace(start.forecast, expected_seconds=expected)
    return replace(start, pending=shares.cells, forecast=forecast, shares=shares)


def _plan_further_cells(store: Store, start: RunStart, callbacks: RunCallbacks) -> RunStart | None:
    """Divide the time that is left between cells for which there seemed to be none, by what the finished cells have taken.

    None where there are no such cells, the run is stopped, or the time does not suffice for any of them.
    """
    budget = start.budget
    if budget is None or not start.shares.omitted or callbacks.stop_request() != "no":
        return None
    records = list(filter(None, (store.read_record(cell.id) for cell in start.pending)))
    forecast = correct_forecast(start.forecast, records, start.shares.omitted)
    worker_seconds = budget.worker_seconds(forecast.jobs, WORKER_START_SECONDS + start.loading_seconds)
    description = store.read_run()
    earlier = description["budget"]
    shares = divide_time(start.shares.omitted, forecast, worker_seconds, earlier["cell_seconds"], begins=False)
    store.write_run({**description, "budget": merge_budget(earlier, None, shares, ())})
    if not shares.cells:
        return None
    return _start_with_shares(replace(start, forecast=forecast, continues=True), shares)


def preview_run(request: RunRequest, registry: Registry, store: Store, jobs: int) -> str:
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

    Returns
    -------
    str
        The plan in full, for the terminal.

    Raises
    ------
    EvenhandError
        Where `benchmark` would refuse to start.
    """
    read_run_of_same_protocol(store, request)
    plan = make_plan(request, registry)
    pending, finished = [], []
    for cell in plan.cells:
        record = store.read_record(cell.id)
        if cell.id in plan.settled or (record is not None and record.key == cell.key and record.status == "ok"):
            finished.append(cell)
        else:
            pending.append(cell)
    start = forecast_start(request, registry, RunStart(plan, tuple(pending), (), {}), jobs, measure=True)
    text = describe_plan(plan, start.pending, len(finished), start.forecast)
    if start.forecast.is_measured and request.own is not None:
        seconds = estimate_quick_seconds(start.pending, start.forecast, request.protocol.inner_folds)
        text += f"\nwith --quick: about {format_duration(seconds)}"
    return text


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
