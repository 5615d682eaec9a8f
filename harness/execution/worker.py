"""A worker: a child process that executes one cell after another until its parent ends.

The first message that it receives is the request of the run, then one cell each; it answers with one message per cell. Loaded
tables and imported libraries stay in memory, so that a second cell starts at once.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.data.splits import Fold
from harness.errors import DataError, EvenhandError
from harness.execution.cell import Cell, CellData, run_cell
from harness.execution.plan import LoadedTask, RunRequest, load_task
from harness.preprocessing.cache import FoldCache
from harness.processes import ParentConnection
from harness.registry.registry import Registry, load_registry
from harness.registry.user_declarations import unpickle_declarations
from harness.search.applicability import inapplicable_reason, unweightable_reason
from harness.search.pipeline import PipelineSpec
from harness.store.store import Store

#: Tables held in memory; cells come task by task.
MAX_TABLES = 2
#: The largest size of the cache of encoded texts and images that cells of one worker share, in bytes.
SHARED_CACHE_BYTES = 500_000_000


class WorkerContext:
    """What the cells of one process share: the declarations, the tables used last, encoded texts and images."""

    def __init__(self, request: RunRequest) -> None:
        self.request = request
        declarations = unpickle_declarations(request.pickled_declarations)
        self.registry: Registry = load_registry(request.plugins).with_declarations(declarations, "this program")
        self.tables: OrderedDict[str, LoadedTask] = OrderedDict()
        self.shared = FoldCache(SHARED_CACHE_BYTES)

    def loaded_task(self, name: str) -> LoadedTask:
        """A task with its rows and folds, read where it is not in memory."""
        if name not in self.tables:
            task = self.request.task(self.registry, name)
            self.tables[name] = load_task(task, self.request.protocol, self.request.data_folder)
            if len(self.tables) > MAX_TABLES:
                self.tables.popitem(last=False)
        return self.tables[name]

    def cell_data(self, cell: Cell, fingerprint: str) -> CellData:
        """Everything that a cell works on; raises `DataError` where the rows are not those that it was planned for."""
        loaded_task = self.loaded_task(cell.task)
        if loaded_task.fingerprint != fingerprint:
            raise DataError(f"the rows of {cell.task!r} changed while the run was going on: start it again")
        return self.cell_data_for_fold(cell, loaded_task.outer_fold_of_cell(cell))

    def cell_data_for_fold(self, cell: Cell, fold: Fold) -> CellData:
        """Everything that a cell works on where the rows of its task are split in this way."""
        registry, loaded_task = self.registry, self.loaded_task(cell.task)
        family, strategies = registry.family(cell.family), self.request.applicable_strategies(registry, cell.strategy)
        task_modality = loaded_task.task.modality
        if len(strategies) > 1:  # only those that can act are searched: the others would use up trials
            applicable_strategies = []
            for strategy in strategies:
                is_weightable = not loaded_task.task.weights or not unweightable_reason(family, strategy)
                if is_weightable and not inapplicable_reason(family, task_modality, strategy):
                    applicable_strategies.append(strategy)
            strategies = tuple(applicable_strategies) or strategies
        classes, many_levels = len(loaded_task.table.classes), loaded_task.many_levels
        spec = PipelineSpec(family, strategies, task_modality, classes, loaded_task.task.costs, many_levels)
        protocol = self.request.protocol
        return CellData(loaded_task.table, loaded_task.splitter, fold, spec, protocol, registry.metrics, self.shared)


def main() -> None:
    """Execute cells until standard input closes."""
    parent_connection = ParentConnection()
    start_message = parent_connection.receive()
    context, store = WorkerContext(RunRequest.from_dict(start_message["request"])), Store(Path(start_message["out"]))
    while True:
        parent_connection.send(_execute_cell(context, store, parent_connection.receive()))


def _execute_cell(context: WorkerContext, store: Store, message: dict[str, Any]) -> dict[str, Any]:
    cell, started = Cell(**message["cell"]), time.monotonic()
    try:
        cell_data = context.cell_data(cell, message["fingerprint"])
        if (seconds := message.get("seconds")) is not None:
            budget = min(seconds, cell_data.protocol.budget or seconds)
            cell_data = replace(cell_data, protocol=replace(cell_data.protocol, budget=budget))
            started = time.monotonic()  # the first cell of a worker must not have less time than the others
        if (trials := message.get("trials")) is not None:
            trials = min(trials, cell_data.protocol.trials or trials)
            cell_data = replace(cell_data, protocol=replace(cell_data.protocol, trials=trials))
        record = run_cell(cell, cell_data, store, started)
    except EvenhandError as error:
        return {"id": cell.id, "error": str(error)}
    return {"id": cell.id, "status": record.status}


if __name__ == "__main__":
    main()
