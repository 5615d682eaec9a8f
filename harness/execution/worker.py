"""A worker: a process that does one cell after another and ends when nobody listens any more.

It reads lines of JSON from its standard input (the request first, then a cell each) and answers with one line per cell. Loaded
tables and imported libraries stay, so that the start of a second cell costs nearly nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

from harness.data.splits import Fold
from harness.errors import DataError, EvenhandError
from harness.execution.cell import Cell, CellData, run_cell
from harness.execution.plan import LoadedTask, Request, load_task
from harness.preprocessing.cache import FoldCache
from harness.processes import ParentConnection
from harness.registry.registry import Registry, load_registry
from harness.search.pipeline import PipelineSpec, inapplicable
from harness.store.store import Store

#: Tables held in memory; cells come task by task.
MOST_TABLES = 2
#: What a worker keeps of encoded texts and images from one cell for the next.
SHARED_BYTES = 500_000_000


class WorkerContext:
    """What a worker has at hand: the declarations and the tables it used last."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.registry: Registry = load_registry(request.plugins)
        self.tables: OrderedDict[str, LoadedTask] = OrderedDict()
        self.shared = FoldCache(SHARED_BYTES)

    def loaded(self, name: str) -> LoadedTask:
        """A task with its rows and folds, read where it is not at hand."""
        if name not in self.tables:
            task = self.request.task(self.registry, name)
            self.tables[name] = load_task(task, self.request.protocol, self.request.data_folder)
            if len(self.tables) > MOST_TABLES:
                self.tables.popitem(last=False)
        return self.tables[name]

    def material(self, cell: Cell, expected: str) -> CellData:
        """All that a cell works on; raises `DataError` where the rows are no longer those that were planned for."""
        one = self.loaded(cell.task)
        if one.fingerprint != expected:
            raise DataError(f"the rows of {cell.task!r} changed while the run was going on: start it again")
        return self.on(cell, next(fold for fold in one.folds if (fold.repeat, fold.fold) == (cell.repeat, cell.fold)))

    def on(self, cell: Cell, fold: Fold) -> CellData:
        """What a cell works on where its rows are split in this way."""
        request, registry, one = self.request, self.registry, self.loaded(cell.task)
        family, strategies = registry.family(cell.family), request.strategies_of(registry, cell.strategy)
        if len(strategies) > 1:  # of several only those that can act are searched, or the others would eat the trials
            strategies = tuple(s for s in strategies if not inapplicable(family, one.task.modality, s)) or strategies
        recipe = PipelineSpec(
            family,
            strategies,
            one.task.modality,
            len(one.table.classes),
            one.task.costs,
        )
        return CellData(one.table, one.splitter, fold, recipe, request.protocol, registry.metrics, self.shared)


def main() -> None:
    """Execute cells until standard input closes."""
    parent = ParentConnection()
    first = parent.receive()
    desk, store = WorkerContext(Request.from_dict(first["request"])), Store(Path(first["out"]))
    while True:
        parent.send(_answer(desk, store, parent.receive()))


def _answer(desk: WorkerContext, store: Store, message: dict[str, Any]) -> dict[str, Any]:
    cell = Cell(**message["cell"])
    try:
        record = run_cell(cell, desk.material(cell, message["fingerprint"]), store)
    except EvenhandError as error:
        return {"id": cell.id, "error": str(error)}
    return {"id": cell.id, "status": record.status}


if __name__ == "__main__":
    main()
