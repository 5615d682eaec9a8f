"""A whole run: plan it, see what is already done, do the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from harness.errors import StoreError
from harness.execution.cell import Cell
from harness.execution.engines.base import CellJob, Limits, RunCallbacks, load_engine
from harness.execution.plan import Plan, Request, describe, make_plan
from harness.metrics.metric import Metric
from harness.registry.registry import Registry
from harness.store.record import Record, Status
from harness.store.store import Store

#: What is known without work is looked at anew whenever a run is continued: a package may have come, a declaration changed.
CHEAP = ("skipped",)
#: A study of these is continued; of the others it is begun again, for its trials have all failed.
CONTINUED = ("timeout", "memory")


@dataclass(frozen=True)
class Start:
    """What there is to do when a run starts: the plan, the cells left, the records that stand."""

    plan: Plan
    left: tuple[Cell, ...]
    standing: tuple[Record, ...]
    objectives: Mapping[str, Metric]  #: task → what is improved
    outdated: int = 0  #: cells with a record under another key, which are done again


def benchmark(  # noqa: PLR0913 -- what, where, with how much, what again, under whose eyes
    request: Request,
    registry: Registry,
    store: Store,
    *,
    command: str,
    jobs: int,
    limits: Limits,
    retry: Collection[str],
    begun: Callable[[Start], RunCallbacks],
) -> None:
    """Start a run or continue it; what was stored under the same keys is not done again.

    `begun` is told what there is to do and returns who watches. Raises `StoreError` where the folder holds a run of another protocol,
    with what differs, and whatever `make_plan` and the engine raise.
    """
    refuse_other_protocol(store, request)
    plan = make_plan(request, registry)
    with store.lock():
        known = refuse_other_protocol(store, request)
        description = describe(request, registry, plan, command, store.folder.name)
        store.write_run(joined(known, description) if known else description)
        objectives = {
            one.task.name: registry.metric(request.protocol.objective_for(len(one.table.classes))) for one in plan.tasks
        }
        start = _start(plan, store, retry, objectives)
        watch = begun(start)
        rows = {one.task.name: one.fingerprint for one in plan.tasks}
        cell_jobs = [CellJob(cell, rows[cell.task]) for cell in start.left]
        load_engine().run(request, store, cell_jobs, jobs, limits, watch)


def refuse_other_protocol(store: Store, request: Request) -> dict[str, Any] | None:
    """The run that is stored already, if any; raises `StoreError` where it was made under another protocol."""
    if not store.run_file.exists():
        return None
    known = store.read_run()
    mine, theirs = request.protocol.as_dict(), known.get("protocol", {})
    differing = [f"{name} {theirs.get(name)} → {mine[name]}" for name in mine if theirs.get(name) != mine[name]]
    if differing:
        raise StoreError(f"{store.folder} holds a run of another protocol ({', '.join(differing)}): use another --out")
    return known


def joined(known: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a run that was asked for more: what is new wins, what only the stored one has stays.

    Stored cells that were made from other rows, costs or, where the strategy is searched, other strategies are no longer
    part of the run: they could not be compared with those of now.
    """
    both = dict(new)
    for part in ("tasks", "families", "strategies"):
        both[part] = {**known.get(part, {}), **new[part]}
    kept = [cell for cell in known.get("cells", []) if _of_the_same_data(cell, known, new)]
    cells = {cell["id"]: cell for cell in kept} | {cell["id"]: cell for cell in new["cells"]}
    both["cells"] = list(cells.values())
    named = {(one["kind"], one["name"]) for one in new["skipped"]} | {("task", name) for name in new["tasks"]}
    both["skipped"] = [
        *new["skipped"],
        *(one for one in known.get("skipped", []) if (one["kind"], one["name"]) not in named),
    ]
    return both


def _of_the_same_data(cell: Mapping[str, Any], known: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    task, strategy = cell["task"], cell["strategy"]
    if task not in new["tasks"]:
        return True
    same = all(known["tasks"][task].get(part) == _plain(new["tasks"][task][part]) for part in ("fingerprint", "costs"))
    before = known["strategies"][strategy]
    now = _plain(new["strategies"].get(strategy, before))
    return same and before.items() <= now.items()  # what an older version did not store yet is no difference


def _plain(value: Any) -> Any:
    """A value as it comes back from JSON."""
    return json.loads(json.dumps(value))


def _start(plan: Plan, store: Store, retry: Collection[str], objectives: Mapping[str, Metric]) -> Start:
    left, standing, outdated = [], [], 0
    for cell in plan.cells:
        record = store.record(cell.id)
        if record is not None and record.key != cell.key:
            outdated += record.status not in CHEAP
            store.discard_cell(cell.id)
            record = None
        if record is not None and record.status == "ok":
            standing.append(record)
        elif cell.id in plan.settled:
            status, reason = plan.settled[cell.id]
            standing.append(store.write_cell(cell.record(status=cast("Status", status), reason=reason), None))
        elif record is None:
            left.append(cell)
        elif record.status in retry or record.status in CHEAP:
            if record.status not in CONTINUED:
                store.discard_cell(cell.id)
            left.append(cell)
        else:
            standing.append(record)
    return Start(plan, tuple(left), tuple(standing), objectives, outdated)
